"""The statement that reads one table of an export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from recant.errors import UnknownCollection, UsageError
from recant.export.request import ExportRequest
from recant.export.tables import TABLES, Column
from recant.oplog.positions import require_answerable
from recant.search.filters import compile_filters
from recant.store import Connection, load

_SQL = load(__package__, "export.sql")


@dataclass(frozen=True, slots=True)
class Scope:
    """What one snapshot is asked for."""

    position: int
    """What the export holds was seen here."""
    read_position: int
    """The last one when it was read."""
    collection_id: int | None
    collections: tuple[str, ...]
    dimensions: tuple[int, ...]
    """Lengths of the vectors that there are."""


def read_scope(connection: Connection, request: ExportRequest) -> Scope:
    """Raises UnknownCollection, UsageError for a position that isn't there yet, PastHorizon for one that was reclaimed."""
    connection.execute(_SQL["prepare"])
    row = connection.execute(_SQL["scope"], {"collection": request.collection, "as_of": request.as_of}).fetchone()
    assert row is not None, "it answers with one row"
    if request.collection is not None and row["collection_id"] is None:
        raise UnknownCollection(f"There is no collection {request.collection!r}: `recant collections` lists them.")
    if request.as_of is not None:
        if not 0 <= request.as_of <= row["position"]:
            raise UsageError(f"There is no position {request.as_of}: the log stands at {row['position']}")
        require_answerable(connection, request.as_of, request.collection)
    position = row["position"] if request.as_of is None else request.as_of
    return Scope(position, row["position"], row["collection_id"], tuple(row["collections"]), tuple(row["dimensions"]))


def is_behind(connection: Connection, collection: str | None, position: int, kinds: Sequence[str]) -> bool:
    """Whether something was published or taken back since; operations of these kinds don't count."""
    given = {"collection": collection, "position": position, "kinds": list(kinds)}
    row = connection.execute(_SQL["is_behind"], given).fetchone()
    return bool(row and row["behind"])


def select(
    table: str, columns: Sequence[Column], request: ExportRequest, scope: Scope
) -> tuple[LiteralString, dict[str, Any]]:
    """The rows of a table, sorted, and what the statement is bound to."""
    csv = request.format == "csv"
    shown = ", ".join(c.as_csv(request.protect_formulas) if csv else c.as_value() for c in columns)
    conditions, given = compile_filters(request.filters)
    parts = {
        "seen": _SQL["seen"],
        "agents": f" {_SQL['agents']}" if request.agents else "",
        "filters": conditions,
        "some_chunk": f" {_SQL['some_chunk']}".replace("{filters}", conditions) if conditions else "",
    }
    rows = _SQL[table].format(**parts)
    order = ", ".join(f"t.{name}" for name in TABLES[table].order)
    statement = _SQL["sorted_rows"].format(shown=shown, rows=rows, order=order)
    given |= {
        "collection_id": scope.collection_id,
        "position": request.as_of,
        "at": scope.position,
        "agents": list(request.agents),
    }
    return statement, given
