"""The gate of an open operation: everything that it has written, page by page, before it is published.

If the operation is aborted afterwards, its results and the reasons stay with it; they were never more than counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from recant.errors import GateFailed, UsageError
from recant.json_types import JSON
from recant.quality.findings import Findings, Gathering, reference, summarise
from recant.quality.frame import Page, documents, pages
from recant.quality.gate import Gate, GateResult, added_up
from recant.quality.suite import DEFAULT_SUITE, Suite
from recant.store import Connection, Database, json_parameter, load

Policy = Literal["strict", "quarantine"]
POLICIES: tuple[Policy, ...] = ("strict", "quarantine")
BATCH_KEY = "gate"
LEASE_SECONDS = 900.0
NAMED_DOCUMENTS = 5
LISTED_DOCUMENTS = 100


@dataclass(frozen=True, slots=True)
class FailedDocument:
    """A document with critical failures. `version_id` is None when an earlier attempt left it out already."""

    source: str
    reason: str
    chunks: int
    version_id: int | None = None


@dataclass(frozen=True, slots=True)
class GateReport:
    """What the gate found in an operation."""

    operation_id: int
    policy: str
    suite: str
    documents: int
    rows: int
    results: list[GateResult] = field(default_factory=list)
    failed: list[FailedDocument] = field(default_factory=list)
    """Under `quarantine` these are no longer part of the operation."""

    @property
    def success(self) -> bool:
        """Nothing critical was found."""
        return not self.failed and all(result.success for result in self.results)

    @property
    def quarantined(self) -> list[FailedDocument]:
        """Documents that were left out; none under `strict`."""
        return self.failed if self.policy == "quarantine" else []

    @property
    def beyond_documents(self) -> list[str]:
        """Critical expectations that failed for a batch as a whole."""
        return list(dict.fromkeys(name for result in self.results for name in result.beyond_documents))

    @property
    def expectations(self) -> list[dict[str, JSON]]:
        """As in GateResult, added up over the batches."""
        return added_up(self.results)

    def to_dict(self) -> dict[str, JSON]:
        """JSON-ready. Names documents and expectations, and holds no value of a row."""
        return {
            "operation_id": self.operation_id,
            "policy": self.policy,
            "suite": self.suite,
            "success": self.success,
            "documents": self.documents,
            "rows": self.rows,
            "batches": len(self.results),
            "quarantined": len(self.quarantined),
            "failed": [{"source": d.source, "reason": d.reason} for d in self.failed],
            "expectations": list(self.expectations),
        }


def gate_operation(
    database: Database,
    operation_id: int,
    *,
    policy: str = "strict",
    batch_rows: int = 10_000,
    suite: Suite = DEFAULT_SUITE,
    max_tokens: int | None = None,
) -> GateReport:
    """Hold everything that the open operation has written against the suite, and keep the results with it.

    `batch_rows`: chunks checked at once (whole documents, so a little more). `max_tokens`: what the embedding model
    sees, where the suite has that parameter; None: the suite's own value. Under "quarantine" documents with critical
    failures are taken out of the operation and recorded as rejected; under "strict" nothing is taken out and
    GateFailed is raised, as it is whenever an expectation about a whole batch fails: the caller aborts then. Calling it
    again is safe. Raises OperationClosed, UnknownOperation, BadSuite, UsageError.
    """
    if policy not in POLICIES:
        raise UsageError(f"policy={policy!r}: it must be one of {', '.join(POLICIES)}")
    if batch_rows < 1:
        raise UsageError(f"batch_rows={batch_rows}: it must be 1 or more")
    if max_tokens is not None and "max_tokens" in suite.parameters:
        suite = suite.with_parameters(max_tokens=max_tokens)
    report = _check_pages(database, GateReport(operation_id, policy, suite.name, 0, 0), suite, batch_rows)
    with database.transaction() as connection:
        report = _keep(connection, report)
    if report.beyond_documents or (report.failed and policy == "strict"):
        raise _refusal(report)
    return report


def _check_pages(database: Database, report: GateReport, suite: Suite, batch_rows: int) -> GateReport:
    """Reads only. A long check keeps the operation's lease alive."""
    gate: Gate | None = None
    checked = rows = 0
    results: list[GateResult] = []
    failed: list[FailedDocument] = []
    _extend_lease(database, report.operation_id)
    findings = _findings(database, report.operation_id, suite, batch_rows)
    for page in pages(database, report.operation_id, batch_rows):
        gate = gate or Gate(suite)
        findings.complete(page.rows)
        result = gate.check(page.frame())
        results.append(result)
        failed += _failed_documents(page, result)
        checked += len(page.sources)
        rows += len(page.rows)
        _extend_lease(database, report.operation_id)
    if gate:
        results = gate.with_summary(results, findings.summary)
    return replace(report, documents=checked, rows=rows, results=results, failed=failed)


