"""The nearest visible chunks: by the vector index where there is much to search, by comparing everything where there isn't.

The index answers well while a fair part of what is near is seen (0.98 recall with 90% withdrawn). Where it leaves too
few, because a filter, a small collection or a withdrawn flood stands between, comparing all is both exact and quicker.
Tending takes out of the index what nothing that is seen needs (recant.upkeep); while something that is seen may be outside,
everything is compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from recant.search.scope import Scope
from recant.store import Connection, Row, load

EXACT_BELOW = 20_000
"""Chunks that are compared one by one rather than looked up in the index (5.7 ms for as many)."""
EF_SEARCH = 200
MAX_EF_SEARCH = 1_000
REACH = 32
"""How far the index is followed, in embeddings a candidate: where fewer are seen than one in so many, it has lost its way
(its recall fell to 0.7 behind a withdrawn flood) and costs more than comparing everything.
"""
TIE_MARGIN = 6
_SQL = load(__package__, "search.sql")


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
class Neighbourhood:
    """Chunks that one scope and one set of filters leave, around any vector, on one connection."""

    connection: Connection
    scope: Scope
    filters: str
    filter_parameters: dict[str, Any]
    large_from: dict[int, int]
    """The position from which on a collection is known to be large; it stays so. Kept by the caller between searches."""
    settled: dict[int, tuple[tuple[int, int, int], bool]] = field(default_factory=dict)
    """Whether a collection's index held all that was seen, and when: that stands until a control operation is published or
    the index is tended. Kept by the caller between searches.
    """
    _by_index: bool | None = None

    def nearest(self, vector: Any, candidates: int, shown: int) -> list[Row]:
        """The first `shown` of at most `candidates` chunks, one an embedding, by distance (the negative inner product)
        and chunk id. Each row tells how many `candidates` there were, and how far the `furthest` is: where that is no
        further than the last one shown, chunks equally near may lie beyond, of lower ids.
        """
        if self._by_index is None:
            self._by_index = self._suits_index()
        for wanted in (candidates, 4 * candidates) if self._by_index else ():
            self.prepare_index(min(max(EF_SEARCH, 2 * wanted), MAX_EF_SEARCH))
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
            "search_index", vector, candidates, shown, prepare=True, visible=visible, reach=REACH * candidates
        )

    def search_exact(self, vector: Any, candidates: int, shown: int) -> list[Row]:
        """`nearest` by comparing everything."""
        self.connection.execute(_SQL["prepare_exact_search"], prepare=True)
        return self._run("search_exact", vector, candidates, shown, prepare=False, heads=self._heads)

    def _suits_index(self) -> bool:
        if not self.scope.has_index or not self._is_large() or not self._is_settled():
            return False
        return not self.filters or self._count_matches() >= EXACT_BELOW

    def _is_large(self) -> bool:
        collection, position = self.scope.collection_id, self.scope.position
        if position >= self.large_from.get(collection, position + 1):
            return True
        if self._number(_SQL["count_parts"].format(limit=EXACT_BELOW)) < EXACT_BELOW:
            return False
        self.large_from[collection] = position
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
        known = self.settled.get(scope.collection_id)
        if known is None or known[0] != when:
            statement = _SQL["is_settled"].format(visible=_SQL["visible_latest"])
            given = {"tended_position": scope.tended_position, "collection_id": scope.collection_id}
            row = self.connection.execute(statement, given, prepare=False).fetchone()
            known = self.settled[scope.collection_id] = (when, bool(row and row["settled"]))
        return known[1]

    def _count_matches(self) -> int:
        self.connection.execute(_SQL["prepare_exact_search"], prepare=True)
        return self._number(_SQL["count_matches"].format(heads=self._heads, limit=EXACT_BELOW, **self._conditions))

    def _number(self, statement: str) -> int:
        row = self.connection.execute(statement, self._parameters(None), prepare=False).fetchone()
        return int(row["chunks"]) if row else 0

    def _run(
        self, name: str, vector: Any, candidates: int, shown: int, *, prepare: bool, **parts: str | int
    ) -> list[Row]:
        statement = _SQL[name].format(
            details=_SQL["details"].format(shown=int(shown), quality=_SQL[f"quality_{self.scope.quality}"]), candidates=int(candidates),
            space_id=int(self.scope.space_id), dimensions=int(self.scope.dimensions), **self._conditions, **parts,
        )  # fmt: skip
        cursor = self.connection.cursor(binary=True)
        return cursor.execute(statement, self._parameters(vector), prepare=prepare).fetchall()

    def _parameters(self, vector: Any | None) -> dict[str, Any]:
        return self.scope.parameters | self.filter_parameters | {"vector": vector}

    @property
    def _heads(self) -> str:
        return _SQL[f"heads_{self.scope.visibility}"]

    @property
    def _conditions(self) -> dict[str, str]:
        return {"filters": self.filters, "documents": f"\n    {_SQL['documents']}" if self.filters else ""}
