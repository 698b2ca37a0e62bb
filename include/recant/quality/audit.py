"""The audit: a suite held against what is seen now in a collection, page by page. Changes nothing.

What passed the gate when it was published may fail a suite that was made stricter since, and what is all right by itself
may be there twice, or unlike all the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from recant.errors import UnknownCollection, UsageError
from recant.json_types import JSON
from recant.quality.findings import Findings, Gathering, recent_days, summarise
from recant.quality.frame import DOCUMENTS_A_PAGE, make_frame, measure
from recant.quality.gate import FailingRow, Gate, GateResult, added_up
from recant.quality.suite import DEFAULT_SUITE, Suite
from recant.store import Database, Row, load

NAMED_ROWS = 100
KEPT_ROWS = 10_000
_SQL = load(__package__, "audit.sql")
_FINDINGS = load(__package__, "findings.sql")


@dataclass(frozen=True, slots=True)
class FailingDocument:
    """A document that is seen, and fails critical expectations."""

    record_id: int
    source: str
    version_id: int
    expectations: tuple[str, ...]
    """Their names."""


@dataclass(frozen=True, slots=True)
class FailingOperation:
    """An operation that wrote documents which fail now."""

    operation_id: int
    position: int
    kind: str
    agent: str
    session: str | None
    run_id: str | None
    documents: tuple[FailingDocument, ...]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a suite says of what is seen."""

    collection: str
    suite: str
    position: int
    """The log's last one when the audit began; each page is read as it is by then."""
    documents: int
    rows: int
    """Chunks, and one for each document without any."""
    operations: list[FailingOperation] = field(default_factory=list)
    """Those with failing documents, by position."""
    results: list[GateResult] = field(default_factory=list)
    summary: Mapping[str, JSON] = field(default_factory=dict)
    """The row about all of it: SUMMARY_COLUMNS."""
    languages: tuple[str, ...] = ()
    """The collection's; none where they can't be told."""
    failing_rows: Mapping[str, Sequence[FailingRow]] = field(default_factory=dict)
    """By expectation, of any severity, by record: the first KEPT_ROWS. What an expectation counts is all of them."""
    suite_digest: str = ""
    started_at: datetime = datetime.min
    audit_id: int | None = None
    """In the history; None when it wasn't kept."""
    data_docs: str | None = None
    """Its page: a path below the folder of Data Docs; None when none was built."""

    @property
    def success(self) -> bool:
        """No critical expectation failed."""
        return all(result.success for result in self.results)

    @property
    def expectations(self) -> list[dict[str, JSON]]:
        """As in GateResult, added up over the pages."""
        return added_up(self.results)

    @property
    def failing_documents(self) -> int:
        """How many, over all operations."""
        return sum(len(operation.documents) for operation in self.operations)

    @property
    def beyond_documents(self) -> list[str]:
        """Critical expectations that failed for a page as a whole: no document is to blame, nothing is proposed."""
        return list(dict.fromkeys(name for result in self.results for name in result.beyond_documents))

    def to_dict(self) -> dict[str, JSON]:
        """JSON-ready. Names documents and expectations, and holds no value of a row."""
        return {
            "collection": self.collection,
            "suite": self.suite,
            "position": self.position,
            "success": self.success,
            "documents": self.documents,
            "rows": self.rows,
            "failing_documents": self.failing_documents,
            "operations": [_operation(operation) for operation in self.operations],
            "beyond_documents": list(self.beyond_documents),
            "expectations": list(self.expectations),
            "summary": dict(self.summary),
            "languages": list(self.languages),
            "failing_rows": {name: _named(rows) for name, rows in self.failing_rows.items()},
            "suite_digest": self.suite_digest,
            "started_at": self.started_at.isoformat(),
            "audit_id": self.audit_id,
            "data_docs": self.data_docs,
        }


@dataclass(slots=True)
class _Found:
    documents: int = 0
    rows: int = 0
    results: list[GateResult] = field(default_factory=list)
    failing: dict[int, list[FailingDocument]] = field(default_factory=dict)
    failing_rows: dict[str, list[FailingRow]] = field(default_factory=dict)


