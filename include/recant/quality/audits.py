"""What `kb.audits` offers: audits by each collection's suite, their history, and their pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from recant.errors import UsageError
from recant.json_types import JSON
from recant.quality.audit import AuditReport, audit_collection
from recant.quality.data_docs import FOLDER, KEPT, DataDocs
from recant.quality.suite import Suite, load_suite
from recant.quality.suites import suite_of
from recant.settings import Settings
from recant.store import Database, json_parameter, load

KEEP_DAYS = 365.0
_SQL = load(__package__, "audit.sql")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An audit in the history. `expectations` as in GateResult; `failing_rows` the first hundred of each, by id."""

    audit_id: int
    collection: str
    position: int
    suite: str
    suite_digest: str
    success: bool
    documents: int
    chunks: int
    failing_documents: int
    summary: dict[str, JSON]
    expectations: list[dict[str, Any]]
    failing_rows: dict[str, list[dict[str, Any]]]
    agent: str
    run_id: str | None
    quarantines: list[int]
    """The operations that hid what failed."""
    started_at: datetime
    ended_at: datetime

    @property
    def unexpected(self) -> dict[str, int]:
        """How many rows fail each expectation; of one that holds 0."""
        return {str(e["name"]): int(e["unexpected"]) or int(not e["success"]) for e in self.expectations}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"started_at": self.started_at.isoformat(), "ended_at": self.ended_at.isoformat()}


class Audits:
    """Audits over one database. `model_tokens` gives the digest of a collection's embedding model, and how many tokens that
    sees; None where the model isn't known here.
    """

    def __init__(
        self, database: Database, settings: Settings, model_tokens: Callable[[str], tuple[str, int] | None]
    ) -> None:
        self.database = database
        self.settings = settings
        self.model_tokens = model_tokens

    @property
    def data_docs(self) -> DataDocs:
        """The pages."""
        return DataDocs(self.settings.home / FOLDER)

    def suite(self, collection: str | None = None, file: Path | str | None = None) -> Suite:
        """The suite of a file, or else the collection's. Raises BadSuite."""
        return load_suite(Path(file)) if file is not None else suite_of(self.settings, self._named(collection))

    def look(self, collection: str | None = None, *, suite: Path | str | None = None) -> AuditReport:
        """Holds what is seen now in a collection against its suite, or a file's. Keeps nothing. Raises UnknownCollection, BadSuite."""
        chosen, name = self.suite(collection, suite), self._named(collection)
        tokens = None if suite else self.model_tokens(name)
        return audit_collection(self.database, name, suite=chosen, model_tokens=tokens)

    def run(
        self, collection: str | None = None, *, suite: Path | str | None = None, agent: str | None = None,
        run_id: str | None = None, keep_days: float = KEEP_DAYS, pages: int = KEPT,
    ) -> AuditReport:  # fmt: skip
        """The same, kept in the history, with a page of Data Docs; no page where `pages`, how many are kept, is 0.

        Not an operation: nothing that is seen changes. Raises UnknownCollection, BadSuite, UsageError.
        """
        if keep_days <= 0 or pages < 0:
            raise UsageError("The history is kept for longer than nothing, and pages can't be fewer than none.")
        report = self.look(collection, suite=suite)
        told = report.to_dict() | {"agent": agent or self.settings.agent, "run_id": run_id}
        given = {"collection": report.collection, "audit": json_parameter(told), "keep_days": keep_days}
        with self.database.transaction() as connection:
            row = connection.execute(_SQL["store_audit"], given).fetchone()
        report = replace(report, audit_id=row["id"] if row else None)
        if not pages:
            return report
        return replace(report, data_docs=self.data_docs.build(report, self.suite(collection, suite), keep=pages))

    def note_quarantines(self, report: AuditReport, operations: list[int]) -> None:
        """Puts down with a kept audit which operations hid what it found."""
        given = {"audit_id": report.audit_id, "operations": operations}
        with self.database.transaction() as connection:
            connection.execute(_SQL["note_quarantines"], given)

    def history(self, collection: str | None = None, *, limit: int = 20, every: bool = False) -> list[AuditEntry]:
        """What was kept of a collection, or of `every` one, newest first."""
        return list(self._find(None if every else self._named(collection), None, limit))

    def get(self, audit_id: int) -> AuditEntry:
        """One of them. Raises UsageError."""
        found = next(self._find(None, audit_id, 1), None)
        if found is None:
            raise UsageError(f"There is no audit {audit_id} in the history: `recant audit history` lists them.")
        return found

    def page(self, entry: AuditEntry) -> Path | None:
        """The file of an audit's page; None where none was made, or it was retired."""
        page = self.data_docs.page(entry.collection, entry.audit_id, entry.started_at)
        return self.data_docs.site / page if self.data_docs.has(page) else None

    def _find(self, collection: str | None, audit_id: int | None, limit: int) -> Iterator[AuditEntry]:
        given = {"collection": collection, "audit_id": audit_id, "limit": limit}
        with self.database.snapshot() as connection:
            rows = connection.execute(_SQL["find_audits"], given).fetchall()
        return (AuditEntry(**row) for row in rows)

    def _named(self, collection: str | None) -> str:
        return collection or self.settings.collection
