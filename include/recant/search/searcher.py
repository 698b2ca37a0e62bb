"""Answering a query: checked, embedded, read in one snapshot, ranked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from recant.errors import ConfigurationError, DimensionMismatch, UsageError
from recant.search.conditions import Condition
from recant.search.context import surroundings
from recant.search.evidence import reader
from recant.search.filters import Filters, read_filters
from recant.search.fusion import DEPTH, Fusion
from recant.search.hybrid import chosen_fusion, fuse
from recant.search.keyword import Found, KeywordSearch
from recant.search.keyword_index import KeywordIndex
from recant.search.keyword_reader import Cache, KeywordReader, NotIndexed
from recant.search.nearest import Neighbourhood, candidate_count, is_full
from recant.search.predicates import Predicate
from recant.search.prompt import Asked as ScopeAsked
from recant.search.prompt import Memory, Moved
from recant.search.query import parse
from recant.search.ranking import is_settled, rank, shown_score
from recant.search.refinement import Candidate, Refinement, Rerank, refined, require_reranker
from recant.search.result import Hit, SearchResult, Surrounding
from recant.search.scope import Scope, read_scope
from recant.search.sizes import Sizes
from recant.store import Database, Row, half_vector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Embed = Callable[[str], NDArray[np.floating[Any]]]

MODES = ("semantic", "keyword", "hybrid")
MAX_LIMIT = 1_000
REMEMBERED_FUSIONS = 256
MAX_CANDIDATES = 8_192
_HOW_FOUND = ("distance", "candidates", "furthest", "steps", "number", "index", "embedding_id")
"""Columns that are no part of a hit."""


@dataclass(frozen=True, slots=True)
class Space:
    """An embedding space: the model that makes its vectors, by name and by the sha256 of its weights."""

    id: int
    model: str
    digest: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is the same for every query of a call."""

    mode: str
    limit: int
    fusion: Fusion | None
    """None: what was set for the collection."""
    refine: Refinement


