"""The gate before publishing: Great Expectations on what an open operation holds, batch by batch.

Offers `gate_operation` (check, keep the results with the operation, quarantine or refuse), `Gate` (one data frame
against one suite) and `Suite` (expectations with severities, from a YAML file). Kept out: publishing and aborting,
which are the caller's, and scores of what is published. Importing this package imports neither Great Expectations
(seconds) nor pandas: both come with the first row that is checked.
"""

from __future__ import annotations

from recant.quality.gate import Gate, GateResult
from recant.quality.operation import FailedDocument, GateReport, gate_operation
from recant.quality.suite import DEFAULT_SUITE, BadSuite, Suite, load_suite

__all__ = [
    "DEFAULT_SUITE",
    "BadSuite",
    "FailedDocument",
    "Gate",
    "GateReport",
    "GateResult",
    "Suite",
    "gate_operation",
    "load_suite",
]
