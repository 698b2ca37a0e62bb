"""The nearest visible chunks: by the vector index where there is much to search, by comparing everything where there isn't.

The index answers well while a fair part of what is near is seen, and is looked at the more closely the smaller that part is
(`recant.search.sizes`). Where it leaves too few, because a filter, a small collection or a withdrawn flood stands between,
comparing all is both exact and quicker. Tending takes out of the index what nothing that is seen needs (recant.upkeep); where
something that is to be seen may be among it, both are asked and merged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from recant.search.predicates import Predicate
from recant.search.ranking import HIGHEST_MULTIPLIER, LOWEST_MULTIPLIER, NEUTRAL_QUALITY
from recant.search.scope import Scope
from recant.search.sizes import EF_SEARCH, MAX_EF_SEARCH, Sizes
from recant.store import Connection, Row, load

EXACT_BELOW = 20_000
"""Chunks that are compared one by one rather than looked up in the index (5.7 ms for as many)."""
REACH = 32
"""How far the index is followed, in embeddings a candidate: where fewer are seen than one in so many, it has lost its way
(its recall fell to 0.7 behind a withdrawn flood) and costs more than comparing everything. Under a filter, which says how
many are to be expected, it is followed further.
"""
FURTHEST_REACH = 20_000
COST_RATIO = 6
"""A step along the index costs about three times what comparing a match by its id does, and twice the steps expected are
taken. So, of n vectors, the index is the quicker road from sqrt(6 * n * candidates) matches on (3,100 in 100,000).
"""
TIE_MARGIN = 2
EF_SEARCH_OF_TWO = 120
"""Where what is outside the index is followed beside it, at the least: what is found is the nearest of both."""
FEW_OUTSIDE = 2_000
"""So many outside the index are compared sooner than it is found out whether any of them is seen."""
_SQL = load(__package__, "search.sql")
_SQL_FILTERS = load(__package__, "filters.sql")
_SCORE = _SQL["score"].format(neutral=NEUTRAL_QUALITY, up=HIGHEST_MULTIPLIER - 1.0, down=1.0 - LOWEST_MULTIPLIER)
"""`ranking.weigh`, to the bit."""


def candidate_count(limit: int, *, has_quality: bool) -> int:
    """How many to fetch for the best `limit`: more, so that ties and quality can be settled among them; with quality a power
    of two, so that few plans are kept.
    """
    return 1 << (2 * limit + 11).bit_length() if has_quality else limit + TIE_MARGIN


def is_full(found: list[Row], candidates: int) -> bool:
    """Whether there were as many candidates as were asked for; there may be more then."""
    return bool(found) and int(found[0]["candidates"]) >= candidates


@dataclass
class Neighbourhood:
    """Chunks that one scope and one filter leave, around any vector, on one connection."""

    connection: Connection
    scope: Scope
    predicate: Predicate | None = None
    sizes: Sizes = field(default_factory=Sizes)
    _by_index: bool | None = None
    _prepared: int | None = None
    """`ef_search` of the settings that the index search finds."""

    def nearest(self, vector: Any, candidates: int, shown: int, *, by_score: bool = False) -> list[Row]:
        """The first `shown` of at most `candidates` chunks, one an embedding, by distance (the negative inner product)
        and chunk id. Each row tells how many `candidates` there were, and how far the `furthest` is: where that is no
        further than the last one shown, chunks equally near may lie beyond, of lower ids.

        `by_score`: the best `shown` of the nearest `candidates`, weighed by quality; what lies beyond isn't looked for.
        """
        if self._by_index is None:
            self._by_index = self.suits_index(candidates)
        for wanted in (candidates, 4 * candidates) if self._by_index else ():
            found = self._followed(vector, wanted, shown, by_score)
            if not is_full(found, wanted):
                break
            if by_score or shown == candidates or found[-1]["distance"] < found[-1]["furthest"]:
                return found
        return self.search_exact(vector, candidates, shown, by_score=by_score)

    def _followed(self, vector: Any, candidates: int, shown: int, by_score: bool) -> list[Row]:
        """By the index, again and more closely where less was seen on the way than was to be expected."""
        closeness = self.sizes.closeness(self._filtered_by, candidates)
        while True:
            self.prepare_index(closeness if closeness > EF_SEARCH or self._is_settled() else EF_SEARCH_OF_TWO)
            found = self.search_index(vector, candidates, shown, by_score=by_score)
            if not is_full(found, candidates):
                return found
            steps = int(found[0]["steps"])
            enough = self.sizes.enough(self._filtered_by, closeness, candidates, steps)
            if enough == closeness:
                return found
            closeness = enough

    def prepare_index(self, ef_search: int) -> None:
        """The settings that `search_index` wants, until the transaction ends or an exact search takes them back."""
        if self._prepared != ef_search:
            self.connection.execute(_SQL["prepare_index_search"], {"ef_search": str(ef_search)}, prepare=True)
            self._prepared = ef_search

    def search_index(self, vector: Any, candidates: int, shown: int, *, by_score: bool = False) -> list[Row]:
        """`nearest` by the vector index: not full where what is seen is too thin around the vector."""
        source = _SQL["source_index" if self._is_settled() else "source_all"].format(
            reach=self._reach(candidates), **self._space
        )
        return self._run(
            "search_index", vector, shown, prepare=True, by_score=by_score, candidates=int(candidates), source=source,
            visible=_SQL[f"visible_{self.scope.visibility}"], filters=self._filters, documents=_documents(self._filters),
            written_with=self.scope.in_space("written_with"),
        )  # fmt: skip

    def search_exact(self, vector: Any, candidates: int, shown: int, *, by_score: bool = False) -> list[Row]:
        """`nearest` by comparing everything."""
        self._prepare_exact()
        filters = self._filters_of_chunks
        return self._run(
            "search_exact", vector, shown, prepare=False, by_score=by_score, candidates=int(candidates), heads=self._heads,
            filters=filters, documents=_documents(filters), embedded=self.scope.in_space("embedded"), **self._space,
        )  # fmt: skip

    def _prepare_exact(self) -> None:
        self._prepared = None
        self.connection.execute(_SQL["prepare_exact_search"], prepare=True)

    @property
    def _space(self) -> dict[str, str | int]:
        scope = self.scope
        found: dict[str, str | int] = {"space_id": int(scope.space_id), "dimensions": int(scope.dimensions)}
        return found | {"text_hash": scope.in_space("text_hash")}

    @property
    def _filtered_by(self) -> tuple[int, str]:
        """What is remembered of a filter is remembered by this."""
        return self.scope.collection_id, repr(self.predicate.condition) if self.predicate else ""

    def suits_index(self, candidates: int) -> bool:
        """Whether the index is asked: there is one, and enough to search."""
        return self.scope.has_index and self._is_large() and self._leaves_much(candidates)

    def _least_matches(self, candidates: int) -> int:
        """So many, and following the index is quicker than comparing them; and, up to EXACT_BELOW, they are dense enough for
        it: its first thousand hold four times the candidates, or twice where half is withdrawn (with a fifth of that its recall
        fell to 0.945).
        """
        dense = 4 * candidates * self._vectors // MAX_EF_SEARCH
        quicker = math.isqrt(COST_RATIO * candidates * self._vectors)
        return max(quicker, min(dense, EXACT_BELOW)) if COST_RATIO else 0

    def _reach(self, candidates: int) -> int:
        """Four times what the fewest matches that the index is asked for make necessary: a part of them is withdrawn."""
        if self.predicate is None:
            return REACH * candidates
        steps = 4 * candidates * self._vectors // max(self._least_matches(candidates), 1)
        return min(max(REACH * candidates, steps), FURTHEST_REACH)

    @property
    def _vectors(self) -> int:
        return max(self.scope.indexed, EXACT_BELOW)

    def _is_large(self) -> bool:
        collection, position = self.scope.collection_id, self.scope.position
        if position >= self.sizes.large_from.get(collection, position + 1):
            return True
        if self._number(_SQL["count_parts"].format(limit=EXACT_BELOW)) < EXACT_BELOW:
            return False
        self.sizes.large_from[collection] = position
        return True

    def _is_settled(self) -> bool:
        """Whether the index holds all that this scope could show. A session's own open writes it always does; what was
        seen at an earlier position it needn't.
        """
        scope = self.scope
        if not scope.outside:
            return True
        if scope.visibility == "as_of":
            return False
        if scope.control_position <= scope.tended_position:
            return True
        if scope.outside <= FEW_OUTSIDE:
            return False
        when = (scope.space_id, scope.control_position, scope.tended_position, scope.generation)
        known = self.sizes.settled.get(scope.collection_id)
        if known is None or known[0] != when:
            name = "is_settled_anew" if scope.spaces else "is_settled"
            statement = _SQL[name].format(visible=_SQL["visible_latest"], space_id=int(scope.space_id))
            given = {"tended_position": scope.tended_position, "collection_id": scope.collection_id}
            row = self.connection.execute(statement, given, prepare=False).fetchone()
            known = self.sizes.settled[scope.collection_id] = (when, bool(row and row["settled"]))
        return known[1]

    def _leaves_much(self, candidates: int) -> bool:
        if self.predicate is None:
            return True
        given = (*self._filtered_by, self.scope.position)
        least = self._least_matches(candidates)
        much = self.sizes.reaches(*given, least)
        if much is None:
            found = self._count_matches(least)
            self.sizes.note(*given, least, found)
            much = found >= least
        return much

    def _count_matches(self, limit: int) -> int:
        self._prepare_exact()
        name = "count_matches" if self._filters_of_chunks else "count_candidates"
        return self._number(
            _SQL[name].format(candidates=self._candidates or "true", limit=limit, filters=self._filters_of_chunks)
        )

    def _number(self, statement: str) -> int:
        row = self.connection.execute(statement, self._parameters(None), prepare=False).fetchone()
        return int(row["chunks"]) if row else 0

    def _run(
        self, name: str, vector: Any, shown: int, *, prepare: bool, by_score: bool, **parts: str | int
    ) -> list[Row]:
        best = _SQL["best_by_score" if by_score else "best_by_distance"].format(
            shown=int(shown), quality=_SQL[f"quality_{self.scope.quality}"], score=_SCORE
        )
        statement = _SQL[name].format(
            details=_SQL["details"].format(best=best, place=self.scope.in_space("place")), **parts
        )
        cursor = self.connection.cursor(binary=True)
        return cursor.execute(statement, self._parameters(vector), prepare=prepare).fetchall()

    def _parameters(self, vector: Any | None) -> dict[str, Any]:
        given = self.predicate.parameters if self.predicate else {}
        return self.scope.parameters | given | {"vector": vector}

    @property
    def filters(self) -> str:
        """What the filter asks of a row, to follow a condition; speaks of c, v and d."""
        return self._filters

    @property
    def matching(self) -> dict[str, str]:
        """How all matches are found at once: versions that can have some, and what is left to ask of their chunks."""
        filters = self._filters_of_chunks
        return {"heads": self._heads, "filters": filters, "documents": _documents(filters)}

    @property
    def parameters(self) -> dict[str, Any]:
        """What visibility and filters are bound to."""
        return self.scope.parameters | (self.predicate.parameters if self.predicate else {})

    @property
    def _heads(self) -> str:
        if self._candidates is None:
            return _SQL[f"heads_{self.scope.visibility}"]
        visible = _SQL[f"visible_{self.scope.visibility}"]
        return _SQL["heads_filtered"].format(candidates=self._candidates, visible=visible)

    @cached_property
    def _filters(self) -> str:
        return f"\n      AND {self.predicate.row()}" if self.predicate else ""

    @cached_property
    def _filters_of_chunks(self) -> str:
        """What is left to ask of the chunks of candidates; nothing, where documents decide."""
        if self.predicate is None or self.predicate.is_of_documents(self._chunk_keys):
            return ""
        return self._filters

    @cached_property
    def _candidates(self) -> str | None:
        """Which versions can have matches; None where that says nothing."""
        return self.predicate.candidates(self._chunk_keys) if self.predicate else None

    @cached_property
    def _chunk_keys(self) -> set[str]:
        keys = sorted(self.predicate.keys) if self.predicate else []
        if not keys:
            return set()
        found = self.connection.execute(_SQL_FILTERS["chunk_keys"], {"keys": keys}, prepare=True)
        return {row["key"] for row in found}


def _documents(filters: str) -> str:
    """The join that filters speak of, where there are any."""
    return f"\n    {_SQL['documents']}" if filters else ""
