"""The gate before publishing, and audits of what is published: Great Expectations, batch by batch.

Offers `gate_operation` (check an open operation, keep the results with it, quarantine or refuse), `audit_collection`
(the same suites on what is seen now; changes nothing), `Audits` (the same with history and Data Docs), `Gate` (one data
frame against one suite), `Suite` (expectations with severities, from a YAML file) and `suite_of` (a collection's).
Kept out: publishing and aborting, which are the caller's, and what is proposed because of an audit. Importing this package
imports neither Great Expectations (seconds) nor pandas: both come with the first row that is checked.
"""

from __future__ import annotations

from recant.quality.audit import AuditReport, FailingDocument, FailingOperation, audit_collection
from recant.quality.audits import AuditEntry, Audits
from recant.quality.gate import FailingRow, Gate, GateResult
from recant.quality.operation import FailedDocument, GateReport, gate_operation
from recant.quality.suite import DEFAULT_SUITE, BadSuite, Suite, load_suite
from recant.quality.suites import check_suite, suite_files, suite_of, suites_folder

__all__ = [
    "DEFAULT_SUITE",
    "AuditEntry",
    "AuditReport",
    "Audits",
    "BadSuite",
    "FailedDocument",
    "FailingDocument",
    "FailingOperation",
    "FailingRow",
    "Gate",
    "GateReport",
    "GateResult",
    "Suite",
    "audit_collection",
    "check_suite",
    "gate_operation",
    "load_suite",
    "suite_files",
    "suite_of",
    "suites_folder",
]
