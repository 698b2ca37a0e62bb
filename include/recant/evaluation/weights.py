"""What meaning counts against words in a collection's hybrid searches: shown, set, taken away, and found on judged queries.

Set weights are versions under operations of kind `set_search_weights`: a rollback of one gives back what held before, and a search
as of a position fuses as it did then. Kept out: the formulas (`recant.search.fusion`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from recant.corpus.document import canonical_json
from recant.errors import UnknownCollection, UsageError
from recant.evaluation.evaluations import ndcg_of
from recant.evaluation.measures import randomisation_test
from recant.evaluation.queries import JudgedQueries, JudgedQuery
from recant.lineage import collection_dataset
from recant.oplog import Attribution, Dataset, OperationLog
from recant.settings import Settings
from recant.store import Database, Row, load

if TYPE_CHECKING:
    from recant.search import Fusion, SearchResult

    Search = Callable[..., Iterator[SearchResult]]

STEPS = 10
"""Weights that are tried: 0.1, 0.2, … 0.9, by scores and by ranks."""
PASSAGES = 100
LEAST_QUERIES = 20
CERTAIN = 0.05
_TOMBSTONE = hashlib.sha256(b"tombstone").digest()
_SQL = load(__package__, "weights.sql")


@dataclass(frozen=True, slots=True)
class Weights:
    """How a collection's hybrid searches make one ranking of two."""

    method: str
    """`max`, by scores, or `rrf`, by ranks."""
    semantic_weight: float | None
    """From 0, words only, to 1; None: the method's own."""
    operation_id: int | None = None
    """The operation that set them; None where none did."""
    agent: str | None = None
    position: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class WeightsChange:
    """The operation that set weights or took them away."""

    operation_id: int
    position: int
    collection: str
    removed: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Tuning:
    """Weights that did best on one half of the queries, and how they do on the other half."""

    collection: str
    best: Weights
    chosen_on: int
    """Queries that they were chosen on, and"""
    held_out: int
    """those that they are judged by."""
    ndcg_before: float
    """Of the queries held out, with what holds now."""
    ndcg_after: float
    p_value: float
    """How often chance alone makes a difference as large: paired randomisation test."""
    tried: tuple[tuple[str, float, float], ...]
    """Method, weight, and nDCG on the queries that were chosen on."""

    @property
    def is_better(self) -> bool:
        """Whether it is, for all that the queries held out can tell."""
        return self.ndcg_after > self.ndcg_before and self.p_value < CERTAIN

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"is_better": self.is_better, "tried": [list(one) for one in self.tried]}


class SearchWeights:
    """The weights of one database's collections. `search_many` takes queries, collection, mode, limit, as_of, fusion by name."""

    def __init__(self, database: Database, settings: Settings, search_many: Search) -> None:
        self._database, self._settings, self._search_many = database, settings, search_many

    def show(self, collection: str | None = None) -> Weights:
        """What holds now. Raises UnknownCollection."""
        with self._database.snapshot() as connection:
            given = {"collection_id": self._collection_id(self._named(collection))}
            row = connection.execute(_SQL["weights_now"], given).fetchone()
        return Weights("max", None) if row is None else Weights(**row)

    def set(self, fusion: Fusion, attribution: Attribution, *, collection: str | None = None) -> WeightsChange:
        """Counts for every hybrid search from now on that doesn't say. If the operation is reverted, what held before does
        again. Raises UnknownCollection.
        """
        return self._write(fusion, self._named(collection), attribution)

    def unset(self, attribution: Attribution, *, collection: str | None = None) -> WeightsChange:
        """Back to what holds where nothing is set. Raises UsageError when nothing is, UnknownCollection."""
        if self.show(collection).operation_id is None:
            raise UsageError(f"{self._named(collection)} has no weights of its own.")
        return self._write(None, self._named(collection), attribution)

    def tune(self, queries: JudgedQueries, *, collection: str | None = None, k: int = 10) -> Tuning:
        """Tries weights on every other query, in the order of their ids' hashes, and judges the best one by the rest.

        Changes nothing. Raises UsageError for fewer than twenty queries, UnknownCollection.
        """
        from recant.search import Fusion

        if len(queries.queries) < LEAST_QUERIES:
            raise UsageError(
                f"{len(queries.queries)} queries tell nothing: {LEAST_QUERIES} are needed, some hundreds are better."
            )
        name = self._named(collection)
        ordered = sorted(queries.queries, key=lambda query: hashlib.sha256(query.id.encode()).digest())
        chosen_on, held_out = ordered[::2], ordered[1::2]
        ways = [Fusion(method, step / STEPS) for method in ("max", "rrf") for step in range(1, STEPS)]
        tried = [(way, fmean(self._gains(chosen_on, name, way, k))) for way in ways]
        best, _ = max(tried, key=lambda pair: pair[1])
        before, after = (self._gains(held_out, name, way, k) for way in (None, best))
        chance = randomisation_test([b - a for a, b in zip(before, after, strict=True)])
        return Tuning(
            name, Weights(best.method, best.weight), len(chosen_on), len(held_out), fmean(before), fmean(after), chance,
            tuple((way.method, way.weight, gain) for way, gain in tried),
        )  # fmt: skip

    def _gains(self, queries: Sequence[JudgedQuery], collection: str, fusion: Fusion | None, k: int) -> list[float]:
        asked = {"collection": collection, "mode": "hybrid", "limit": PASSAGES, "as_of": None, "fusion": fusion}
        results = self._search_many([query.text for query in queries], **asked)
        return [ndcg_of(query, result.hits, k) for query, result in zip(queries, results, strict=True)]

    def _named(self, collection: str | None) -> str:
        return self._settings.collection if collection is None else collection

    def _collection_id(self, collection: str) -> int:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["collection_of"], {"collection": collection}).fetchone()
        if row is None:
            raise UnknownCollection(f'There is no collection "{collection}": `recant collections` lists them.')
        return int(row["id"])

    def _write(self, fusion: Fusion | None, collection: str, attribution: Attribution) -> WeightsChange:
        log, collection_id = OperationLog(self._database), self._collection_id(collection)
        content = None if fusion is None else {"method": fusion.method, "semantic_weight": fusion.weight}
        namespace, name = collection_dataset(self._settings, collection)
        operation_id = log.open(
            "set_search_weights", attribution, collection=collection,
            parameters={"removed": content is None, **(content or {})},
            datasets=[Dataset("input", namespace, name), Dataset("output", namespace, name)],
        )  # fmt: skip
        try:
            batch_id = log.begin_batch(operation_id, "weights")
            self._add({"collection_id": collection_id, "operation_id": operation_id, "batch_id": batch_id}, content)
            log.finish_batch(batch_id, {"weights": 1})
            (position,) = log.publish(operation_id)
        except BaseException as error:
            log.abort(operation_id, f"{type(error).__name__}: {error}", failed=True)
            raise
        return WeightsChange(operation_id, position, collection, content is None)

    def _add(self, given: Row, content: Row | None) -> None:
        digest = _TOMBSTONE if content is None else hashlib.sha256(canonical_json(content)).digest()
        with self._database.transaction() as connection:
            connection.execute(_SQL["name_weights"], given)
            version = given | {"tombstone": content is None, "content_hash": digest}
            row = connection.execute(_SQL["add_version"], version).fetchone()
            assert row is not None, "the record was named just now"
            if content is not None:
                connection.execute(_SQL["add_weights"], content | {"version_id": row["version_id"]})
