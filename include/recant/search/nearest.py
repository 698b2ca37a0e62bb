"""The nearest visible chunks: by the vector index where there is much to search, by comparing everything where there isn't.

The index answers well while a fair part of what is near is seen (0.98 recall with 90% withdrawn). Where it leaves too
few, because a filter, a small collection or a withdrawn flood stands between, comparing all is both exact and quicker.
Tending takes out of the index what nothing that is seen needs (recant.upkeep); while something that is seen may be outside,
everything is compared.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from recant.search.predicates import Predicate
from recant.search.scope import Scope
from recant.store import Connection, Row, load

EXACT_BELOW = 20_000
"""Chunks that are compared one by one rather than looked up in the index (5.7 ms for as many)."""
EF_SEARCH = 200
MAX_EF_SEARCH = 1_000
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
TIE_MARGIN = 6
REMEMBERED_FILTERS = 1_000
RECOUNT_AFTER = 100
"""Positions for which a count of a filter's matches is taken as good; it says which road is quicker, not what is found."""
_SQL = load(__package__, "search.sql")
_SQL_FILTERS = load(__package__, "filters.sql")


def candidate_count(limit: int, *, has_quality: bool) -> int:
    """How many to fetch for the best `limit`: more, so that ties and quality can be settled among them; a power of two,
    so that few plans are kept.
    """
    wanted = 4 * limit + 50 if has_quality else limit + TIE_MARGIN
    return 1 << (wanted - 1).bit_length()


def is_full(found: list[Row], candidates: int) -> bool:
    """Whether there were as many candidates as were asked for; there may be more then."""
    return bool(found) and int(found[0]["candidates"]) >= candidates


@dataclass(slots=True)
class Sizes:
    """What is known of how much there is to search, kept between searches. Safe to share between threads."""

    large_from: dict[int, int] = field(default_factory=dict)
    """The position from which on a collection is known to be large; it stays so."""
    matches: OrderedDict[tuple[int, str], tuple[int, int, int]] = field(default_factory=OrderedDict)
    """By collection and filter: the position at which matches were counted, up to how many, and how many there were."""

    settled: dict[int, tuple[tuple[int, int, int], bool]] = field(default_factory=dict)
    """Whether a collection's index held all that was seen, and when: that stands until a control operation is published or
    the index is tended.
    """

    def reaches(self, collection: int, filters: str, position: int, wanted: int) -> bool | None:
        """Whether a filter leaves `wanted` chunks; None where that isn't known, or was counted too long ago."""
        counted_at, limit, matches = self.matches.get((collection, filters), (-RECOUNT_AFTER, 0, 0))
        if abs(position - counted_at) >= RECOUNT_AFTER or limit <= matches < wanted:
            return None
        return matches >= wanted

    def note(self, collection: int, filters: str, position: int, limit: int, matches: int) -> None:
        """Forgets the oldest where it knows enough."""
        self.matches[collection, filters] = (position, limit, matches)
        while len(self.matches) > REMEMBERED_FILTERS:
            with suppress(KeyError):
                self.matches.popitem(last=False)


@dataclass
class Neighbourhood:
    """Chunks that one scope and one filter leave, around any vector, on one connection."""

    connection: Connection
    scope: Scope
    predicate: Predicate | None = None
    sizes: Sizes = field(default_factory=Sizes)
    _by_index: bool | None = None

    def nearest(self, vector: Any, candidates: int, shown: int) -> list[Row]:
        """The first `shown` of at most `candidates` chunks, one an embedding, by distance (the negative inner product)
        and chunk id. Each row tells how many `candidates` there were, and how far the `furthest` is: where that is no
        further than the last one shown, chunks equally near may lie beyond, of lower ids.
        """
        if self._by_index is None:
            self._by_index = self.suits_index(candidates)
        for wanted in (candidates, 4 * candidates) if self._by_index else ():
            self.prepare_index(MAX_EF_SEARCH if self.predicate else min(max(EF_SEARCH, 2 * wanted), MAX_EF_SEARCH))
            found = self.search_index(vector, wanted, shown)
            if not is_full(found, wanted):
                break
            if shown == candidates or found[-1]["distance"] < found[-1]["furthest"]:
                return found
        return self.search_exact(vector, candidates, shown)

    def prepare_index(self, ef_search: int) -> None:
        """The settings that `search_index` wants, until the transaction ends or an exact search takes them back."""
        self.connection.execute(_SQL["prepare_index_search"], {"ef_search": str(ef_search)}, prepare=True)

    def search_index(self, vector: Any, candidates: int, shown: int) -> list[Row]:
        """`nearest` by the vector index: not full where what is seen is too thin around the vector."""
        visible = _SQL[f"visible_{self.scope.visibility}"]
        return self._run(
            "search_index", vector, candidates, shown, prepare=True, visible=visible, reach=self._reach(candidates),
            filters=self._filters, documents=_documents(self._filters),
        )  # fmt: skip

    def search_exact(self, vector: Any, candidates: int, shown: int) -> list[Row]:
        """`nearest` by comparing everything."""
        self.connection.execute(_SQL["prepare_exact_search"], prepare=True)
        filters = self._filters_of_chunks
        asked = {"heads": self._heads, "filters": filters, "documents": _documents(filters)}
        return self._run("search_exact", vector, candidates, shown, prepare=False, **asked)

    def suits_index(self, candidates: int) -> bool:
        """Whether the index is asked: it holds all that could be shown, and there is enough to search."""
        return self.scope.has_index and self._is_large() and self._is_settled() and self._leaves_much(candidates)

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
        if not scope.has_outside:
            return True
        if scope.visibility == "as_of":
            return False
        if scope.control_position <= scope.tended_position:
            return True
        when = (scope.control_position, scope.tended_position, scope.generation)
        known = self.sizes.settled.get(scope.collection_id)
        if known is None or known[0] != when:
            statement = _SQL["is_settled"].format(visible=_SQL["visible_latest"])
            given = {"tended_position": scope.tended_position, "collection_id": scope.collection_id}
            row = self.connection.execute(statement, given, prepare=False).fetchone()
            known = self.sizes.settled[scope.collection_id] = (when, bool(row and row["settled"]))
        return known[1]

    def _leaves_much(self, candidates: int) -> bool:
        if self.predicate is None:
            return True
        given = (self.scope.collection_id, repr(self.predicate.condition), self.scope.position)
        least = self._least_matches(candidates)
        much = self.sizes.reaches(*given, least)
        if much is None:
            found = self._count_matches(least)
            self.sizes.note(*given, least, found)
            much = found >= least
        return much

    def _count_matches(self, limit: int) -> int:
        self.connection.execute(_SQL["prepare_exact_search"], prepare=True)
        name = "count_matches" if self._filters_of_chunks else "count_candidates"
        return self._number(
            _SQL[name].format(candidates=self._candidates or "true", limit=limit, filters=self._filters_of_chunks)
        )

    def _number(self, statement: str) -> int:
        row = self.connection.execute(statement, self._parameters(None), prepare=False).fetchone()
        return int(row["chunks"]) if row else 0

    def _run(
        self, name: str, vector: Any, candidates: int, shown: int, *, prepare: bool, **parts: str | int
    ) -> list[Row]:
        statement = _SQL[name].format(
            details=_SQL["details"].format(shown=int(shown), quality=_SQL[f"quality_{self.scope.quality}"]), candidates=int(candidates),
            space_id=int(self.scope.space_id), dimensions=int(self.scope.dimensions), **parts,
        )  # fmt: skip
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
