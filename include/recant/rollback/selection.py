"""From a selector to operations, with what can't be taken back refused by name."""

from __future__ import annotations

from typing import Any

from recant.errors import UnknownOperation, UsageError
from recant.oplog import Selector
from recant.store import Connection, Row, load

_SQL = load("recant.oplog", "oplog.sql")


def select(connection: Connection, selector: Selector) -> list[Row]:
    """Published writing operations (id, visible) that match, oldest first.

    Raises UnknownOperation for an id that isn't there; UsageError for one that is open, aborted, or a control operation.
    """
    if selector.operations:
        _check_ids(connection, selector.operations)
    return connection.execute(_SQL["select_published"], selector.bindings()).fetchall()


def redo_target(connection: Connection, selector: dict[str, Any]) -> list[Row]:
    """The control operation that is to be taken back. Raises UnknownOperation, UsageError."""
    (operation_id,) = selector["operations"]
    found = connection.execute(_SQL["known_operations"], {"operations": [operation_id]}).fetchone()
    if found is None:
        raise UnknownOperation(f"There is no operation {operation_id}: `recant log` lists them.")
    if not found["control"]:
        raise UsageError(
            f"Operation {operation_id} is a {found['kind']}, not a rollback: only what took something back can be redone."
        )
    rows = connection.execute("SELECT id, visible FROM operation WHERE id = %s", [operation_id]).fetchall()
    return list(rows)


def _check_ids(connection: Connection, operations: tuple[int, ...]) -> None:
    found = {row["id"]: row for row in connection.execute(_SQL["known_operations"], {"operations": list(operations)})}
    for operation_id in operations:
        if operation_id not in found:
            raise UnknownOperation(f"There is no operation {operation_id}: `recant log` lists them.")
        row = found[operation_id]
        if row["control"]:
            raise UsageError(
                f"Operation {operation_id} is a {row['kind']}: take it back with `recant redo {operation_id}`."
            )
        if row["life"] != "published":
            raise UsageError(
                f"Operation {operation_id} is {row['life']}, nobody else ever saw it: there is nothing to take back."
            )
