"""Why a rollback is proposed, as Markdown for whoever decides, and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recant.rollback.rendering import MAX_ROWS, code, table

_CAUSES = {
    "quality": "documents that are published fail the suite {suite}",
    "feedback": "readers speak against them ({givers})",
}
_CASCADE = (
    "Others built on what is proposed: the policy is cascade, so their work goes with it. To keep it, reject this and make "
    "a plan with another policy."
)


def proposal_markdown(proposal: Mapping[str, Any]) -> str:
    """What speaks against an operation's documents. `proposal` is `Proposal.to_dict()`.

    Comments are left out: whoever may give feedback could write there to whoever decides.
    """
    evidence = proposal["evidence"]
    rows = [
        [code(d["source"]), ", ".join(map(code, d["expectations"])) or "–", counted_verdicts(d["verdicts"]) or "–"]
        for d in evidence["documents"][:MAX_ROWS]
    ]
    more = len(evidence["documents"]) - len(rows)
    parts = [
        f"**Nobody asked for this; it is proposed because {causes(evidence, code)}.**",
        table(("document", "fails", "readers say"), rows) + (f"\n\nand {more} more" if more else ""),
        "Readers speak against more than half of the operation's documents: all of it is proposed."
        if evidence["whole"]
        else "",
        _CASCADE if proposal["policy"] == "cascade" else "",
        f"Hidden already, as quarantine {proposal['quarantined_as']}; rejecting shows it again."
        if proposal["quarantined_as"]
        else "",
    ]
    return "\n\n".join(part for part in parts if part)


def causes(evidence: Mapping[str, Any], shown: Any = str) -> str:
    """Why, in one line. `shown` renders names that people and agents chose."""
    names = [shown(name) for name in evidence["givers"][:3]]
    more = len(evidence["givers"]) - len(names)
    givers = ", ".join(names) + (f" and {more} more" if more > 0 else "")
    words: Sequence[str] = [_CAUSES[cause] for cause in evidence["causes"]]
    return ", and ".join(words).format(suite=shown(evidence["suite"]), givers=givers)


def counted_verdicts(counts: Mapping[str, int]) -> str:
    """`incorrect 4, outdated 1`."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count)