def audit_collection(
    database: Database,
    collection: str,
    *,
    suite: Suite = DEFAULT_SUITE,
    model_tokens: tuple[str, int] | None = None,
    batch_rows: int = 10_000,
) -> AuditReport:
    """Hold the documents that are seen now against the suite. Memory is bounded by `batch_rows` chunks, checked at once.

    `model_tokens`: an embedding model's digest and how many tokens it sees; fills in the suite's `max_tokens` where the
    collection is of that model. Raises UnknownCollection, BadSuite, UsageError.
    """
    if batch_rows < 1:
        raise UsageError(f"batch_rows={batch_rows}: it must be 1 or more")
    started_at = datetime.now(UTC)
    known = _collection(database, collection)
    if model_tokens and model_tokens[0] == known["model_digest"] and "max_tokens" in suite.parameters:
        suite = suite.with_parameters(max_tokens=model_tokens[1])
    found = _Found()
    findings = _findings(database, known, suite, batch_rows)
    gate: Gate | None = None
    for heads, rows in _pages(database, known["id"], batch_rows):
        gate = gate or Gate(suite)
        findings.complete(rows)
        _check(gate, heads, rows, found)
    if gate:
        found.results = gate.with_summary(found.results, findings.summary)
    return AuditReport(
        collection, suite.name, known["position"], found.documents, found.rows, _describe(database, found.failing),
        found.results, findings.summary, tuple(sorted(findings.languages)), found.failing_rows, suite.digest, started_at,
    )  # fmt: skip


def _findings(database: Database, known: Row, suite: Suite, batch_rows: int) -> Findings:
    """One reading of the texts, before the rows are judged: what is there twice is known only when all are read."""
    given = {"collection_id": known["id"], "seconds": recent_days(suite) * 86_400}
    with database.snapshot() as connection:
        recent = {row["id"] for row in connection.execute(_FINDINGS["recent_operations"], given)}
        rejects = connection.execute(_FINDINGS["rejects_of_collection"], given).fetchone()
    assert rejects is not None, "sums are one row"
    gathering, before, new = Gathering(database, suite), list[int](), list[int]()
    for heads in _heads(database, known["id"], batch_rows):
        gathering.add([head["version_id"] for head in heads])
        for head in heads:
            (new if head["operation_id"] in recent else before).append(head["version_id"])
    with database.snapshot() as connection:
        told = summarise(
            connection, suite, known["id"], before=before, new=new, rejects=rejects, seed=known["position"]
        )
    return gathering.findings(told)


def _check(gate: Gate, heads: Sequence[Row], rows: Sequence[Row], found: _Found) -> None:
    result = gate.check(make_frame(rows), name_rows=True)
    for head in heads:
        if names := result.failures.get(head["version_id"]):
            document = FailingDocument(head["record_id"], head["source"], head["version_id"], names)
            found.failing.setdefault(head["operation_id"], []).append(document)
    for name, failing in result.failing_rows.items():
        kept = found.failing_rows.setdefault(name, [])
        kept += failing[: KEPT_ROWS - len(kept)]
    found.documents += len(heads)
    found.rows += len(rows)
    found.results.append(replace(result, failing_rows={}))


def _pages(database: Database, collection_id: int, batch_rows: int) -> Iterator[tuple[list[Row], list[Row]]]:
    """Heads with their measured chunks."""
    for heads in _heads(database, collection_id, batch_rows):
        with database.snapshot() as connection:
            rows = measure(connection, [head["version_id"] for head in heads])
        yield heads, rows


def _heads(database: Database, collection_id: int, batch_rows: int) -> Iterator[list[Row]]:
    """What is seen, by record; pages on which nothing is seen are passed over."""
    given = {"collection_id": collection_id, "after": 0, "at_most": DOCUMENTS_A_PAGE, "batch_rows": batch_rows}
    while True:
        with database.snapshot() as connection:
            records = connection.execute(_SQL["next_heads"], given).fetchall()
        if not records:
            return
        if heads := [record for record in records if record["version_id"] is not None]:
            yield heads
        given["after"] = records[-1]["record_id"]


def _collection(database: Database, name: str) -> Row:
    with database.snapshot() as connection:
        row = connection.execute(_SQL["collection_id"], {"collection": name}).fetchone()
    if row is None:
        raise UnknownCollection(f'There is no collection "{name}": `recant collections` lists them.')
    return row


def _describe(database: Database, failing: dict[int, list[FailingDocument]]) -> list[FailingOperation]:
    with database.snapshot() as connection:
        rows = connection.execute(_SQL["operations_by_id"], {"operations": list(failing)}).fetchall()
    return [FailingOperation(documents=tuple(failing[row["operation_id"]]), **row) for row in rows]


def _named(rows: Sequence[FailingRow]) -> list[JSON]:
    return [asdict(row) for row in rows[:NAMED_ROWS]]


def _operation(operation: FailingOperation) -> dict[str, Any]:
    told = asdict(operation)
    for document in told["documents"]:
        document["expectations"] = list(document["expectations"])
    return told | {"documents": list(told["documents"])}
