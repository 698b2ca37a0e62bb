"""What the vector index of a space holds: out with what nothing visible or open needs, back in with what does again.

Searches stay right at every moment: whatever control operation is published meanwhile is younger than the position that
tending is recorded with, so a search looks whether it has shown something that is outside, and compares everything if so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recant.errors import Refused
from recant.store import Connection, Database, load

SHARE = 500
"""Embeddings moved in one transaction: some ten milliseconds out, half a second in."""
LEAST_SHARE = 0.1
"""Of the index's entries; a smaller surplus is left in it: spread evenly it costs a search less than it can measure."""
FLOOD = 1_000
"""Embeddings of one operation that are taken out whatever share of the index they are: what lies beyond such a crowd of withdrawn
near-duplicates is found by comparing everything.
"""
REBUILD_SHARE = 0.25
"""From this share of the entries taken out on, building the index anew is cheaper than VACUUM mending it."""
_SQL = load(__package__, "upkeep.sql")


@dataclass(frozen=True, slots=True)
class IndexTending:
    """What was done to one space's index."""

    space_id: int
    position: int
    """At this position all that was visible is in the index."""
    taken_out: int
    left_in: int
    """Which nothing needs, but too few to be worth taking out."""
    put_back: int
    outside: int
    followed_by: str
    """`rebuild`, `vacuum`, `nothing`; or `left to autovacuum` where this role may do neither (PostgreSQL 16)."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def tend_index(
    database: Database, space_id: int, *, follow_up: bool = True, least_share: float = LEAST_SHARE,
    between: Callable[[], None] = lambda: None,
) -> IndexTending:  # fmt: skip
    """Moves embeddings out of a space's index and back in, in short transactions. Out only where they are `least_share` of its
    entries or more, or one operation has written 1,000 of them.

    `between` is called after each. Interrupted anywhere it leaves an index that searches use rightly; the next tending
    goes on. Raises Refused while another one is at work.
    """
    given: dict[str, Any] = {"space_id": space_id}
    with database.connection() as connection:
        take_turn(connection, space_id)
        position = int(_value(connection, "log_position", {}))
        put_back = _move(connection, "enter_index", space_id, _ids(connection, "missing", given), between)
        surplus = _ids(connection, "surplus", given)
        worth = _is_worth_it(connection, space_id, surplus, least_share)
        taken_out = _move(connection, "leave_index", space_id, surplus if worth else (), between)
        outside = int(_value(connection, "end_tending", given | {"position": position}))
        followed_by = _follow_up(connection, space_id, taken_out) if follow_up else "nothing"
    return IndexTending(space_id, position, taken_out, 0 if worth else len(surplus), put_back, outside, followed_by)


def take_turn(connection: Connection, space_id: int) -> None:
    """One tends or rebuilds at a time, until its connection is closed. Raises Refused while another one is at work."""
    if not _value(connection, "begin_tending", {"space_id": space_id}):
        raise Refused("The vector index is being tended already: wait until that is done.")


def rebuild_index(connection: Connection, space_id: int) -> bool:
    """Builds a space's index anew beside the old one, which serves until then. False where this role may not.

    The connection has its turn (`take_turn`).
    """
    if not may_maintain(connection):
        return False
    connection.execute(_SQL["drop_broken_indexes"])
    connection.execute("SELECT set_config('maintenance_work_mem', '1GB', false)")
    connection.execute(f"REINDEX INDEX CONCURRENTLY recant.embedding_vector_{space_id:d}")
    connection.execute(_SQL["record_build"], {"space_id": space_id})
    return True


def may_maintain(connection: Connection) -> bool:
    """Whether VACUUM and REINDEX are allowed to this role."""
    return bool(_value(connection, "may_maintain", {}))


def _follow_up(connection: Connection, space_id: int, taken_out: int) -> str:
    """What is out is passed over by a search at a price, until VACUUM or a new index has forgotten it."""
    if not taken_out:
        return "nothing"
    if not may_maintain(connection):
        return "left to autovacuum"
    if taken_out >= REBUILD_SHARE * _entries(connection, space_id):
        rebuild_index(connection, space_id)
        connection.execute("VACUUM (INDEX_CLEANUP ON, ANALYZE) recant.embedding")
        return "rebuild"
    connection.execute("VACUUM (INDEX_CLEANUP ON, ANALYZE) recant.embedding")
    return "vacuum"


def _is_worth_it(connection: Connection, space_id: int, surplus: Sequence[int], least_share: float) -> bool:
    if not surplus or len(surplus) >= least_share * _entries(connection, space_id):
        return True
    return int(_value(connection, "largest_surplus", {"ids": list(surplus)})) >= FLOOD


def _entries(connection: Connection, space_id: int) -> int:
    """Of the index, by PostgreSQL's statistics; at least one."""
    return max(int(_value(connection, "entries", {"space_id": space_id}) or 0), 1)


def _move(connection: Connection, how: str, space_id: int, ids: Sequence[int], between: Callable[[], None]) -> int:
    moved = 0
    for start in range(0, len(ids), SHARE):
        moved += int(_value(connection, how, {"space_id": space_id, "ids": list(ids[start : start + SHARE])}))
        between()
    return moved


def _ids(connection: Connection, name: str, given: dict[str, Any]) -> list[int]:
    return [int(row["id"]) for row in connection.execute(_SQL[name], given)]


def _value(connection: Connection, name: str, given: dict[str, Any]) -> Any:
    row = connection.execute(_SQL[name], given).fetchone()
    return next(iter(row.values())) if row else None
