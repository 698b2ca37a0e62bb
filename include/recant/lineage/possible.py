"""What may have been built on something: sessions that were shown it, and wrote then.

As in a blast radius: a way has one read at most, since an answer that names everybody is no help; what was built on it in
turn is followed without limit. Whatever is definite stays so, and goes before it where a limit leaves no room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recant.lineage.question import Question
from recant.lineage.starts import WHOLE, Target
from recant.lineage.walk import ROWS_PER_OPERATION, Reached, next_hop, reach
from recant.store import Row


def follow_reads(question: Question, reached: Reached, *, upstream: bool, depth: int | None, limit: int) -> None:
    """Adds to what was reached definitely who was shown it (upstream: what it was shown), and what leads on from there."""
    definite, seen = dict(reached.distances), set(reached.targets)
    waiting: dict[int, list[Row]] = {}
    for row in _reads(question, seen, upstream=upstream, room=limit):
        waiting.setdefault(abs(definite[row["via"]]) + 1, []).append(row)
    frontier: list[Target] = []
    hop = 0
    while (waiting or frontier) and (depth is None or hop < depth):
        hop += 1
        rows = waiting.pop(hop, [])
        rows += next_hop(question, frontier, upstream, room=limit - len(reached.distances)) if frontier else []
        frontier = []
        for row in rows:
            operation = row["operation_id"]
            if operation in definite:
                reached.tie(row, upstream=upstream)
            elif operation not in reached.distances and len(reached.distances) >= limit:
                reached.truncated = True
            else:
                reached.distances.setdefault(operation, -hop if upstream else hop)
                reached.possible.add(operation)
                reached.note(row, upstream=upstream)
                target = (operation, row["record_id"])
                if target not in seen and (operation, WHOLE) not in seen:
                    seen.add(target)
                    frontier.append(target)


def possible_reach(
    question: Question, own: Sequence[int], definite: Sequence[int], *, upstream: bool, depth: int | None
) -> list[int]:
    """All that only a read leads to, without a limit and without what leads where. `definite`: what `own` leads to."""
    if depth is None:
        found = _beyond(question, definite, upstream=upstream, depth=None)
    else:
        found, before = set(), set[int]()
        for hop in range(depth):
            here = set(reach(question, own, upstream=upstream, depth=hop)) - before
            if not here:
                break
            found |= _beyond(question, sorted(here), upstream=upstream, depth=depth - hop - 1)
            before |= here
    return sorted(found.difference(definite))


def _beyond(question: Question, operations: Sequence[int], *, upstream: bool, depth: int | None) -> set[int]:
    """Who was shown any of these (upstream: what they were shown), and what that leads to."""
    targets = [(operation, WHOLE) for operation in operations]
    readers = {row["operation_id"] for row in _reads(question, targets, upstream=upstream, room=None)}
    return set(reach(question, readers, upstream=upstream, depth=depth)) if readers else set()


def _reads(question: Question, targets: Iterable[Target], *, upstream: bool, room: int | None) -> list[Row]:
    pairs = sorted(targets)
    return question.rows(
        "shown_before" if upstream else "shown_to",
        operations=[operation for operation, _ in pairs],
        records=[record for _, record in pairs],
        limit=None if room is None else (room + 1) * ROWS_PER_OPERATION,
    )
