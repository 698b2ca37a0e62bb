"""Rows of a long answer, a share at a time: memory follows the share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString

from psycopg.rows import tuple_row

from recant.store.database import Connection


@contextmanager
def tuple_rows(
    connection: Connection, name: str, statement: LiteralString, given: Mapping[str, Any], rows_per_fetch: int
) -> Iterator[Iterator[tuple[Any, ...]]]:
    """The rows as plain tuples, by a cursor of that name on the server; the connection must be in a transaction."""
    with connection.cursor(name, binary=True, row_factory=tuple_row) as cursor:
        cursor.itersize = rows_per_fetch
        cursor.execute(statement, given)
        yield iter(cursor)
