"""What a session was shown, on record before it is shown: evidence of what its next write may have been made from.

Keeps out who is thereby a possible dependent of whom (rollback).
"""

from __future__ import annotations

from dataclasses import dataclass

from recant.errors import UsageError
from recant.search.filters import is_storable
from recant.search.result import SearchResult
from recant.search.scope import Scope
from recant.store import Connection, load

LONGEST_NAME = 200
_SQL = load(__package__, "search.sql")


@dataclass(frozen=True, slots=True)
class Reader:
    """Who searches, inside a session. Raises UsageError for what can't be a session's or an agent's name."""

    session: str
    agent: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("session", self.session), ("agent", self.agent)):
            if value is not None and not (1 <= len(value) <= LONGEST_NAME and is_storable(value)):
                raise UsageError(f"{value!r} can't be {'a' if name == 'session' else 'an'} {name}'s name")

    def record(self, connection: Connection, scope: Scope, result: SearchResult) -> None:
        """Commits the versions that `result` shows or names, in one round trip, on a connection in autocommit.

        Seen by the session's next write, whatever becomes of this process. Nothing was shown: nothing is recorded.
        """
        if not result.hits:
            return
        shown = [(hit.operation_id, hit.document_id) for hit in result.hits]
        shown += [(also.operation_id, also.document_id) for hit in result.hits for also in hit.also_in]
        given = {
            "session": self.session,
            "agent": self.agent,
            "collection_id": scope.collection_id,
            "query": _storable(result.query),
            "position": result.position,
            "operations": [operation for operation, _ in shown],
            "records": [record for _, record in shown],
        }
        connection.execute(_SQL["record_search"], given, prepare=True)


def _storable(query: str | None) -> str | None:
    """Bytes that are no text escaped; where it is cut, the database decides."""
    return query and query.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def reader(session: str | None, agent: str | None) -> Reader | None:
    """None for a search outside of any session: that one leaves no trace."""
    return None if session is None else Reader(session, agent)
