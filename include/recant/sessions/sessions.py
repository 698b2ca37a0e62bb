"""Opening, listing, merging and discarding sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from recant.corpus import Embeddings
from recant.errors import Refused, UnknownSession, UsageError
from recant.oplog import OperationLog, Selector, refresh_projections
from recant.sessions.session import Obstacle, Session, SessionDetail, SessionReport
from recant.store import Connection, Database, Row, json_parameter, load

LARGEST_LIMIT = 10**12
LONGEST = timedelta(days=3650)
_SQL = load(__package__, "sessions.sql")


class Sessions:
    """The sessions of one database. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def open(
        self,
        name: str,
        *,
        agent: str,
        explore: bool = False,
        max_records: int | None = None,
        max_operations: int | None = None,
        expires_in: timedelta | None = None,
        message: str = "",
    ) -> Session:
        """Registers a session, with limits on what is written in it from now on; writes beyond raise LimitExceeded.

        With `explore` its ingests are held until it is merged. Any name can be written in without being opened; one that
        was merged or discarded takes writes again once it is opened again. Raises UsageError; Refused when it is open.
        """
        _check_name(name)
        if not name.isprintable() or name != name.strip():
            raise UsageError(f"session {name!r}: a name is printable, and has no space at either end")
        given = {
            "name": name,
            "agent": _checked_length("agent", agent),
            "mode": "exploration" if explore else "normal",
            "max_records": _checked_limit("max_records", max_records),
            "max_operations": _checked_limit("max_operations", max_operations),
            "expires_in_seconds": _checked_duration(expires_in),
            "message": message,
        }
        with self.database.transaction() as connection:
            connection.execute(_SQL["open_session"], given)
            return _sessions(connection, name=name)[0]

    def limit(self, name: str, *, agent: str, message: str = "", **limits: int | timedelta | None) -> Session:
        """Gives an open session other limits, from its next write on: `max_records`, `max_operations`, `expires_in`; None: no
        limit. Those that aren't named stay. It is noted who did it, and why: `SessionDetail.changes`.

        Raises UsageError, UnknownSession; Refused for one that was never opened, OperationClosed for one that is over.
        """
        given = {
            "name": name,
            "agent": _checked_length("agent", agent),
            "limits": json_parameter(_checked_limits(limits)),
            "message": message,
        }
        with self.database.transaction() as connection:
            self._known(connection, name)
            connection.execute(_SQL["limit_session"], given)
            return _sessions(connection, name=name)[0]

    def list(self, *, closed: bool = False, limit: int = 50) -> list[Session]:
        """Sessions that are open, or hold something open; with `closed` also those that are over. The latest first."""
        with self.database.snapshot() as connection:
            return _sessions(connection, closed=closed, limit=limit)

    def get(self, name: str, *, limit: int = 50) -> SessionDetail:
        """A session with its latest `limit` operations, and what a merge would publish or be refused with.

        Raises UnknownSession.
        """
        with self.database.snapshot() as connection:
            session = self._known(connection, name)
            waiting = [row["id"] for row in connection.execute(_SQL["open_operations"], {"name": name})]
            obstacles = [Obstacle(**row) for row in connection.execute(_SQL["merge_obstacles"], {"name": name})]
            changes = connection.execute(_SQL["changes_of"], {"name": name}).fetchall()
        history = OperationLog(self.database).find(Selector(sessions=(name,)), limit=limit)
        return SessionDetail(session, tuple(waiting), tuple(obstacles), tuple(history), tuple(changes))

    def merge(self, name: str) -> SessionReport:
        """Publishes the session's open operations in the order they were opened, all or none, and closes the session.

        If a merged operation is reverted later, the others of its session stand, unless they were built on it. Raises
        WriteConflict, InputWithdrawn, Refused (a batch is unfinished): nothing is published then. UnknownSession.
        """
        try:
            with self.database.transaction() as connection:
                before = self._known(connection, name)
                rows = connection.execute(_SQL["merge_session"], {"name": name}).fetchall()
        except Refused as refused:
            raise type(refused)(_not_merged(name, refused), **refused.details) from refused
        published = tuple((row["operation_id"], row["position"]) for row in rows)
        refresh_projections(self.database)
        self._tend_indexes([operation_id for operation_id, _ in published])
        return SessionReport(
            name, "merged", bool(published), _told(before, "merged", "published", len(published)), published
        )

    def discard(self, name: str, *, reason: str = "") -> SessionReport:
        """Aborts the session's open operations and closes the session: nothing of them was or will be seen by others.

        What the session has published stays; a rollback takes it back. Raises UnknownSession.
        """
        given = {"name": name, "reason": reason or f'its session "{name}" was discarded'}
        with self.database.transaction() as connection:
            before = self._known(connection, name)
            rows = connection.execute(_SQL["discard_session"], given).fetchall()
        aborted = tuple(row["operation_id"] for row in rows)
        message = _told(before, "discarded", "aborted", len(aborted))
        return SessionReport(name, "discarded", bool(aborted), message, aborted=aborted)

    def explores(self, name: str | None) -> bool:
        """Whether ingests of this session are held: it was opened for exploration, and isn't over."""
        if name is None:
            return False
        with self.database.transaction() as connection:
            row = connection.execute(_SQL["explores"], {"name": name}).fetchone()
        return bool(row and row["explores"])

    def _known(self, connection: Connection, name: str) -> Session:
        _check_name(name)
        found = _sessions(connection, name=name)
        if not found:
            raise UnknownSession(
                f'Nobody opened a session "{name}" or wrote in one: `recant session list --all` lists them.'
            )
        return found[0]

    def _tend_indexes(self, operation_ids: Sequence[int]) -> None:
        with self.database.transaction() as connection:
            given = {"operation_ids": list(operation_ids)}
            spaces = connection.execute(_SQL["written_collections"], given).fetchall()
        for space in spaces:
            Embeddings(self.database, space["space_id"], space["dimensions"]).tend_index()


