"""What stands around hits: neighbours and sections, of the very document version that the hit is of.

A version is seen whole or not at all, so what stands around a hit is seen where the hit is: at the same position, in the same
session. Filters pick hits and not what stands around them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

from recant.search.result import Surrounding
from recant.store import Connection, Row, load

MOST_REACH = 20
SECTIONS = ("own", "parent")
MOST_CHUNKS = 50
"""Around one hit, the nearest first."""
_SQL = load(__package__, "refining.sql")


def surroundings(
    connection: Connection, chunk_ids: Sequence[int], reach: int, section: str | None
) -> dict[int, tuple[Surrounding, ...]]:
    """By hit, in the document's order: at most `reach` neighbours on either side, and the section without a gap."""
    if not chunk_ids or not (reach or section):
        return {}
    given = {"ids": list(chunk_ids), "reach": reach, "section": section}
    statement = _SQL["surroundings"].format(most=MOST_CHUNKS)
    found: dict[int, list[Row]] = {}
    for row in connection.execute(statement, given, prepare=True):
        found.setdefault(row["hit_id"], []).append(row)
    return {hit: tuple(_without_gaps(rows)) for hit, rows in found.items()}


def _without_gaps(rows: Sequence[Row]) -> Iterator[Surrounding]:
    """A section of the same headings further on is another section."""
    by_distance = {row["distance"]: row for row in rows}
    before = list(takewhile(by_distance.__contains__, range(-1, -MOST_CHUNKS - 1, -1)))
    after = takewhile(by_distance.__contains__, range(1, MOST_CHUNKS + 1))
    for distance in (*reversed(before), *after):
        row = by_distance[distance]
        headers = tuple(row["parent_headers"])
        yield Surrounding(row["chunk_id"], distance, row["text"], row["chunk_type"], headers)