class Searcher:
    """Search over one database by meaning, by words, or both. Safe to share between threads when `embed_query` is.

    What a reverted, quarantined or unpublished operation wrote is not found; what it had superseded is found again.
    """

    def __init__(
        self,
        database: Database,
        embed_query: Callable[[str], NDArray[np.floating[Any]]],
        *,
        embed_in: Callable[[Space], Embed] | None = None,
        rerank: Rerank | None = None,
    ) -> None:
        """`embed_query` gives the vector of one text, in the space of the collections that are searched; where they have
        several, `embed_in` gives the function for each. `rerank` says of texts how well they answer a query.
        """
        self._rerank = rerank
        self._database = database
        self._embed_query = embed_query
        self._embed_in = embed_in
        self._spaces: dict[tuple[str, int | None], Space] = {}
        self._sizes = Sizes()
        self._reader = KeywordReader()
        self._memory = Memory()
        self._fusions: Cache[tuple[int, int], Fusion] = Cache(REMEMBERED_FUSIONS, lambda _: 1)
        self._indexed: set[str] = set()

    def search(
        self, query: str | None, *, vector: NDArray[np.floating[Any]] | None = None, collection: str,
        mode: str = "semantic", limit: int = 10, as_of: int | None = None, session: str | None = None,
        agent: str | None = None, filters: Filters | None = None, fusion: Fusion | None = None,
        by_quality: bool = True, refine: Refinement | None = None, space_id: int | None = None,
    ) -> SearchResult:  # fmt: skip
        """The `limit` (1 to 1,000) best chunks for the query: nearest to it, or to `vector` (any length but zero) when it is
        given, by its words (`query`), or by both (`fusion`).

        `as_of` a position: what was seen then, ranked by the quality of then. `session`: its own open operations on top of
        the latest; nothing more with `as_of`. What a session is shown, and `agent` who searched, is recorded before it
        is returned. `refine`: duplicates, re-ranking, diversity, what stands around hits. `fusion`: None, as set for the
        collection. `filters`: see `recant.search.filters`. Without `by_quality` quality is shown and doesn't weigh. The
        snapshot and the position belong together. `space_id`: in that embedding space instead of the one in use. Raises
        UsageError, UnknownCollection, DimensionMismatch.
        """
        _check(limit)
        asked = _asked(mode, limit, fusion, refine)
        condition, reads = read_filters(filters), reader(session, agent)
        meant = self._meant(collection, space_id)
        wanted = self._vector_of(query, vector, asked, meant)
        where = ScopeAsked(collection, as_of, session, by_quality, space_id)
        answered = self._prompt_answer(query, condition, asked, where)
        if answered is None:
            with self._snapshot(collection, as_of, session, condition, asked, by_quality, space_id) as (around, words):
                if vector is None and self._is_elsewhere(around.scope, meant):
                    wanted = self._vector_of(query, vector, asked, self._note(around.scope, space_id))
                answered = around.scope, self._answer(around, words, query, wanted, asked)
        scope, result = answered
        if reads is not None:
            with self._database.statements() as connection:
                reads.record(connection, scope, result)
        return result

    def search_batch(
        self, queries: Iterable[str], *, collection: str, mode: str = "semantic", limit: int = 10,
        as_of: int | None = None, session: str | None = None, agent: str | None = None, filters: Filters | None = None,
        fusion: Fusion | None = None, by_quality: bool = True, refine: Refinement | None = None, space_id: int | None = None,
    ) -> Iterator[SearchResult]:  # fmt: skip
        """One result a query, in their order, all of one snapshot and so of one position, each as soon as it is known.

        Takes queries as it goes. What a session is shown is recorded result by result, on a connection that no pool has
        to have left over. Raises as `search` does, for a bad query when its turn comes.
        """
        _check(limit)
        asked = _asked(mode, limit, fusion, refine)
        condition, reads = read_filters(filters), reader(session, agent)
        recorder = nullcontext() if reads is None else self._database.connection()
        with (
            self._snapshot(collection, as_of, session, condition, asked, by_quality, space_id) as (around, words),
            recorder as record_on,
        ):
            space = self._note(around.scope, space_id)
            for query in queries:
                result = self._answer(around, words, query, self._vector_of(query, None, asked, space), asked)
                if reads is not None and record_on is not None:
                    reads.record(record_on, around.scope, result)
                yield result

    def _meant(self, collection: str, space_id: int | None) -> Space | None:
        """The space that the last search of the collection was in: most likely this one's, too."""
        return self._spaces.get((collection, space_id))

    def _note(self, scope: Scope, space_id: int | None) -> Space:
        space = Space(scope.space_id, scope.model, scope.model_digest)
        if scope.visibility != "as_of":
            self._spaces[scope.collection, space_id] = space
        return space

    def _is_elsewhere(self, scope: Scope, meant: Space | None) -> bool:
        return self._embed_in is not None and (meant is None or meant.digest != scope.model_digest)

    def _vector_of(
        self, query: str | None, vector: NDArray[np.floating[Any]] | None, asked: _Asked, space: Space | None
    ) -> NDArray[np.float32] | None:
        if (query is None or not query.strip()) and (vector is None or asked.mode != "semantic"):
            raise UsageError("The query is empty: say what to search for")
        require_reranker(asked.refine, self._rerank, query)
        if asked.mode == "keyword":
            return None
        if vector is None:
            text = query or ""
            if self._embed_in is not None and space is None:
                return None
            embed = self._embed_query if self._embed_in is None or space is None else self._embed_in(space)
            vector = embed(text if asked.mode == "semantic" else parse(text, ()).plain or text)
        return _unit(vector)

    @contextmanager
    def _snapshot(
        self, collection: str, as_of: int | None, session: str | None, condition: Condition | None,
        asked: _Asked, by_quality: bool, space_id: int | None,
    ) -> Iterator[tuple[Neighbourhood, KeywordSearch]]:  # fmt: skip
        """Where the queries are answered. What the keyword index lacks is put into it first, where it is much."""
        if asked.mode != "semantic" and collection not in self._indexed:
            self._index_first(collection, as_of, session)
        with self._database.snapshot() as connection:
            asked_of = {"as_of": as_of, "session": session, "by_quality": by_quality, "space_id": space_id}
            scope = read_scope(connection, collection, **asked_of)  # type: ignore[arg-type]
            around = Neighbourhood(connection, scope, Predicate(condition) if condition else None, self._sizes)
            words = KeywordSearch(around, self._reader)
            yield around, words
            if asked.mode == "keyword":
                noted = ScopeAsked(collection, as_of, session, by_quality, space_id)
                self._memory.note(connection, noted, scope, words.view)

    def _prompt_answer(
        self, query: str | None, condition: Condition | None, asked: _Asked, where: ScopeAsked
    ) -> tuple[Scope, SearchResult] | None:
        """By words, of what was seen last, if it still is."""
        refine = asked.refine
        once = asked.mode == "keyword" and not (refine.chooses or refine.context or refine.section)
        last = self._memory.last(where) if once else None
        if last is None:
            return None
        with suppress(Moved, UsageError), self._database.statements() as connection:
            around = Neighbourhood(connection, last.scope, Predicate(condition) if condition else None, self._sizes)
            return last.scope, self._answer(around, KeywordSearch(around, self._reader, last), query, None, asked)
        return None

    def _index_first(self, collection: str, as_of: int | None, session: str | None) -> None:
        """Once: for a database of an earlier release, which has no keyword index."""
        with self._database.snapshot() as connection:
            scope = read_scope(connection, collection, as_of=as_of, session=session)
            try:
                self._reader.view(connection, scope, patient=False)
                self._indexed.add(collection)
                return
            except NotIndexed:
                pass
        with suppress(ConfigurationError):  # a login that may only read: its searches read the chunks themselves
            index = KeywordIndex(self._database)
            index.index_missing(scope.collection_id)
            index.merge_small(scope.collection_id)
        self._indexed.add(collection)

    def _answer(
        self, around: Neighbourhood, words: KeywordSearch, query: str | None, vector: NDArray[np.float32] | None,
        asked: _Asked,
    ) -> SearchResult:  # fmt: skip
        started = time.perf_counter()
        scope = around.scope
        half = None if vector is None else _half(vector, scope.dimensions)
        fusion = asked.fusion or (self._chosen_fusion(around) if asked.mode == "hybrid" else None)
        ranked, found = _answered(around, words, query or "", half, replace(asked, fusion=fusion))
        best = refined(around, ranked, asked.refine, asked.limit, query or "", self._rerank)
        pairs = [(one.score, one.row) for one in best]
        spans = [()] * len(best) if found is None else words.spans(pairs, found)
        ids = [one.row["chunk_id"] for one in best]
        context = surroundings(around.connection, ids, asked.refine.context, asked.refine.section)
        hits = [_hit(n, of, scope, spans[n - 1], context) for n, of in enumerate(best, start=1)]
        corrected = {} if found is None else found.corrected
        seconds = time.perf_counter() - started
        return SearchResult(query, asked.mode, scope.collection, scope.position, hits, seconds, corrected)

    def _chosen_fusion(self, around: Neighbourhood) -> Fusion:
        """What was set for the collection: it follows from the log, so at one position it is always the same."""
        scope = around.scope
        found = self._fusions.get((scope.collection_id, scope.position))
        if found is None:
            found = chosen_fusion(around.connection, scope.collection_id, scope.position)
            self._fusions.put((scope.collection_id, scope.position), found)
        return found


