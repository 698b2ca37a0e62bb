"""The gate before publishing, and audits of what is published: Great Expectations, batch by batch.

Offers `gate_operation` (check an open operation, keep the results with it, quarantine or refuse), `audit_collection`
(the same suites on what is seen now; changes nothing), `Gate` (one data frame against one suite) and `Suite`
(expectations with severities, from a YAML file). Kept out: publishing and aborting, which are the caller's, and what is
proposed because of an audit. Importing this package imports neither Great Expectations (seconds) nor pandas: both come
with the first row that is checked.
"""

from __future__ import annotations

from recant.quality.audit import AuditReport, FailingDocument, FailingOperation, audit_collection
from recant.quality.gate import Gate, GateResult
from recant.quality.operation import FailedDocument, GateReport, gate_operation
from recant.quality.suite import DEFAULT_SUITE, BadSuite, Suite, load_suite

__all__ = [
    "DEFAULT_SUITE",
    "AuditReport",
    "BadSuite",
    "FailedDocument",
    "FailingDocument",
    "FailingOperation",
    "Gate",
    "GateReport",
    "GateResult",
    "Suite",
    "audit_collection",
    "gate_operation",
    "load_suite",
]
