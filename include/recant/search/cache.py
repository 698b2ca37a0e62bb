"""What was embedded and answered before, kept in this process: bounded, and never older than the log.

A query's vector depends on its text and the model alone. An answer depends on what was asked and on what is seen: it is given again only
while the log's position and the position that the quality scores are true at are what they were, so that a publish, a
rollback, an erasure or a new score makes it ask the database anew. Kept out: searches inside a session, which see open
writes and are recorded.
"""

from __future__ import annotations

import copy
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from recant.search.filters import read_filters
from recant.search.result import SearchResult
from recant.store import Database, load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Embed = Callable[[str], NDArray[np.floating[Any]]]

VECTORS_A_RESULT = 4
"""A vector takes 1.5 KB, an answer some ten: so many are kept for one."""
MOST_HITS = 100
LONGEST_QUERY = 2_000
_SQL = load(__package__, "search.sql")
Value = TypeVar("Value")


@dataclass(slots=True)
class Recent(Generic[Value]):
    """The `size` values asked for last. Safe to share between threads."""

    size: int
    hits: int = 0
    misses: int = 0
    _values: OrderedDict[Hashable, Value] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: Hashable) -> Value | None:
        """None when it isn't there, or no more."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                self.misses += 1
                return None
            self.hits += 1
            self._values.move_to_end(key)
            return found

    def put(self, key: Hashable, value: Value) -> None:
        """Forgets what was asked for longest ago."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self.size:
                self._values.popitem(last=False)

    def __len__(self) -> int:
        return len(self._values)


class SearchCache:
    """Over one database. Safe to share between threads; a `size` of 0 keeps nothing."""

    def __init__(self, database: Database, size: int) -> None:
        self.size = size
        self.results: Recent[SearchResult] = Recent(size)
        self.vectors: Recent[NDArray[np.floating[Any]]] = Recent(size * VECTORS_A_RESULT)
        self._database = database

    def embedding(self, embed: Embed, model: str = "") -> Embed:
        """The same function, which remembers, apart from what other models say. Two threads that ask for the same text at
        once may both embed it.
        """

        def remembered(text: str) -> NDArray[np.floating[Any]]:
            found = self.vectors.get((model, text))
            if found is None:
                found = embed(text)
                found.setflags(write=False)
                if len(text) <= LONGEST_QUERY:
                    self.vectors.put((model, text), found)
            return found

        return remembered if self.size else embed

    def search(
        self, search: Callable[..., SearchResult], query: str, *, session: str | None, filters: Any, **asked: Any
    ) -> SearchResult:
        """What `search` answers to the same arguments, or answered at this state of the log.

        Of equal results all but `seconds` are equal; `seconds` is how long this one took.
        """
        if not self.size or session is not None or len(query) > LONGEST_QUERY:
            return search(query, session=session, filters=filters, **asked)
        started = time.perf_counter()
        options = {name: value for name, value in asked.items() if name != "agent"}
        key = (self._state(), query, repr(read_filters(filters)), repr(sorted(options.items())))
        found = self.results.get(key)
        if found is not None:
            return replace(found, hits=_apart(found), seconds=time.perf_counter() - started)
        result = search(query, session=session, filters=filters, **asked)
        if len(result.hits) <= MOST_HITS:
            self.results.put(key, replace(result, hits=_apart(result)))
        return result

    def _state(self) -> tuple[int, int]:
        """Read before the answer is: what is stored under it is at least as new. Both only ever rise."""
        with self._database.statements() as connection:
            row = connection.execute(_SQL["state"], prepare=True).fetchone()
        return (row["position"], row["scored"]) if row else (0, 0)


def _apart(result: SearchResult) -> list[Any]:
    """Its hits, so that a caller may change them."""
    return [replace(hit, attributes=copy.deepcopy(hit.attributes)) for hit in result.hits]
