"""Hiding what fails an audit, at once and document by document, pending a person's decision."""

from __future__ import annotations

from dataclasses import replace

from recant.oplog import Attribution, Selector
from recant.quality import AuditReport
from recant.rollback import Rollback, RollbackReport


def quarantine_failing(rollbacks: Rollback, audit: AuditReport, attribution: Attribution) -> list[RollbackReport]:
    """Quarantines the failing documents, one quarantine for each operation that wrote some; its other documents stay.

    What a hidden version had superseded is seen again, and not audited by this call. `recant release`, or a redo of the
    quarantine, shows what was hidden. What is hidden already is left alone.
    """
    reports = []
    for operation in audit.operations:
        documents = tuple(sorted(document.record_id for document in operation.documents))
        names = sorted({name for document in operation.documents for name in document.expectations})
        message = attribution.message or f"fails {', '.join(names)} of the suite {audit.suite}"
        selector = Selector(operations=(operation.operation_id,), documents=documents)
        reports.append(rollbacks.quarantine(selector, replace(attribution, message=message)))
    return reports
