"""Keyword searches in one round trip: ranked by what was seen last, and given out only if that is still what is seen.

What an answer depends on besides the question is small: the scope, and which segments there are. Where both are as they were
when a search last looked, its view still holds, so the chunks are ranked first, and the statement that reads what hits show
reads the state, too, in the same snapshot. Where it is another one, nothing has happened: the search starts again, in a
snapshot of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from recant.search.keyword_reader import Cache
from recant.search.keyword_view import View
from recant.search.scope import Scope
from recant.search.tokens import analysis
from recant.store import Connection, Row, load

REMEMBERED = 64
"""Scopes: a collection, a session, a position."""
_SQL = load(__package__, "keyword.sql")
_SEARCH_SQL = load(__package__, "search.sql")


class Moved(Exception):
    """It is no longer what is seen, or one statement isn't enough."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a scope is found by."""

    collection: str
    as_of: int | None
    session: str | None
    by_quality: bool

    @property
    def parameters(self) -> dict[str, Any]:
        """What `read_state` is bound to."""
        session = self.session if self.as_of is None else None
        given = {"collection": self.collection, "session": session, "as_of": self.as_of, "space_id": None}
        return given | {"analysis": analysis()}


@dataclass(slots=True)
class Last:
    """What was seen, and the one look that is left to it."""

    asked: Asked
    state: str
    scope: Scope
    view: View
    looked: bool = False

    def rows(self, connection: Connection, statement: str, given: Mapping[str, Any]) -> list[Row]:
        """The statement's rows, which must have a `number`. Raises Moved where the state is another one, and the second time."""
        if self.looked:
            raise Moved
        self.looked = True
        guarded = _SQL["if_state_is"].format(state=_state(), rows=statement)
        expected = {"state": self.state} | self.asked.parameters
        rows = connection.cursor(binary=True).execute(guarded, {**given, **expected}, prepare=True).fetchall()
        if not rows:
            raise Moved
        return [row for row in rows if row["number"] is not None]


class Memory:
    """The states seen last. Safe to share between threads."""

    def __init__(self) -> None:
        self._known: Cache[Hashable, tuple[str, Scope, View]] = Cache(REMEMBERED, lambda _: 1)

    def last(self, asked: Asked) -> Last | None:
        """To be used once."""
        known = self._known.get(asked)
        return None if known is None else Last(asked, *known)

    def note(self, connection: Connection, asked: Asked, scope: Scope, view: View) -> None:
        """In the snapshot that scope and view are of. What a session writes changes without a trace: not remembered."""
        if scope.own:
            return
        statement = _state()
        given = {"collection_id": scope.collection_id, "own": []} | asked.parameters
        row = connection.execute(statement, given, prepare=True).fetchone()
        if row is not None and row["state"] is not None:
            self._known.put(asked, (row["state"], scope, view))


def _state() -> str:
    return _SQL["read_state"].format(scope=_SEARCH_SQL["describe_scope"], segments=_SQL["list_segments"])
