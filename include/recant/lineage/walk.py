"""From some operations to what was built on them, or to what they were built on, hop by hop, nearest first.

Between operations the log's dependencies are followed. Through a dataset that is no collection (a file that one operation
wrote and another read) only names lead on. A hop is one query, whatever is in the log; hidden operations are walked
through, as what was built on them was built on them. What a session was shown before it wrote is followed once at most on
any way, in `recant.lineage.possible`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from recant.lineage.graph import Certainty, Edge, dataset_id
from recant.lineage.question import Question
from recant.lineage.starts import WHOLE, Dataset, Target
from recant.store import Row

ROWS_PER_OPERATION = 20
"""Of a hop, so many times the room that is left are read at most."""


@dataclass(slots=True)
class Reached:
    """What a walk came to."""

    distances: dict[int, int] = field(default_factory=dict)
    """Hops to each operation, the start's at 0; negative upstream."""
    records: dict[int, set[str]] = field(default_factory=dict)
    """Of an operation that is meant in part only: its documents."""
    edges: dict[Edge, None] = field(default_factory=dict)
    """In the order in which they were found."""
    files: dict[str, Dataset] = field(default_factory=dict)
    """Datasets at the ends of edges, by node."""
    truncated: bool = False
    targets: set[Target] = field(default_factory=set)
    """The operations, and of those that are meant in part their records."""
    possible: set[int] = field(default_factory=set)
    """Of the operations, those that only a read leads to."""

    def certainty(self, operation: int) -> Certainty:
        """Of one that was reached."""
        return "possible" if operation in self.possible else "definite"

    def note(self, row: Row, *, upstream: bool) -> None:
        """An operation that was reached, and what leads there."""
        if row["source"] is not None:
            self.records.setdefault(row["operation_id"], set()).add(row["source"])
        self.tie(row, upstream=upstream)

    def tie(self, row: Row, *, upstream: bool) -> None:
        """One hop's edge, or two through a file."""
        ends = (f"operation:{row['via']}", f"operation:{row['operation_id']}")
        before, after = reversed(ends) if upstream else ends
        if row["relation"] is not None:
            self.edges[Edge(before, after, row["relation"])] = None
            return
        file = dataset_id(row["namespace"], row["name"])
        self.files[file] = (row["namespace"], row["name"])
        self.edges |= {Edge(before, file, "wrote"): None, Edge(file, after, "read"): None}


def walk(question: Question, starts: Sequence[Target], *, upstream: bool, depth: int | None, limit: int) -> Reached:
    """At most `limit` operations, the start among them; `depth` hops, or all."""
    reached = Reached({operation: 0 for operation, _ in starts[:limit]}, truncated=len(starts) > limit)
    frontier = list(dict.fromkeys(starts[:limit]))
    reached.targets |= set(frontier)
    seen, hop = reached.targets, 0
    while frontier and (depth is None or hop < depth) and not reached.truncated:
        hop += 1
        rows = next_hop(question, frontier, upstream, room=limit - len(reached.distances))
        frontier = []
        for row in rows:
            if row["operation_id"] not in reached.distances and len(reached.distances) >= limit:
                reached.truncated = True
                continue
            reached.distances.setdefault(row["operation_id"], -hop if upstream else hop)
            reached.note(row, upstream=upstream)
            target = (row["operation_id"], row["record_id"])
            if target not in seen and (target[0], WHOLE) not in seen:
                seen.add(target)
                frontier.append(target)
    return reached


def reach(question: Question, operations: Iterable[int], *, upstream: bool, depth: int | None) -> list[int]:
    """All of them, without a limit and without what leads where; the start among them."""
    (row,) = question.rows("reach", operations=list(operations), upstream=upstream, depth=depth)
    found: list[int] = row["operations"]
    return found


def next_hop(question: Question, frontier: Sequence[Target], upstream: bool, *, room: int) -> list[Row]:
    """What was built on these (or what these were built on), with room for so many more operations."""
    given: dict[str, Any] = {
        "operations": [operation for operation, _ in frontier],
        "limit": (room + 1) * ROWS_PER_OPERATION + len(frontier),
    }
    name = "upstream" if upstream else "downstream"
    if any(record != WHOLE for _, record in frontier):
        name, given["records"] = f"{name}_of_records", [record for _, record in frontier]
    return question.rows(name, **given)
