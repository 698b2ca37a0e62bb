"""Answering a query: checked, embedded, read in one snapshot, ranked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from recant.errors import DimensionMismatch, UsageError
from recant.search.conditions import Condition
from recant.search.evidence import reader
from recant.search.filters import Filters, read_filters
from recant.search.nearest import Neighbourhood, Sizes, candidate_count, is_full
from recant.search.predicates import Predicate
from recant.search.ranking import is_settled, rank, shown_score
from recant.search.result import Hit, SearchResult
from recant.search.scope import Scope, read_scope
from recant.store import Connection, Database, Row, half_vector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_LIMIT = 1_000
MAX_CANDIDATES = 8_192


class Searcher:
    """Semantic search over one database. Safe to share between threads when `embed_query` is.

    What a reverted, quarantined or unpublished operation wrote is not found; what it had superseded is found again.
    """

    def __init__(self, database: Database, embed_query: Callable[[str], NDArray[np.floating[Any]]]) -> None:
        """`embed_query` gives the vector of one text, in the space of the collections that are searched."""
        self._database = database
        self._embed_query = embed_query
        self._sizes = Sizes()

    def search(
        self, query: str | None, *, vector: NDArray[np.floating[Any]] | None = None, collection: str, limit: int = 10,
        as_of: int | None = None, session: str | None = None, agent: str | None = None, filters: Filters | None = None,
        by_quality: bool = True,
    ) -> SearchResult:  # fmt: skip
        """The `limit` (1 to 1,000) chunks nearest to the query, or to `vector` (any length but zero) when it is given.

        `as_of` a position: what was seen then, ranked by the quality of then. `session`: its own open operations on top of
        the latest; nothing more with `as_of`. What a session is shown, and `agent` who searched, is recorded before it
        is returned. `filters`: see `recant.search.filters`. Without `by_quality` quality is shown and doesn't weigh. The
        snapshot and the position belong together. Raises UsageError, UnknownCollection, DimensionMismatch.
        """
        _check(limit)
        condition, reads = read_filters(filters), reader(session, agent)
        wanted = self._vector_of(query, vector)
        with self._database.snapshot() as connection:
            around = self._around(connection, collection, as_of, session, condition, by_quality)
            result = self._answer(around, query, wanted, limit)
        if reads is not None:
            with self._database.statements() as connection:
                reads.record(connection, around.scope, result)
        return result

    def search_batch(
        self, queries: Iterable[str], *, collection: str, limit: int = 10, as_of: int | None = None,
        session: str | None = None, agent: str | None = None, filters: Filters | None = None, by_quality: bool = True,
    ) -> Iterator[SearchResult]:  # fmt: skip
        """One result a query, in their order, all of one snapshot and so of one position, each as soon as it is known.

        Takes queries as it goes. What a session is shown is recorded result by result, on a connection that no pool has
        to have left over. Raises as `search` does, for a bad query when its turn comes.
        """
        _check(limit)
        condition, reads = read_filters(filters), reader(session, agent)
        recorder = nullcontext() if reads is None else self._database.connection()
        with self._database.snapshot() as connection, recorder as record_on:
            around = self._around(connection, collection, as_of, session, condition, by_quality)
            for query in queries:
                result = self._answer(around, query, self._vector_of(query, None), limit)
                if reads is not None and record_on is not None:
                    reads.record(record_on, around.scope, result)
                yield result

    def _vector_of(self, query: str | None, vector: NDArray[np.floating[Any]] | None) -> NDArray[np.float32]:
        if vector is None:
            if query is None or not query.strip():
                raise UsageError("The query is empty: say what to search for")
            vector = self._embed_query(query)
        return _unit(vector)

    def _around(
        self, connection: Connection, collection: str, as_of: int | None, session: str | None,
        condition: Condition | None, by_quality: bool,
    ) -> Neighbourhood:  # fmt: skip
        scope = read_scope(connection, collection, as_of=as_of, session=session, by_quality=by_quality)
        return Neighbourhood(connection, scope, Predicate(condition) if condition else None, self._sizes)

    def _answer(
        self, around: Neighbourhood, query: str | None, vector: NDArray[np.float32], limit: int
    ) -> SearchResult:
        started = time.perf_counter()
        scope = around.scope
        best = _best(around, _half(vector, scope.dimensions), limit)
        hits = [_hit(number, score, row, scope) for number, (score, row) in enumerate(best, start=1)]
        return SearchResult(query, "semantic", scope.collection, scope.position, hits, time.perf_counter() - started)


def _best(around: Neighbourhood, vector: Any, limit: int) -> list[tuple[float, Row]]:
    """Ranked by score among the nearest; where quality could lift one from beyond, more are fetched until it can't."""
    if not around.scope.has_quality:
        return rank(around.nearest(vector, candidate_count(limit, has_quality=False), limit), limit, by_quality=False)
    count = candidate_count(limit, has_quality=True)
    while True:
        found = around.nearest(vector, count, count)
        ranked = rank(found, limit)
        if (
            not is_full(found, count)
            or count >= MAX_CANDIDATES
            or is_settled(ranked, found[-1]["distance"], limit, around.scope.highest_quality)
        ):
            return ranked
        count = min(4 * count, MAX_CANDIDATES)


def _check(limit: int) -> None:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_LIMIT:
        raise UsageError(f"limit must be from 1 to {MAX_LIMIT}, not {limit!r}")


def _unit(vector: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    import numpy as np

    array = np.asarray(vector, dtype=np.float64).reshape(-1)
    length = float(np.linalg.norm(array))
    if not np.isfinite(length) or length == 0:
        raise UsageError("A query's vector must be of finite numbers, and not all zero")
    return (array / length).astype(np.float32)


def _half(vector: NDArray[np.float32], dimensions: int) -> Any:
    if len(vector) != dimensions:
        raise DimensionMismatch(f"The query's vector has {len(vector)} dimensions, the collection's have {dimensions}")
    return half_vector(vector)


def _hit(number: int, score: float, row: Row, scope: Scope) -> Hit:
    columns = {name: value for name, value in row.items() if name not in ("distance", "candidates", "furthest")}
    columns["parent_headers"] = tuple(row["parent_headers"])
    return Hit(rank=number, score=shown_score(score), collection=scope.collection, **columns)
