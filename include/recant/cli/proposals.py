"""`feedback`, `propose`: what readers say of what is published, and what is proposed because of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from recant.cli.flags import CollectionFlag, JsonFlag
from recant.cli.output import Output
from recant.cli.services import settings

SHOWN_DOCUMENTS = 20
SHOWN_SOURCES = 3
SuiteFlag = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A suite of expectations as YAML. Default: the collection's.")
]


class Verdict(StrEnum):
    """What a reader says of a chunk."""

    helpful = "helpful"
    outdated = "outdated"
    incorrect = "incorrect"
    confusing = "confusing"
    duplicate = "duplicate"


def feedback(
    chunk: Annotated[int, typer.Argument(metavar="CHUNK_ID", help="A hit's `chunk_id`, as `search --json` shows it.")],
    verdict: Annotated[Verdict, typer.Argument(help="What you say of it.")],
    comment: Annotated[str, typer.Option(metavar="TEXT", help="Why, in at most 4,000 characters.")] = "",
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who says so. Default: RECANT_AGENT, or the login name.")
    ] = None,
    session: Annotated[str | None, typer.Option(metavar="NAME", help="The session that it belongs to.")] = None,
    run: Annotated[str | None, typer.Option(metavar="ID", help="The run that it belongs to.")] = None,
    json: JsonFlag = False,
) -> None:
    """Say what a chunk that you found is worth. It is an operation: what an agent said can be rolled back."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        given = kb.submit_feedback(chunk, verdict.value, comment=comment, agent=agent, session=session, run=run)
    if json:
        output.document(given.to_dict())
    else:
        about = f"{given.source}, as operation {given.about_operation} wrote it"
        output.print(f"Operation {given.operation_id}, position {given.position}: {given.verdict}, of {about}.")


def propose(
    collection: CollectionFlag = None,
    suite: SuiteFlag = None,
    hours: Annotated[float, typer.Option(min=0.01, help="How far back feedback counts.")] = 24,
    least_negative: Annotated[int, typer.Option(min=1, help="So many negative verdicts are a burst,")] = 5,
    least_agents: Annotated[int, typer.Option(min=1, help="by so many agents.")] = 2,
    by: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Who proposes. Default: RECANT_AGENT, or the login name.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be proposed, and store nothing.")] = False,
    json: JsonFlag = False,
) -> None:
    """Propose rollbacks of what fails an audit, or gets a burst of negative feedback. Takes nothing back."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        found = kb.propose_rollbacks(
            collection,
            suite=suite,
            feedback_window=timedelta(hours=hours),
            least_negative=least_negative,
            least_agents=least_agents,
            agent=by,
            dry_run=dry_run,
        )
    if json:
        output.document({"proposals": [proposal.to_dict() for proposal in found]})
    elif found:
        for proposal in found:
            _show_proposal(output, proposal.to_dict())
    else:
        output.print("Nothing new to propose.")


def show_evidence(output: Output, proposal: Mapping[str, Any]) -> None:
    """What speaks against the documents of a proposal."""
    from recant.proposals.rendering import causes, counted_verdicts

    documents = proposal["evidence"]["documents"]
    rows = [
        [d["source"], ", ".join(d["expectations"]), counted_verdicts(d["verdicts"])]
        for d in documents[:SHOWN_DOCUMENTS]
    ]
    output.print(f"Proposed because {causes(proposal['evidence'])}.")
    output.table(["document", "fails", "readers say"], rows)
    if len(documents) > SHOWN_DOCUMENTS:
        output.print(f"… and {len(documents) - SHOWN_DOCUMENTS:,} more documents.")


def _show_proposal(output: Output, proposal: Mapping[str, Any]) -> None:
    from recant.proposals.rendering import causes

    evidence = proposal["evidence"]
    sources = [document["source"] for document in evidence["documents"]]
    more = f" and {len(sources) - SHOWN_SOURCES} more" if len(sources) > SHOWN_SOURCES else ""
    rows = [
        ["operation", proposal["operation_id"]],
        ["takes back", "all of it" if evidence["whole"] else ", ".join(sources[:SHOWN_SOURCES]) + more],
        ["because", causes(evidence)],
        ["policy", "cascade: others built on it, and go with it" if proposal["policy"] == "cascade" else None],
        ["replaces", proposal["replaces"]],
        ["hidden already", proposal["quarantined_as"] and f"by quarantine {proposal['quarantined_as']}"],
        ["can't be planned", proposal["obstacle"]],
    ]
    title = f"plan {proposal['plan_id']}" if proposal["plan_id"] else "not stored"
    output.table(["", title], [row for row in rows if row[1]])
    if proposal["plan_id"]:
        output.print(f"Look: recant plan show {proposal['plan_id']}. Decide: recant rollback --plan …, or plan abort.")
