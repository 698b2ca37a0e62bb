"""Running judged queries, comparing two moments, and the history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from recant.errors import UsageError
from recant.evaluation.measures import average_precision, ndcg, percentile, recall, reciprocal_rank
from recant.evaluation.queries import ID_ATTRIBUTES, JudgedQueries, JudgedQuery
from recant.evaluation.report import EvaluationComparison, EvaluationReport, QueryResult, changes
from recant.oplog import Moment
from recant.store import Database, json_parameter, load

if TYPE_CHECKING:
    from recant.search import Hit, SearchResult

    Search = Callable[..., Iterator[SearchResult]]

DEPTH = 100
PASSAGES = 500
"""Searched for the documents that are ranked: several may be of one document."""
LARGEST_K = 100
_SQL = load(__package__, "evaluation.sql")


@dataclass(frozen=True, slots=True)
class Evaluations:
    """Evaluations over one database. `search_many` takes queries, and collection, mode, limit and as_of by name."""

    database: Database
    search_many: Search
    collection: str

    def run(
        self, queries: JudgedQueries, *, collection: str | None = None, mode: str = "hybrid", as_of: Moment | None = None,
        k: int = 10, filters: Any = None, keep: bool = False, **options: Any,
    ) -> EvaluationReport:  # fmt: skip
        """Searches every query as of a position (None: now), and measures. `keep` puts it into the history, now only.

        Documents are ranked by their best passage; by the first one where `refine` asks for diversity. `options` are those of
        a search (fusion, refine); what isn't searched as by default is not kept. Raises UsageError, UnknownCollection, PastHorizon.
        """
        if not 1 <= k <= LARGEST_K:
            raise UsageError(f"k must be from 1 to {LARGEST_K}, not {k}")
        if keep and as_of is not None:
            raise UsageError("The history is of what is seen now: an evaluation as of a position isn't kept.")
        if keep and any(option is not None for option in options.values()):
            raise UsageError("The history is of searches as they are by default: with other weights none is kept.")
        texts = [query.text for query in queries.queries]
        asked = {
            "collection": collection or self.collection,
            "mode": mode,
            "as_of": as_of,
            "filters": filters,
        } | options
        quick = [result.seconds for result in self.search_many(texts, limit=k, **asked)]
        results = list(self.search_many(texts, limit=PASSAGES, **asked))
        report = _report(queries, results, quick, k)
        return self._kept(report) if keep else report

    def compare(
        self, queries: JudgedQueries, before: Moment, after: Moment | None = None, **options: Any
    ) -> EvaluationComparison:
        """The same queries as of two positions (`after` None: now), the queries that lost, and what was published between."""
        first, last = self.run(queries, as_of=before, **options), self.run(queries, as_of=after, **options)
        lost, gained = changes(first, last)
        since = self._operations(last.collection, first.position, last.position)
        return EvaluationComparison(first, last, lost, gained, since)

    def history(
        self, *, collection: str | None = None, queries: str | None = None, limit: int = 20
    ) -> list[dict[str, Any]]:
        """What was kept, newest first; of one set of queries by its name."""
        given = {"collection": collection or self.collection, "queries": queries, "limit": limit}
        with self.database.snapshot() as connection:
            rows = connection.execute(_SQL["find_evaluations"], given).fetchall()
        return [dict(row) | {"evaluated_at": row["evaluated_at"].isoformat()} for row in rows]

    def _kept(self, report: EvaluationReport) -> EvaluationReport:
        """Stored, and held against what was kept before."""
        given = {
            "collection": report.collection, "position": report.position, "mode": report.mode,
            "queries": report.queries_name, "digest": report.queries_digest, "count": report.queries, "k": report.k,
            "measures": json_parameter(report.measures), "latency": json_parameter(report.latency),
        }  # fmt: skip
        with self.database.transaction() as connection:
            best = connection.execute(_SQL["best_before"], given).fetchone()
            row = connection.execute(_SQL["store_evaluation"], given).fetchone()
        kept = replace(report, evaluation_id=row["id"] if row else None)
        if best is None or best["ndcg"] <= report.measures["ndcg"]:
            return kept
        since = self._operations(report.collection, best["position"], report.position)
        return replace(kept, drop=best["ndcg"] - report.measures["ndcg"], since=since)

    def _operations(self, collection: str, after: int, until: int) -> list[dict[str, Any]]:
        given = {"collection": collection, "after": after, "until": until}
        with self.database.snapshot() as connection:
            return [dict(row) for row in connection.execute(_SQL["operations_between"], given)]


def _report(
    queries: JudgedQueries, results: Sequence[SearchResult], quick: Sequence[float], k: int
) -> EvaluationReport:
    outcomes = [_outcome(query, result.hits, k) for query, result in zip(queries.queries, results, strict=True)]
    per_query = [result for result, _ in outcomes]
    never = sum(
        sum(grade > 0 and name not in named for name, grade in query.grades.items())
        for query, (_, named) in zip(queries.queries, outcomes, strict=True)
    )
    return EvaluationReport(
        queries_name=queries.name, queries_digest=queries.digest, queries=len(per_query), unjudged=queries.unjudged,
        collection=results[0].collection, mode=results[0].mode, position=results[0].position, k=k, depth=DEPTH,
        measures={
            "ndcg": fmean(one.ndcg for one in per_query), "map": fmean(one.average_precision for one in per_query),
            "recall": fmean(one.recall for one in per_query), "mrr": fmean(one.reciprocal_rank for one in per_query),
        },
        latency={f"p{share}": percentile(quick, share / 100) for share in (50, 95, 99)},
        never_found=never, per_query=per_query,
    )  # fmt: skip


def ndcg_of(query: JudgedQuery, hits: Iterable[Hit], k: int) -> float:
    """Of the documents that the hits are of."""
    return _outcome(query, hits, k)[0].ndcg


def _outcome(query: JudgedQuery, hits: Iterable[Hit], k: int) -> tuple[QueryResult, set[str]]:
    """How a query did, and the judged names that were found for it."""
    ranked: dict[str, Hit] = {}
    for hit in hits:
        ranked.setdefault(hit.source, hit)
    documents = list(ranked.values())[:DEPTH]
    names = _named(documents, query.grades)
    grades = [query.grades[name] if name is not None else 0.0 for name in names]
    judged = list(query.grades.values())
    top = documents[:k]
    found = tuple(hit.source for hit, grade in zip(top, grades, strict=False) if grade > 0)
    result = QueryResult(
        query.id, query.text, ndcg(grades, judged, k), average_precision(grades, judged), recall(grades, judged, DEPTH),
        reciprocal_rank(grades), found, tuple((hit.source, hit.operation_id) for hit in top),
    )  # fmt: skip
    return result, {name for name in names if name is not None}


def _named(documents: Sequence[Hit], grades: Mapping[str, float]) -> list[str | None]:
    """Under which judged name each document goes; a name is used once, by the best document that it fits."""
    taken: set[str] = set()
    found: list[str | None] = []
    for hit in documents:
        name = next((name for name in _names(hit) if name in grades and name not in taken), None)
        found.append(name)
        taken |= set() if name is None else {name}
    return found


def _names(hit: Hit) -> Iterator[str]:
    """The whole source first, then ever shorter ends of it, then the document's own id."""
    yield hit.source
    ends = [place for place, sign in enumerate(hit.source) if sign in "/#:"]
    yield from (hit.source[place + 1 :] for place in ends)
    yield from (str(hit.attributes[name]) for name in ID_ATTRIBUTES if name in hit.attributes)
