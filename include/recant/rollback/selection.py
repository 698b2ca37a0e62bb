"""From a selector to operations, with what can't be taken back refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recant.errors import UnknownCollection, UnknownOperation, UsageError
from recant.oplog import DESTROYING_KINDS, Selector
from recant.oplog.statements import STATEMENTS as _SQL
from recant.store import Connection, Row, load

_ROLLBACK = load(__package__, "rollback.sql")


@dataclass(frozen=True, slots=True)
class Selected:
    """Published writing operations, oldest first."""

    operations: tuple[int, ...]
    seen: tuple[int, ...]
    """Those of them that are seen now."""


def select(connection: Connection, selector: Selector) -> Selected:
    """Published writing operations that match.

    Raises UnknownOperation and UnknownCollection for what isn't there; UsageError for an operation that is open, aborted,
    or a control operation.
    """
    if selector.operations:
        _check_ids(connection, selector.operations)
    for collection in selector.collections:
        _require_collection(connection, collection)
    row = connection.execute(_SQL["select_published"], selector.bindings()).fetchone()
    assert row is not None, "an aggregate answers with one row"
    return Selected(tuple(row["operations"]), tuple(row["seen"]))


def redo_target(connection: Connection, operation_id: int) -> list[Row]:
    """The control operation (id, visible) that is to be taken back. Raises UnknownOperation, UsageError."""
    found = connection.execute(_SQL["known_operations"], {"operations": [operation_id]}).fetchall()
    if not found:
        raise UnknownOperation(f"There is no operation {operation_id}: `recant log` lists them.")
    if found[0]["control"] and found[0]["kind"] in DESTROYING_KINDS:
        raise _irrevocable(found[0])
    if not found[0]["control"]:
        raise UsageError(
            f"Operation {operation_id} is no rollback (its kind is {found[0]['kind']}): only what took something back can be "
            "redone."
        )
    return found


def quarantined(connection: Connection, operations: Sequence[int]) -> list[int]:
    """Of these, the ones that the last effective verdict quarantines, oldest first."""
    given = Selector().bindings() | {"operations": list(operations), "before_position": None, "limit": None}
    rows = connection.execute(_SQL["find_operations"], given).fetchall() if operations else []
    return sorted(row["id"] for row in rows if row["state"] == "quarantined")


def writing_operations(connection: Connection, collection: str, position: int) -> tuple[set[int], set[int]]:
    """Every published operation that wrote to a collection, seen or not; and those published until a position.

    Raises UnknownCollection.
    """
    _require_collection(connection, collection)
    given = {"collection": collection, "position": position}
    row = connection.execute(_ROLLBACK["writing_operations"], given).fetchone()
    assert row is not None, "an aggregate answers with one row"
    return set(row["operations"]), set(row["until"])


def _irrevocable(row: Row) -> UsageError:
    done = "erased a document" if row["kind"] == "erase" else "freed storage"
    return UsageError(f"Operation {row['id']} {done}: what it destroyed is gone, and nothing takes it back.")


def _require_collection(connection: Connection, collection: str) -> None:
    if connection.execute("SELECT FROM collection WHERE name = %s", [collection]).fetchone() is None:
        raise UnknownCollection(f'There is no collection "{collection}": `recant collections` lists them.')


def _check_ids(connection: Connection, operations: tuple[int, ...]) -> None:
    found = {row["id"]: row for row in connection.execute(_SQL["known_operations"], {"operations": list(operations)})}
    for operation_id in operations:
        if operation_id not in found:
            raise UnknownOperation(f"There is no operation {operation_id}: `recant log` lists them.")
        row = found[operation_id]
        if row["control"] and row["kind"] in DESTROYING_KINDS:
            raise _irrevocable(row)
        if row["control"]:
            raise UsageError(
                f"Operation {operation_id} is a {row['kind']}: take it back with `recant redo {operation_id}`."
            )
        if row["life"] != "published":
            raise UsageError(
                f"Operation {operation_id} is {row['life']}, nobody else ever saw it: there is nothing to take back."
            )
