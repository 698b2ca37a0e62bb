"""Audits of what is published, on a schedule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recant_airflow.operators.base import KnowledgeBaseOperator, attribution

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recant.knowledge_base import KnowledgeBase
    from recant.quality import AuditReport

SHOWN_DOCUMENTS = 100


class KnowledgeBaseAuditOperator(KnowledgeBaseOperator):
    """Holds what is seen now in a collection against a suite; what fails is a table in the task's log, by ids.

    Gives a summary: collection, suite, position, success, documents, rows, failing_documents, `failing` (operation_id,
    record_id, version_id, source and expectations of the first hundred), beyond_documents, quarantines. Where something
    critical fails and wasn't hidden, the task fails at once; the summary is there all the same.

    :param collection: whose documents; None: the installation's default.
    :param suite: path of a suite on the worker; None: the gate's own.
    :param quarantine: hide the documents that fail, until they are released or rolled back.
    :param agent: who audits, and hides.
    :param message: why, kept with the quarantines; None: the expectations that fail.
    """

    template_fields: Sequence[str] = ("collection", "suite", "quarantine", "agent", "message")

    def __init__(
        self,
        *,
        collection: str | None = None,
        suite: str | None = None,
        quarantine: bool = False,
        agent: str = "auditor",
        message: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection = collection
        self.suite = suite
        self.quarantine = quarantine
        self.agent = agent
        self.message = message

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Audits; raises UnknownCollection, BadSuite, GateFailed."""
        from recant.errors import GateFailed
        from recant.proposals import quarantine_failing
        from recant.rollback.rendering import table

        report = kb.audit(self.collection, suite=Path(self.suite).expanduser() if self.suite else None)
        failing = list(_failing(report))[:SHOWN_DOCUMENTS]
        rows = [
            (str(f["operation_id"]), str(f["record_id"]), f["source"], ", ".join(f["expectations"])) for f in failing
        ]
        for line in table(("operation", "document", "source", "fails"), rows).splitlines() if rows else ():
            self.log.info("%s", line)
        who = attribution(context, agent=self.agent, message=self.message)
        hidden = quarantine_failing(kb.rollbacks, report, who) if self.quarantine else []
        told = report.to_dict()
        kept = (
            "collection",
            "suite",
            "position",
            "success",
            "documents",
            "rows",
            "failing_documents",
            "beyond_documents",
        )
        summary = {name: told[name] for name in kept} | {"failing": failing}
        summary["quarantines"] = [one.rollback_operation_id for one in hidden]
        if report.beyond_documents or (report.failing_documents and not hidden):
            context["ti"].xcom_push(key="return_value", value=summary)
            raise GateFailed(
                f"Of {report.documents:,} documents in {report.collection}, {report.failing_documents:,} fail something "
                f"critical of the suite {report.suite}: the table in this log names them, and so does `recant audit`."
            )
        return summary


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
