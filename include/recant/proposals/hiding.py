"""Hiding what fails an audit, at once and document by document, pending a person's decision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from recant.oplog import Attribution, Selector
from recant.quality import AuditReport, FailingOperation
from recant.rollback import Rollback, RollbackReport
from recant.store import load

_SQL = load(__package__, "proposals.sql")


def quarantine_failing(rollbacks: Rollback, audit: AuditReport, attribution: Attribution) -> list[RollbackReport]:
    """Quarantines the failing documents, in one operation; other documents of the operations that wrote them stay.

    Where two operations wrote the same document and only one of the two versions fails, there are as many quarantines as
    it takes to leave the other alone. What a hidden version had superseded is seen again, and not audited by this call.
    `recant release`, or a redo of the quarantine, shows what was hidden. What is hidden already is left alone.
    """
    reports = []
    for group in _groups(audit.operations, _written(rollbacks, audit.operations)):
        failing = [document for operation in group for document in operation.documents]
        names = sorted({name for document in failing for name in document.expectations})
        message = attribution.message or f"fails {', '.join(names)} of the suite {audit.suite}"
        documents = tuple(sorted({document.record_id for document in failing}))
        selector = Selector(operations=tuple(operation.operation_id for operation in group), documents=documents)
        reports.append(rollbacks.quarantine(selector, replace(attribution, message=message)))
    return reports


def _written(rollbacks: Rollback, operations: Sequence[FailingOperation]) -> dict[int, set[int]]:
    """Which of all failing documents each of the operations wrote, whether that version fails or not."""
    if not operations:
        return {}
    records = sorted({document.record_id for operation in operations for document in operation.documents})
    given = {"operations": [operation.operation_id for operation in operations], "records": records}
    written: dict[int, set[int]] = {}
    with rollbacks.database.snapshot() as connection:
        for row in connection.execute(_SQL["written_of"], given):
            written.setdefault(row["operation_id"], set()).add(row["record_id"])
    return written


def _groups(operations: Iterable[FailingOperation], written: dict[int, set[int]]) -> list[list[FailingOperation]]:
    """As few groups as come of it in which no operation wrote a document that fails by another one's version only."""
    groups: list[tuple[list[FailingOperation], set[int], set[int]]] = []
    for operation in operations:
        failing = {document.record_id for document in operation.documents}
        spared = written[operation.operation_id] - failing
        fitting = (group for group in groups if not (group[1] & spared or group[2] & failing))
        members, documents, sparing = next(fitting, ([], set(), set()))
        if not members:
            groups.append((members, documents, sparing))
        members.append(operation)
        documents |= failing
        sparing |= spared
    return [members for members, _, _ in groups]
