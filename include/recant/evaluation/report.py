"""What an evaluation says: of a set of queries in one mode as of one position, and of two such."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class QueryResult:
    """How one query did. `found` are its relevant documents among the first k, as sources, best first."""

    id: str
    text: str
    ndcg: float
    average_precision: float
    recall: float
    reciprocal_rank: float
    found: tuple[str, ...]
    shown: tuple[tuple[str, int], ...]
    """The first k documents: source, and the operation that wrote it."""


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Means over all queries; latencies in seconds, of searches for k passages, without the query's embedding."""

    queries_name: str
    queries_digest: str
    queries: int
    unjudged: int
    collection: str
    mode: str
    position: int
    k: int
    depth: int
    """Average precision and recall are of the first so many documents, or of as many as 500 passages are of."""
    measures: dict[str, float]
    latency: dict[str, float]
    never_found: int
    """Relevant documents that no query found: with many, the judgements may name them in another way."""
    per_query: list[QueryResult] = field(repr=False, default_factory=list)
    evaluation_id: int | None = None
    """In the history; None where it isn't kept."""
    drop: float = 0.0
    """How far its nDCG is below the best of the ten evaluations before it, of the same queries, collection and mode."""
    since: list[dict[str, Any]] = field(default_factory=list)
    """Where it dropped: operations published since that best one, newest first, twenty at most."""

    def to_dict(self, *, per_query: bool = False) -> dict[str, Any]:
        """JSON-ready; queries one by one only where asked for."""
        found = asdict(self)
        listed = found.pop("per_query")
        return found | ({"per_query": listed} if per_query else {})


@dataclass(frozen=True, slots=True)
class QueryChange:
    """A query that does worse or better afterwards."""

    id: str
    text: str
    before: float
    after: float
    lost: tuple[str, ...]
    """Relevant documents that were among the first k, and are no more."""
    shown_instead: tuple[tuple[str, int], ...]
    """What is among the first k now and wasn't: source, and the operation that wrote it."""


@dataclass(frozen=True, slots=True)
class EvaluationComparison:
    """The same queries as of two positions."""

    before: EvaluationReport
    after: EvaluationReport
    lost: list[QueryChange]
    """Queries whose nDCG fell, by how far."""
    gained: list[QueryChange]
    since: list[dict[str, Any]]
    """Operations published in between, newest first, twenty at most."""

    @property
    def differences(self) -> dict[str, float]:
        """After minus before."""
        return {name: self.after.measures[name] - self.before.measures[name] for name in self.after.measures}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "differences": self.differences,
            "lost": [asdict(change) for change in self.lost],
            "gained": [asdict(change) for change in self.gained],
            "since": self.since,
        }


def changes(before: EvaluationReport, after: EvaluationReport) -> tuple[list[QueryChange], list[QueryChange]]:
    """The queries that lost and those that gained, the largest change first."""
    earlier = {query.id: query for query in before.per_query}
    pairs = [(earlier[query.id], query) for query in after.per_query]
    found = sorted((_change(*pair) for pair in pairs), key=lambda change: (change.after - change.before, change.id))
    lost = [change for change in found if change.after < change.before]
    return lost, [change for change in reversed(found) if change.after > change.before]


def _change(before: QueryResult, after: QueryResult) -> QueryChange:
    was, found = {source for source, _ in before.shown}, set(after.found)
    lost = tuple(source for source in before.found if source not in found)
    instead = tuple((source, operation) for source, operation in after.shown if source not in was)
    return QueryChange(after.id, after.text, before.ndcg, after.ndcg, lost, instead)
