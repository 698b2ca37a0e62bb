"""A blast radius as a picture: what was selected, and what was built on it, hop by hop."""

from __future__ import annotations

from typing import Any

from recant.drawing import Arrow, Box, Picture
from recant.rollback.blast_radius import Affected, BlastRadius

MOST_NAMED = 20


def blast_radius_picture(radius: BlastRadius) -> Picture:
    """What is selected stands out, what is withdrawn already is pale; possible dependents are red, on dashed arrows."""
    boxes = [_box(entry) for entry in radius.operations]
    arrows = [
        Arrow(
            f"operation:{entry.via}", f"operation:{entry.operation_id}", entry.relation, entry.certainty == "possible"
        )
        for entry in radius.operations
        if entry.via is not None
    ]
    return Picture("Blast radius", boxes, arrows, _subtitle(radius), _footnotes(radius))


def _box(entry: Affected) -> Box:
    selected = entry.relation == "selected"
    tone = "faded" if not entry.visible else "warning" if entry.certainty == "possible" else "plain"
    hidden = "" if entry.visible else ", withdrawn already"
    possible = ", possible" if entry.certainty == "possible" else ""
    told = {
        "position": entry.position,
        "collection": entry.collection,
        "session": entry.session,
        "run": entry.run_id,
        "built on": entry.via,
        "documents": ", ".join(entry.narrowed_to) or None,
        "had searched for": ", ".join(str(search["query"]) for search in entry.evidence) or None,
    }
    return Box(
        f"operation:{entry.operation_id}",
        f"{entry.kind} {entry.operation_id}",
        f"{entry.agent}{hidden}{possible}",
        shape="round",
        tone="start" if selected and tone == "plain" else tone,
        group=f"{entry.kind} by {entry.agent}{hidden}{possible}",
        notes=tuple(f"{name}: {value}" for name, value in told.items() if value is not None),
    )


def _subtitle(radius: BlastRadius) -> str:
    selected, definite, possible = (radius.counts[name] for name in ("selected", "definite", "possible"))
    return f"{selected:,} selected, {definite:,} built on them, {possible:,} possibly; at position {radius.position:,}"


def _footnotes(radius: BlastRadius) -> tuple[str, ...]:
    records = ", ".join(f"{count:,} {kind}" for kind, count in radius.records.items())
    told = {
        "Seen now and no longer afterwards": records,
        "Agents": _some(radius.agents),
        "Sessions": _some(radius.sessions),
        "Datasets written": _some([d["name"] for d in radius.datasets if d["direction"] == "output"]),
        "Files": _some([_path(artifact) for artifact in radius.artifacts]),
    }
    return tuple(f"{name}: {text}" for name, text in told.items() if text)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _path(artifact: dict[str, Any]) -> str:
    return str(artifact.get("path", artifact))
