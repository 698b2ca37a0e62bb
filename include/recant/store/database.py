"""Connections to Postgres, with the least privileges that the work needs, whoever the login is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import Any

import psycopg
from pgvector.psycopg import register_vector
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from recant.store.failures import translated, unreachable
from recant.store.servers import REPLICA_WAIT_SECONDS, Standbys, names_several, primary_dsn

Row = DictRow
Connection = psycopg.Connection[DictRow]

CONNECT_TIMEOUT_SECONDS = 10

logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())  # what it warns of is in the error that we raise

json_parameter = Jsonb
"""Wraps a value that goes into a jsonb column."""


class Database:
    """A pool of connections that act as `role`, whatever the login may do beyond it.

    Opened on first use; close it, or use it as a context manager. Safe to share between threads. Of a DSN that names several
    servers the primary has the transactions and a standby the snapshots, with all that was committed before each; after
    `replica_wait_seconds` the primary answers in its place.
    """

    def __init__(
        self,
        dsn: str,
        *,
        role: str = "recant_worker",
        max_connections: int = 8,
        replica_wait_seconds: float = REPLICA_WAIT_SECONDS,
    ) -> None:
        self.dsn = dsn
        self.role = role
        self._max = max_connections
        self._pool: ConnectionPool[Connection] | None = None
        self._lock = Lock()
        self._standbys = (
            Standbys(dsn, self._open_pool, self._connections, wait_seconds=replica_wait_seconds)
            if names_several(dsn)
            else None
        )

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes every connection. Using the database again opens new ones."""
        if self._standbys is not None:
            self._standbys.close()
        with self._lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection in a transaction: committed at the end, rolled back by an exception.

        Raises DatabaseUnreachable, AuthenticationFailed, SchemaOutdated, and what the coordinator's functions refuse with.
        """
        with translated(), self._connections().connection() as connection, connection.transaction():
            if self._standbys is not None:
                self._standbys.note_primary()
            yield connection

    @contextmanager
    def snapshot(self, *, on_primary: bool = False) -> Iterator[Connection]:
        """A read-only transaction that sees one state throughout (REPEATABLE READ), on a standby where there is one.

        `on_primary`: for what only it knows (its locks, its statistics), or what is to be said of it.
        """
        with translated(), self._reading(on_primary) as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield connection
            finally:
                connection.commit()  # a rollback would forget prepared statements

    @contextmanager
    def statements(self) -> Iterator[Connection]:
        """A connection on which each statement is a transaction of its own, committed in the same round trip."""
        with translated(), self._connections().connection() as connection:
            yield connection

    def connection(self) -> AbstractContextManager[Connection]:
        """A connection in autocommit, of its own, for LISTEN and upkeep. Closed at the end."""
        return self._single()

    @contextmanager
    def _single(self) -> Iterator[Connection]:
        with translated(), connect_once(self.dsn) as connection:
            connection.autocommit = True
            self._configure(connection)
            yield connection

    def _reading(self, on_primary: bool) -> AbstractContextManager[Connection]:
        if self._standbys is None or on_primary:
            return self._connections().connection()
        return self._standbys.reading()

    def _connections(self) -> ConnectionPool[Connection]:
        with self._lock:
            if self._pool is None:
                with connect_once(self.dsn) as first:
                    self._configure(first)  # a clear error now, instead of a pool's time-out later
                self._pool = self._open_pool(primary_dsn(self.dsn), checked=self._standbys is not None)
            return self._pool

    def _open_pool(self, dsn: str, *, checked: bool = False) -> ConnectionPool[Connection]:
        """`checked`: connections that a failover left dead are seen to be, by a question before each use."""
        options = {"row_factory": dict_row, "autocommit": True, "connect_timeout": CONNECT_TIMEOUT_SECONDS}
        return ConnectionPool(
            dsn,
            connection_class=Connection,
            kwargs=options | {"application_name": "recant"},
            min_size=0,
            max_size=self._max,
            timeout=CONNECT_TIMEOUT_SECONDS,
            max_idle=60,
            configure=self._configure,
            check=ConnectionPool.check_connection if checked else None,
            open=True,
        )

    def _configure(self, connection: Connection) -> None:
        connection.execute(
            "SELECT set_config('role', %s, false), set_config('search_path', 'recant,public', false)", [self.role]
        )
        register_vector(connection)


def connect_once(dsn: str, **options: Any) -> Connection:
    """One connection to the primary as the login itself, for what the pool is not: migrations, making databases."""
    try:
        return psycopg.connect(
            primary_dsn(dsn),
            row_factory=dict_row,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name="recant",
            **options,
        )
    except psycopg.Error as error:
        raise unreachable(error, dsn) from error
