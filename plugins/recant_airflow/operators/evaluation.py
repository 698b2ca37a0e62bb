"""Measuring how good searches are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Variable
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from recant_airflow.operators.base import KnowledgeBaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recant.evaluation import EvaluationReport
    from recant.knowledge_base import KnowledgeBase


QUERIES_VARIABLE = "recant_judged_queries"


class KnowledgeBaseEvaluateOperator(KnowledgeBaseOperator):
    """Searches for judged queries, measures, and keeps the result in the history.

    Gives the reports, one a mode: measures, latency, and where nDCG dropped by how much, with the operations published since.

    :param queries: file or BEIR folder on the worker; None: that of the Airflow Variable `recant_judged_queries`, without
        which it is skipped.
    :param qrels: the judgements of TREC topics; None: they are in `queries`.
    :param collection: where; None: the installation's default.
    :param modes: semantic, keyword, hybrid: each by itself.
    :param k: nDCG of the first so many documents.
    """

    template_fields: Sequence[str] = ("queries", "qrels", "collection", "modes", "k")

    def __init__(
        self,
        *,
        queries: str | None = None,
        qrels: str | None = None,
        collection: str | None = None,
        modes: Sequence[str] = ("hybrid",),
        k: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.queries = queries
        self.qrels = qrels
        self.collection = collection
        self.modes = modes
        self.k = k

    def work(self, kb: KnowledgeBase, context: Context) -> list[dict[str, Any]]:
        """One evaluation a mode. Raises UsageError, UnknownCollection."""
        from recant.evaluation import read_queries

        place = self.queries or Variable.get(QUERIES_VARIABLE, default="")
        if not place:
            raise AirflowSkipException(f"Neither the form nor the Variable {QUERIES_VARIABLE} names judged queries.")
        judged = read_queries(place, qrels=self.qrels or None)
        asked = {"collection": self.collection, "k": int(self.k), "keep": True}
        reports = [kb.evaluation.run(judged, mode=mode, **asked) for mode in self.modes]
        for report in reports:
            self._tell(report)
        return [report.to_dict() for report in reports]

    def _tell(self, report: EvaluationReport) -> None:
        told = ", ".join(f"{name} {value:.4f}" for name, value in report.measures.items())
        self.log.info("%s, position %d: %s", report.mode, report.position, told)
        if report.drop:
            self.log.warning("nDCG is %.4f lower than it was. Published since:", report.drop)
        for operation in report.since:
            self.log.warning("%s", "operation {operation_id}, {kind} by {agent}: {message}".format(**operation))


class KnowledgeBaseRequireRelevanceOperator(BaseOperator):
    """Fails, without being tried again, where searches are not good enough. Skipped where any are.

    :param reports: what KnowledgeBaseEvaluateOperator gave.
    :param fail_under: the lowest nDCG that is good enough; None: any.
    """

    template_fields: Sequence[str] = ("reports", "fail_under")

    def __init__(self, *, reports: Any, fail_under: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reports = reports
        self.fail_under = fail_under

    def execute(self, context: Context) -> float:
        """The lowest nDCG of all modes."""
        if self.fail_under is None:
            raise AirflowSkipException("Any nDCG is good enough.")
        worst: Mapping[str, Any] = min(self.reports, key=lambda report: report["measures"]["ndcg"])
        found = float(worst["measures"]["ndcg"])
        if found < float(self.fail_under):
            raise AirflowFailException(
                f"nDCG@{worst['k']} of {worst['mode']} is {found:.4f}, under {self.fail_under:g}"
            )
        return found