def _findings(database: Database, operation_id: int, suite: Suite, batch_rows: int) -> Findings:
    """What the rows don't say by themselves: against each other, and against what is seen in the collection."""
    gathering, new = Gathering(database, suite), list[int]()
    for sources in documents(database, operation_id, batch_rows):
        gathering.add(list(sources))
        new += sources
        _extend_lease(database, operation_id)
    if not new:
        return Findings()
    given = {"operation_id": operation_id}
    with database.snapshot() as connection:
        row = connection.execute(load(__package__, "quality.sql")["collection_of_operation"], given).fetchone()
        rejects = connection.execute(load(__package__, "findings.sql")["rejects_of_operation"], given).fetchone()
    assert row is not None, "an operation that has written something is there"
    assert rejects is not None, "sums are one row"
    counted = {**rejects, "rejected_before": 0, "looked_at_before": 0}
    before, languages = list[int](), frozenset[str]()
    if suite.columns & {"in_language", "drift_distance", "drift_p_value"}:
        before, languages = reference(database, row["collection_id"], seed=operation_id)
    with database.snapshot() as connection:
        told = summarise(
            connection, suite, row["collection_id"], before=before, new=new, rejects=counted, seed=operation_id
        )
    return gathering.findings(told, languages)


def _failed_documents(page: Page, result: GateResult) -> Iterable[FailedDocument]:
    chunks = {row["version_id"]: row["chunks_stored"] for row in page.rows}
    for version in result.failing_versions:
        names = ", ".join(result.failures[version])
        yield FailedDocument(page.sources[version], f"quality gate: {names}", chunks[version], version)


def _keep(connection: Connection, report: GateReport) -> GateReport:
    """One transaction: results, reasons and quarantine are there together or not at all.

    An attempt discards what the one before it wrote. Documents that it had left out are gone, so its word about them
    is repeated, unless a batch that was run again has brought them back.
    """
    queries = load(__package__, "quality.sql")
    given = {"operation_id": report.operation_id, "key": BATCH_KEY, "lease_seconds": LEASE_SECONDS}
    before = [FailedDocument(**row) for row in connection.execute(queries["quarantined_before"], given).fetchall()]
    begun = connection.execute(queries["begin_batch"], given).fetchone()
    assert begun is not None, "begin_batch answers with one row"
    batch = {"operation_id": report.operation_id, "batch_id": begun["batch_id"]}
    for result in report.results:
        stored = {"suite": result.suite, "success": result.success, "result": json_parameter(result.to_dict())}
        connection.execute(queries["add_quality_check"], batch | stored)
    failed = before + report.failed
    reasons = {"sources": [d.source for d in failed], "reasons": [d.reason for d in failed]}
    connection.execute(queries["add_rejections"], batch | reasons)
    left_out = failed if report.policy == "quarantine" else before
    versions = [document.version_id for document in left_out if document.version_id is not None]
    if versions:
        connection.execute(queries["discard_versions"], batch | {"versions": versions})
    connection.execute(queries["finish_batch"], batch | {"counts": json_parameter(_counts(left_out))})
    return replace(report, failed=failed if report.policy == "quarantine" else report.failed)


def _counts(left_out: Sequence[FailedDocument]) -> dict[str, JSON]:
    """Takes back what the writing batches counted of the documents left out; the log adds up over batches."""
    if not left_out:
        return {}
    return {
        "documents": -len(left_out),
        "chunks": -sum(document.chunks for document in left_out),
        "rejected": len(left_out),
        "quarantined": {document.source: document.chunks for document in left_out},
    }


def _refusal(report: GateReport) -> GateFailed:
    named = [f"{d.source} ({d.reason.removeprefix('quality gate: ')})" for d in report.failed[:NAMED_DOCUMENTS]]
    more = len(report.failed) - len(named)
    parts = [f"{len(report.failed)} of {report.documents} documents fail the quality gate: {'; '.join(named)}"]
    if not report.failed:
        parts = [f"The quality gate fails for the batch as a whole: {', '.join(report.beyond_documents)}"]
    elif more:
        parts.append(f"and {more} more")
    advice = "Mend them, or ingest with the policy quarantine to leave them out."
    if report.beyond_documents:
        advice = "Leaving documents out wouldn't mend it: look at the sources, or at the suite."
    return GateFailed(
        f"{' '.join(parts)}. {advice}",
        operation_id=report.operation_id,
        suite=report.suite,
        failed=[{"source": d.source, "reason": d.reason} for d in report.failed[:LISTED_DOCUMENTS]],
        failed_documents=len(report.failed),
        expectations=[e for e in report.expectations if not e["success"]],
    )


def _extend_lease(database: Database, operation_id: int) -> None:
    with database.transaction() as connection:
        given = {"operation_id": operation_id, "lease_seconds": LEASE_SECONDS}
        connection.execute(load(__package__, "quality.sql")["extend_lease"], given)
