"""Possible dependents: operations whose session was shown what is selected, since its write before, and that wrote then.

They may have been built on it or not; the evidence says what was read. So they are named and, unless asked for, count
for nothing. Keeps out what is known to be built on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, LiteralString

from recant.errors import UsageError
from recant.rollback.targets import MOST_NAMED, WHOLE, Dependent, Dependents, Reach, Target
from recant.store import Connection, Row, load, numbers_text

MOST_HOPS = 10
SHOWN_SEARCHES = 5
SHOWN_READERS = 1_000
"""Whose searches are looked up; the others are named without."""
_SQL = load(__package__, "possible.sql")
_ROLLBACK = load(__package__, "rollback.sql")
Certainty = Literal["definite", "possible"]


@dataclass(frozen=True, slots=True)
class Reads:
    """What reading counts for."""

    include: bool = False
    """Whether possible dependents count as definite ones do."""
    hops: int = 1
    """How many reads a path from what is selected may have: 1 to 10. What was built on its way is followed without limit."""

    def __post_init__(self) -> None:
        if isinstance(self.hops, bool) or not isinstance(self.hops, int) or not 1 <= self.hops <= MOST_HOPS:
            raise UsageError(f"possible_hops must be from 1 to {MOST_HOPS}, not {self.hops!r}")


NAMED_ONLY = Reads()


def find_dependents(connection: Connection, selected: Sequence[int], hops: int) -> Dependents:
    """Visible operations built on these over any number of hops; and those that were shown these or what was built on them,
    with what was built on those in turn.
    """
    definite = _built_on(connection, selected)
    readers: list[Row] = []
    for _ in range(hops if anything_was_read(connection) else 0):
        ground = {"operations": numbers_text([*selected, *(row["operation_id"] for row in readers)])}
        found = connection.execute(_SQL["readers"], ground).fetchall()
        if not found:
            break
        readers += found
    if not readers:
        return definite
    known = [*selected, *definite.definite, *(row["operation_id"] for row in readers)]
    built = _built_on(connection, known, certainty="possible")
    live = [row for row in readers if row["live"]]
    named = _named(connection, live[:MOST_NAMED]) + list(built.named)
    possible = (*(row["operation_id"] for row in live), *built.possible)
    return replace(definite, possible=possible, named=(*definite.named, *named[:MOST_NAMED]))


def _built_on(connection: Connection, operations: Sequence[int], certainty: Certainty = "definite") -> Dependents:
    given = {"operations": numbers_text(operations), "listed": MOST_NAMED}
    row = connection.execute(_ROLLBACK["dependents"], given).fetchone()
    assert row is not None, "dependents_of answers with one row"
    firsts = zip(row["ids"], row["classes"], row["vias"], strict=False)
    named = tuple(Dependent(number, relation, via, certainty=certainty) for number, relation, via in firsts)
    ids = tuple(row["ids"])
    return Dependents(definite=ids, named=named) if certainty == "definite" else Dependents(possible=ids, named=named)


def with_reads(connection: Connection, reach: Reach, hops: int) -> Reach:
    """The reach of a narrowed selection, followed through reads as well; those who read are in it whole."""
    edges, evidence = list(reach.edges), dict(reach.evidence)
    for _ in range(hops if anything_was_read(connection) else 0):
        ground = sorted(reach.selected | {_end(edge) for edge in edges})
        bound = {"operations": [t[0] for t in ground], "records": [t[1] for t in ground]}
        found = connection.execute(_SQL["narrowed_readers"], bound).fetchall()
        if not found:
            break
        edges += [row | {"class": "read", "record_id": WHOLE, "source": None} for row in found]
        firsts = {row["operation_id"]: row for row in reversed(found)}
        evidence |= _evidence(connection, list(firsts.values()))
        whole = {"operations": list(firsts), "records": [WHOLE] * len(firsts)}
        edges += connection.execute(_ROLLBACK["narrowed_edges"], whole).fetchall()
    names = {_end(edge): edge["source"] for edge in edges if edge["source"]}
    return replace(reach, edges=edges, names=names | reach.names, evidence=evidence)


def supporting(connection: Connection, outside: Iterable[int], hops: int) -> set[int]:
    """What these operations were built on, or with at most so many reads in between may have been."""
    found = set(outside)
    for hop in range(hops + 1):
        row = connection.execute(_ROLLBACK["supports"], {"operations": numbers_text(found)}).fetchone()
        found |= set(row["ids"] if row else ())
        if hop < hops:
            found |= _ids(connection, _SQL["shown_to"], found)
    return found


def anything_was_read(connection: Connection) -> bool:
    """Whether any write took a search: following reads costs nothing where there are none."""
    row = connection.execute(_SQL["any_reads"]).fetchone()
    return bool(row and row["known"])


def _ids(connection: Connection, statement: LiteralString, operations: set[int]) -> set[int]:
    return {row["id"] for row in connection.execute(statement, {"operations": sorted(operations)})}


def _named(connection: Connection, readers: Sequence[Row]) -> list[Dependent]:
    evidence = _evidence(connection, readers)
    return [
        Dependent(number, "read", row["via"], certainty="possible", evidence=evidence.get(number, ()))
        for row in readers
        for number in (row["operation_id"],)
    ]


def _evidence(connection: Connection, readers: Sequence[Row]) -> dict[int, tuple[dict[str, Any], ...]]:
    """By reader, the first searches that showed it the operation that led to it."""
    first = readers[:SHOWN_READERS]
    given = {
        "readers": [row["operation_id"] for row in first],
        "via": [row["via"] for row in first],
        "via_records": [row["via_record"] for row in first],
        "limit": SHOWN_SEARCHES,
    }
    found: dict[int, list[dict[str, Any]]] = {}
    for row in connection.execute(_SQL["evidence"], given) if first else ():
        found.setdefault(row.pop("reader"), []).append(row)
    return {reader: tuple(searches) for reader, searches in found.items()}


def _end(edge: Row) -> Target:
    return edge["operation_id"], edge["record_id"]
