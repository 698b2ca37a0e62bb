"""Possible dependents: operations whose session was shown what is selected, since its write before, and that wrote then.

They may have been built on it or not; the evidence says what was read. So they are named and, unless asked for, count
for nothing. Keeps out what is known to be built on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import LiteralString

from recant.errors import UsageError
from recant.rollback.targets import WHOLE, Dependent, Reach, Target
from recant.store import Connection, Row, load

MOST_HOPS = 10
_SQL = load(__package__, "possible.sql")
_ROLLBACK = load(__package__, "rollback.sql")
_READERS = {name: _SQL["readers"].format(ground=_SQL[f"{name}_ground"]) for name in ("whole", "narrowed")}


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


def find_possible(
    connection: Connection, selected: Sequence[int], definite: Sequence[Dependent], hops: int
) -> list[Dependent]:
    """Visible operations that were shown these or what was built on them, and what was built on those in turn."""
    readers: dict[int, Row] = {}
    for _ in range(hops if anything_was_read(connection) else 0):
        rows = connection.execute(_READERS["whole"], {"operations": [*selected, *readers]}).fetchall()
        if not rows:
            break
        readers |= {row["operation_id"]: row for row in rows}
    if not readers:
        return []
    built = connection.execute(_ROLLBACK["dependents"], {"operations": [*selected, *readers]}).fetchall()
    known = {d.operation_id for d in definite}
    found = [_reader(row) for row in readers.values() if row["live"]]
    return found + [
        Dependent(row["id"], row["class"], row["via"], certainty="possible") for row in built if row["id"] not in known
    ]


def with_reads(connection: Connection, reach: Reach, hops: int) -> Reach:
    """The reach of a narrowed selection, followed through reads as well; those who read are in it whole."""
    readers: dict[int, Row] = {}
    edges = list(reach.edges)
    for _ in range(hops if anything_was_read(connection) else 0):
        ground = sorted(reach.selected | {_end(edge) for edge in edges})
        bound = {"operations": [t[0] for t in ground], "records": [t[1] for t in ground]}
        rows = connection.execute(_READERS["narrowed"], bound).fetchall()
        if not rows:
            break
        readers |= {row["operation_id"]: row for row in rows}
        edges += [edge for row in rows for edge in _read_edges(row)]
        whole = {"operations": [row["operation_id"] for row in rows], "records": [WHOLE] * len(rows)}
        edges += connection.execute(_ROLLBACK["narrowed_edges"], whole).fetchall()
    names = {_end(edge): edge["source"] for edge in edges if edge["source"]}
    evidence = {number: tuple(row["evidence"]) for number, row in readers.items()}
    return replace(reach, edges=edges, names=names | reach.names, evidence=evidence)


def supporting(connection: Connection, outside: Iterable[int], hops: int) -> set[int]:
    """What these operations were built on, or with at most so many reads in between may have been."""
    found = set(outside)
    for hop in range(hops + 1):
        found |= _ids(connection, _ROLLBACK["supports"], found)
        if hop < hops:
            found |= _ids(connection, _SQL["shown_to"], found)
    return found


def anything_was_read(connection: Connection) -> bool:
    """Whether any write took a search: following reads costs nothing where there are none."""
    row = connection.execute(_SQL["any_reads"]).fetchone()
    return bool(row and row["known"])


def _ids(connection: Connection, statement: LiteralString, operations: set[int]) -> set[int]:
    return {row["id"] for row in connection.execute(statement, {"operations": sorted(operations)})}


def _reader(row: Row) -> Dependent:
    return Dependent(row["operation_id"], "read", row["via"], certainty="possible", evidence=tuple(row["evidence"]))


def _read_edges(row: Row) -> list[Row]:
    """One for each target that was shown."""
    whole = {
        "operation_id": row["operation_id"],
        "record_id": WHOLE,
        "class": "read",
        "live": row["live"],
        "source": None,
    }
    shown = {(operation_id, record_id) for targets in row["targets"] for operation_id, record_id in targets}
    return [whole | {"via": operation_id, "via_record": record_id} for operation_id, record_id in sorted(shown)]


def _end(edge: Row) -> Target:
    return edge["operation_id"], edge["record_id"]