def _sessions(
    connection: Connection, *, name: str | None = None, closed: bool = False, limit: int = 1
) -> list[Session]:
    given: Mapping[str, Any] = {"name": name, "closed": closed, "limit": limit}
    return [_session(row) for row in connection.execute(_SQL["find_sessions"], given)]


def _session(row: Row) -> Session:
    return Session(**(row | {"agents": tuple(row["agents"])}))


def _told(before: Session, outcome: str, done: str, count: int) -> str:
    if count:
        many = "operations are" if count != 1 else "operation is"
        return f'Session "{before.name}": {count} {many} {done}.'
    if before.closed_at is not None:
        return f'Session "{before.name}" was {before.state} before: nothing is open in it.'
    closing = f" It is {outcome} now." if before.registered else ""
    return f'Nothing is open in session "{before.name}".{closing}'


def _not_merged(name: str, refused: Refused) -> str:
    see = "`recant session show` lists all that stands in its way."
    return f'Session "{name}" was not merged, and nothing of it is published: {refused} {see}'


def _check_name(name: str) -> None:
    _checked_length("session", name)
    if "\x00" in name:
        raise UsageError("A session's name can't hold a NUL character.")


def _checked_length(what: str, text: str) -> str:
    if not 1 <= len(text) <= 200:
        raise UsageError(f"{what} must have between 1 and 200 characters, this one has {len(text)}")
    return text


def _checked_limit(what: str, limit: int | timedelta | None) -> int | None:
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LARGEST_LIMIT:
        raise UsageError(f"{what} must be from 1 to {LARGEST_LIMIT:,}, not {limit}; leave it out for no limit")
    return limit


def _checked_limits(limits: Mapping[str, int | timedelta | None]) -> dict[str, float | None]:
    if not limits or limits.keys() - {"max_records", "max_operations", "expires_in"}:
        raise UsageError("Say which limit is to be another: max_records, max_operations, expires_in.")
    checked: dict[str, float | None] = {}
    for name, limit in limits.items():
        if name == "expires_in":
            checked["expires_in_seconds"] = _checked_duration(limit)
        else:
            checked[name] = _checked_limit(name, limit)
    return checked


def _checked_duration(expires_in: int | timedelta | None) -> float | None:
    if expires_in is None:
        return None
    if not isinstance(expires_in, timedelta) or not timedelta(0) < expires_in <= LONGEST:
        raise UsageError(f"expires_in must be longer than nothing and at most {LONGEST.days:,} days, not {expires_in}")
    return expires_in.total_seconds()
