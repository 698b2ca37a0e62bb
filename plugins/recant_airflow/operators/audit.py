"""Audits of what is published, on a schedule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recant_airflow.links import DataDocsLink
from recant_airflow.operators.base import KnowledgeBaseOperator, attribution

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from recant.knowledge_base import KnowledgeBase
    from recant.oplog import Attribution
    from recant.quality import AuditReport

SHOWN_DOCUMENTS = 100
SHOWN_CHUNKS = 20
SUMMARISED = (
    "audit_id", "collection", "suite", "position", "success", "documents", "rows", "failing_documents",
    "beyond_documents", "summary", "data_docs",
)  # fmt: skip


class KnowledgeBaseAuditOperator(KnowledgeBaseOperator):
    """Holds what is seen now in a collection against its suite; what fails is a table in the task's log, by ids.

    The result goes into the history, with a page of Data Docs that the link "Data Docs" leads to. Lineage shows the
    collection as read, with what every expectation said (dataQualityAssertions), of failed runs too.

    Gives a summary: audit_id, collection, suite, position, success, documents, rows, failing_documents, `failing`
    (operation_id, record_id, version_id, source and expectations of the first hundred), beyond_documents, summary,
    unexpected (rows by expectation, where there are any), data_docs, quarantines. Where something critical fails and
    wasn't hidden, the task fails at once; the summary is there all the same.

    :param collection: whose documents; None: the installation's default.
    :param suite: path of a suite on the worker; None: the collection's.
    :param quarantine: hide the documents that fail, in one operation, until they are released or rolled back.
    :param keep_days: how long the history is kept.
    :param pages: how many pages of Data Docs are kept of a collection; 0: none is made.
    :param agent: who audits, and hides.
    :param message: why, kept with the quarantine; None: the expectations that fail.
    """

    template_fields: Sequence[str] = ("collection", "suite", "quarantine", "keep_days", "pages", "agent", "message")
    operator_extra_links = (DataDocsLink(),)
    reads = True

    def __init__(
        self,
        *,
        collection: str | None = None,
        suite: str | None = None,
        quarantine: bool = False,
        keep_days: int = 365,
        pages: int = 30,
        agent: str = "auditor",
        message: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection = collection
        self.suite = suite
        self.quarantine = quarantine
        self.keep_days = keep_days
        self.pages = pages
        self.agent = agent
        self.message = message
        self.data_docs: str | None = None
        self.datasets: list[dict[str, str]] = []

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Audits; raises UnknownCollection, BadSuite, GateFailed."""
        from recant.errors import GateFailed

        self.data_docs, self.datasets = None, []
        who = attribution(context, agent=self.agent, message=self.message)
        report = kb.audits.run(
            self.collection, suite=Path(self.suite).expanduser() if self.suite else None, agent=who.agent,
            run_id=who.run_id, keep_days=float(self.keep_days), pages=int(self.pages),
        )  # fmt: skip
        self._note(kb, report)
        hidden = self._hidden(kb, report, who) if self.quarantine else []
        summary = _summary(report) | {"quarantines": hidden}
        if report.beyond_documents or (report.failing_documents and not hidden):
            context["ti"].xcom_push(key="return_value", value=summary)
            raise GateFailed(
                f"Of {report.documents:,} documents in {report.collection}, {report.failing_documents:,} fail something "
                f"critical of the suite {report.suite}: the table in this log names them, and so does "
                f"`recant audit show {report.audit_id}`."
            )
        return summary

    def _note(self, kb: KnowledgeBase, report: AuditReport) -> None:
        """In the log, for the link, and for lineage."""
        from recant.lineage.dataset_facets import assertions_facet, version_facet
        from recant.lineage.naming import collection_dataset
        from recant.rollback.rendering import table

        failing = list(_failing(report))[:SHOWN_DOCUMENTS]
        rows = [
            (str(f["operation_id"]), str(f["record_id"]), f["source"], ", ".join(f["expectations"])) for f in failing
        ]
        for line in table(("operation", "document", "source", "fails"), rows).splitlines() if rows else ():
            self.log.info("%s", line)
        for name, found in report.failing_rows.items():
            chunks = ", ".join(str(row.chunk_id) for row in found[:SHOWN_CHUNKS] if row.chunk_id is not None)
            self.log.info("%s fails of %s chunks, the first: %s", name, _unexpected(report).get(name), chunks)
        if report.data_docs:
            self.data_docs = report.data_docs
            self.log.info("Data Docs: %s", kb.audits.data_docs.site / report.data_docs)
        namespace, name = collection_dataset(kb.settings, report.collection)
        self.datasets = [{"direction": "input", "namespace": namespace, "name": name}]
        facets = {"dataQualityAssertions": assertions_facet([report.expectations])}
        self.statistics = {key: facet for key, facet in facets.items() if facet is not None}
        self.facets = {"version": version_facet(report.position)}

    def _hidden(self, kb: KnowledgeBase, report: AuditReport, who: Attribution) -> list[int]:
        from recant.proposals import quarantine_failing

        reports = quarantine_failing(kb.rollbacks, report, who)
        hidden = [one.rollback_operation_id for one in reports if one.rollback_operation_id is not None]
        if hidden:
            kb.audits.note_quarantines(report, hidden)
        return hidden

    def lineage_datasets(self) -> Iterable[Mapping[str, str]]:
        """The collection, known afterwards."""
        return self.datasets

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage:
        """As of a run that ended well: what fails is what one wants to know."""
        return self.get_openlineage_facets_on_complete(task_instance)


def _summary(report: AuditReport) -> dict[str, Any]:
    told = report.to_dict()
    return {name: told[name] for name in SUMMARISED} | {
        "failing": list(_failing(report))[:SHOWN_DOCUMENTS],
        "unexpected": _unexpected(report),
    }


def _unexpected(report: AuditReport) -> dict[str, int]:
    return {str(e["name"]): int(str(e["unexpected"])) for e in report.expectations if e["unexpected"]}


def _failing(report: AuditReport) -> Iterator[Mapping[str, Any]]:
    for operation in report.operations:
        for document in operation.documents:
            yield {
                "operation_id": operation.operation_id,
                "record_id": document.record_id,
                "version_id": document.version_id,
                "source": document.source,
                "expectations": list(document.expectations),
            }