def _answered(
    around: Neighbourhood, words: KeywordSearch, query: str, vector: Any, asked: _Asked
) -> tuple[list[tuple[float, Row]], Found | None]:
    limit = asked.refine.pool(asked.limit)
    if asked.mode == "semantic":
        return _best(around, vector, limit), None
    if asked.mode == "keyword":
        found = words.search(query, limit)
        return found.rows, found
    depth = max(DEPTH, limit)
    found = words.search(query, depth, shown=False)
    around.shows = found.query.reads_text or bool(found.query.excluded)
    near = [(score, row) for score, row in _best(around, vector, depth) if not words.excludes(found.query, row)]
    return fuse(near, words, found, vector, asked.fusion or Fusion(), limit), found


def require_mode(mode: str) -> None:
    """Raises UsageError for what is no way of searching."""
    if mode not in MODES:
        raise UsageError(f"mode {mode!r}: must be one of {', '.join(MODES)}")


def _asked(mode: str, limit: int, fusion: Fusion | None, refine: Refinement | None) -> _Asked:
    require_mode(mode)
    return _Asked(mode, limit, fusion, refine or Refinement())


def _best(around: Neighbourhood, vector: Any, limit: int) -> list[tuple[float, Row]]:
    """Ranked by score among the nearest; where quality could lift one from beyond, more are fetched until it can't."""
    if not around.scope.has_quality:
        return rank(around.nearest(vector, candidate_count(limit, has_quality=False), limit), limit, by_quality=False)
    least, collection = candidate_count(limit, has_quality=True), around.scope.collection_id
    doublings = around.sizes.doubled(collection)
    while True:
        count = min(least << doublings, MAX_CANDIDATES)
        found = around.nearest(vector, count, limit, by_score=True)
        ranked = rank(found, limit)
        if (
            not is_full(found, count)
            or count >= MAX_CANDIDATES
            or is_settled(ranked, found[0]["furthest"], limit, around.scope.highest_quality)
        ):
            around.sizes.note_doubled(collection, doublings)
            return ranked
        doublings += 1


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


def _hit(
    number: int, of: Candidate, scope: Scope, highlights: tuple[tuple[int, int], ...],
    context: Mapping[int, tuple[Surrounding, ...]],
) -> Hit:  # fmt: skip
    columns = {name: value for name, value in of.row.items() if name not in _HOW_FOUND}
    columns["parent_headers"] = tuple(of.row["parent_headers"])
    return Hit(
        rank=number, score=shown_score(of.score), collection=scope.collection, highlights=highlights,
        also_in=of.also_in, context=context.get(of.row["chunk_id"], ()), **columns,
    )  # fmt: skip
