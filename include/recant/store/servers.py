"""A DSN that names several servers: the primary among them takes what is written, a standby answers what is read.

Offers which of them is which, and how far each standby is behind. A standby shows everything that was committed before a read
of it began, whoever wrote it: the primary is asked for its place in the log, the standby is waited for, and the primary
answers itself when that takes too long. While there is no primary, a standby answers with what it has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any, Literal

import psycopg
from psycopg import Connection as DriverConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from recant.errors import RecantError

log = logging.getLogger("recant.store")

REPLICA_WAIT_SECONDS = 0.25
AWAY_SECONDS = 5.0
"""So long no standby is looked for after none was found."""
LOOK_SECONDS = 0.005
CONNECT_TIMEOUT_SECONDS = 3
Connection = DriverConnection[DictRow]
_PLACE = """SELECT (CASE current_setting('synchronous_commit') WHEN 'off' THEN pg_current_wal_insert_lsn()
                         ELSE pg_current_wal_flush_lsn() END)::text AS place"""
"""What is committed is on its disk, so a standby can have it. What wasn't waited for (the note of what a session was shown)
comes after it, within the fifth of a second that PostgreSQL leaves it, and before any commit that follows on it.
"""


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server of a DSN, as it answered."""

    host: str
    port: str
    role: Literal["primary", "standby", "unreachable"]
    behind_bytes: int | None = None
    """Of a standby: how much of the primary's log it hasn't replayed; None: there is no primary to compare it with."""
    behind_seconds: float | None = None
    """How long ago that was committed which it replayed last; 0 when it has all that it was sent."""

    @property
    def said(self) -> str:
        """Its role, and of a standby how far it is behind, in words."""
        if self.role != "standby" or self.behind_bytes is None:
            return self.role
        return f"standby, {self.behind_bytes:,} bytes behind" if self.behind_bytes else "standby, up to date"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def names_several(dsn: str) -> bool:
    """Whether a DSN names more than one server. False of one that can't be understood."""
    return len(_hosts(dsn)) > 1


def primary_dsn(dsn: str) -> str:
    """The same DSN for the server that takes writes; of one server as it is."""
    return make_conninfo(dsn, target_session_attrs="read-write") if names_several(dsn) else dsn


def standby_dsn(dsn: str) -> str:
    """The same DSN for one that replays the primary's log, at random where there are several."""
    return make_conninfo(dsn, target_session_attrs="standby", load_balance_hosts="random")


def server_states(dsn: str) -> list[ServerState]:
    """Each server of the DSN, in its order, asked one after the other."""
    answers = [_ask(dsn, host, port) for host, port in _hosts(dsn)]
    last = max((answer["place"] for answer in answers if answer and not answer["standby"]), default=None)
    return [_state(host, port, answer, last) for (host, port), answer in zip(_hosts(dsn), answers, strict=True)]


class Standbys:
    """Connections to standbys, as far as there are any. Safe to share between threads."""

    def __init__(
        self,
        dsn: str,
        open_pool: Callable[[str], ConnectionPool[Connection]],
        primary: Callable[[], ConnectionPool[Connection]],
        *,
        wait_seconds: float,
    ) -> None:
        self._dsn = standby_dsn(dsn)
        self._open_pool = open_pool
        self._primary = primary
        self._wait_seconds = wait_seconds
        self._pool: ConnectionPool[Connection] | None = None
        self._away_until = 0.0
        self._primary_away_until = 0.0
        self._lock = Lock()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to a standby that has all that was committed until now; to the primary where none has in time."""
        place = self._place_of_primary()
        connection = self._fresh(place)
        if connection is None:
            with self._primary().connection() as found:
                yield found
            return
        pool, found = connection
        try:
            with found:
                yield found
        finally:
            pool.putconn(found)

    def close(self) -> None:
        """Closes every connection."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def note_primary(self) -> None:
        """It has just answered."""
        self._primary_away_until = 0.0

    def _place_of_primary(self) -> str | None:
        """How far its log is; None while there is no primary."""
        if time.monotonic() < self._primary_away_until:
            return None
        try:
            with self._primary().connection(CONNECT_TIMEOUT_SECONDS) as connection:
                row = connection.execute(_PLACE).fetchone()
        except (psycopg.Error, PoolTimeout, RecantError) as error:
            log.info("no primary answers: a standby does, with what it has (%s)", _first_line(error))
            self._primary_away_until = time.monotonic() + AWAY_SECONDS
            return None
        return str(row["place"]) if row else None

    def _fresh(self, place: str | None) -> tuple[ConnectionPool[Connection], Connection] | None:
        pool = self._connected()
        if pool is None:
            return None
        connection = None
        try:
            connection = pool.getconn(CONNECT_TIMEOUT_SECONDS)
            if self._has(connection, place):
                return pool, connection
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
            self._give_up(pool, error)
        if connection is not None:
            pool.putconn(connection)
        return None

    def _has(self, connection: Connection, place: str | None) -> bool:
        deadline = time.monotonic() + self._wait_seconds
        while True:
            row = connection.execute(
                "SELECT %(place)s::pg_lsn IS NULL OR NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= %(place)s::pg_lsn AS there",
                {"place": place},
            ).fetchone()
            if row and row["there"]:
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_SECONDS)

    def _connected(self) -> ConnectionPool[Connection] | None:
        """The pool; None while no standby answers."""
        with self._lock:
            if self._pool is None and time.monotonic() >= self._away_until:
                try:
                    psycopg.connect(self._dsn, connect_timeout=CONNECT_TIMEOUT_SECONDS).close()
                except psycopg.OperationalError as error:
                    self._away_until = time.monotonic() + AWAY_SECONDS
                    log.info("no standby answers: the primary does (%s)", _first_line(error))
                else:
                    self._pool = self._open_pool(self._dsn)
            return self._pool

    def _give_up(self, pool: ConnectionPool[Connection], error: Exception) -> None:
        """A standby that is gone: its connections are closed, and another is looked for at once."""
        log.info("a standby is gone: %s", _first_line(error))
        with self._lock:
            if self._pool is pool:
                self._pool = None
        pool.close(timeout=0)


def _hosts(dsn: str) -> list[tuple[str, str]]:
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return []
    hosts = str(parts.get("host") or parts.get("hostaddr") or "localhost").split(",")
    ports = str(parts.get("port") or "5432").split(",")
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    return list(zip(hosts, ports, strict=True))


def _ask(dsn: str, host: str, port: str) -> DictRow | None:
    try:
        alone = make_conninfo(dsn, host=host, port=port or "5432", target_session_attrs="any", connect_timeout=3)
        with psycopg.connect(alone, row_factory=dict_row, autocommit=True) as connection:
            return connection.execute(
                """SELECT pg_is_in_recovery() AS standby,
                     (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::bigint AS place,
                     CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                          ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 END AS seconds"""
            ).fetchone()
    except psycopg.Error:
        return None


def _state(host: str, port: str, answer: DictRow | None, last: int | None) -> ServerState:
    if answer is None:
        return ServerState(host, port, "unreachable")
    if not answer["standby"]:
        return ServerState(host, port, "primary")
    behind = None if last is None else max(0, last - answer["place"])
    return ServerState(host, port, "standby", behind, answer["seconds"])


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
