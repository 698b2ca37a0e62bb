"""`plan list`, `show`, `approve`, `abort`, `continue`: stored plans, and where each is in its life."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recant.cli.flags import JsonFlag, with_flag_groups
from recant.cli.output import Output, local_time, write
from recant.cli.plans import show_certificate, show_plan
from recant.cli.proposals import show_evidence
from recant.cli.services import settings
from recant.cli.undo import Undoing, print_report
from recant.errors import UsageError

if TYPE_CHECKING:
    from recant.rollback import Plan


class State(StrEnum):
    """Where a plan is in its life."""

    open = "open"
    approved = "approved"
    applied = "applied"
    verified = "verified"
    aborted = "aborted"
    expired = "expired"


PlanId = Annotated[str, typer.Argument(metavar="ID", help="The plan's id, as `recant plan list` shows it.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who. Default: RECANT_AGENT, or the login name.")]
app = typer.Typer(help="Stored plans: list, show, approve, abort, continue.")


@app.command("list")
def list_plans(
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 50,
    json: JsonFlag = False,
) -> None:
    """List plans, newest first."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        plans = kb.rollbacks.plans.find(state.value if state else None, limit=limit)
    if json:
        output.document({"plans": plans})
    elif plans:
        columns = ["plan", "state", "kind", "withdraws#", "by", "made", "approved by", "operation#"]
        output.table(columns, [_row(plan) for plan in plans])
    else:
        output.print("No such plan: `recant rollback … --dry-run` stores one.")


@app.command("show")
def show(
    plan: PlanId,
    markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown, for a pull request or a ticket.")] = False,
    json: JsonFlag = False,
) -> None:
    """Show a plan: what it does, who is affected, who approved, what became of it, and its certificate."""
    import recant
    from recant.proposals.rendering import proposal_markdown
    from recant.rollback.rendering import plan_document

    if markdown and json:
        raise UsageError("Either --markdown or --json.")
    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        found, position = kb.rollbacks.plans.get(plan).to_dict(), kb.position()
        proposed = kb.proposals.get(plan)
    proposal = proposed.to_dict() if proposed else None
    if json:
        output.document(found | {"log_position": position, "proposal": proposal})
    elif markdown:
        why = proposal_markdown(proposal) + "\n\n" if proposal else ""
        write(why + plan_document(found, position=position))
    else:
        _show(output, found, position)
        if proposal:
            show_evidence(output, proposal)


@app.command("approve")
def approve(plan: PlanId, by: By = None, json: JsonFlag = False) -> None:
    """Note that somebody approves a plan; it can then be applied with `continue`. The first approval stays."""
    import recant

    with recant.connect(settings=settings()) as kb:
        found = kb.rollbacks.plans.approve(plan, kb.settings.agent if by is None else by)
    told = f"approved by {found.approved_by}: `recant plan continue {found.plan_id}` applies it"
    _tell(Output(json), found, f"was applied before, as operation {found.applied_as}" if found.applied_as else told)


@app.command("abort")
def abort(
    plan: PlanId,
    by: By = None,
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Why.")] = "",
    json: JsonFlag = False,
) -> None:
    """Close a plan for good, so that nobody can apply it."""
    import recant

    with recant.connect(settings=settings()) as kb:
        found = kb.rollbacks.plans.abort(plan, kb.settings.agent if by is None else by, message)
    why = f" ({found.abort_reason})" if found.abort_reason else ""
    _tell(Output(json), found, f"aborted by {found.aborted_by}{why}")


@app.command("continue")
@with_flag_groups
def resume(plan: PlanId, undoing: Undoing, json: JsonFlag = False) -> None:
    """Go on with a plan where it stopped: apply what was approved, verify what was applied."""
    import recant

    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(agent=undoing.by, message=undoing.message)
        report = kb.rollbacks.resume(plan, who)
    print_report(Output(json), report)


def _tell(output: Output, plan: Plan, what: str) -> None:
    if output.as_json:
        output.document(plan.to_dict())
    else:
        output.print(f"Plan {plan.plan_id}: {what}.")


def _row(plan: Mapping[str, Any]) -> list[object]:
    names = ("plan_id", "state", "kind", "withdraws", "agent")
    times = [local_time(plan["created_at"]), plan["approved_by"]]
    return [*(plan[name] for name in names), *times, plan["applied_as"]]


def _show(output: Output, plan: Mapping[str, Any], position: int) -> None:
    show_plan(output, plan)
    output.table(["", plan["state"]], [row for row in _life(plan, position) if row[1]])
    if plan["certificate"]:
        show_certificate(output, plan["certificate"])


def _life(plan: Mapping[str, Any], position: int) -> list[list[object]]:
    moved = "" if plan["position"] == position else f"; the log is at {position:,} now"
    closed = plan["applied_at"] or plan["aborted_at"]
    applied = f"{local_time(plan['applied_at'])}, operation {plan['applied_as']}" if plan["applied_as"] else None
    return [
        ["made", f"{local_time(plan['created_at'])} by {plan['agent']}"],
        ["worked out at", f"position {plan['position']:,}{'' if closed else moved}"],
        ["approved", _who_when(plan["approved_by"], plan["approved_at"])],
        ["applied", applied],
        ["verified", local_time(plan["verified_at"])],
        ["aborted", _who_when(plan["aborted_by"], plan["aborted_at"])],
        ["why", plan["abort_reason"]],
        ["can be applied until", None if closed else local_time(plan["expires_at"])],
    ]


def _who_when(who: str | None, when: str | None) -> str | None:
    return f"{local_time(when)} by {who}" if when else None
