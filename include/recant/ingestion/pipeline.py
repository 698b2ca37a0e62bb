"""From sources to a published operation, in steps that Airflow's tasks and the command line share.

open → list_batches → write_batch for each, anywhere, in any order → gate → retire → publish, or abort at any point.
Each step can be tried again: it replaces what its earlier attempt wrote. Nothing is seen by others before publish.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from recant.corpus import BatchTarget, CollectionInfo, Corpus, Embeddings
from recant.embedding import Embedder, ModelCard, TokenCounter, open_embedder, resolve_model
from recant.errors import RecantError
from recant.ingestion.listing import Listing, list_sources
from recant.ingestion.origin import as_given, origins_of
from recant.ingestion.request import IngestReport, IngestRequest
from recant.ingestion.source import SourceItem
from recant.ingestion.writer import BatchWriter, Counts
from recant.lineage import collection_dataset, source_dataset
from recant.oplog import DEFAULT_LEASE_SECONDS, Attribution, Dataset, Operation, OperationLog
from recant.quality import GateReport, gate_operation
from recant.settings import Settings
from recant.store import Database, load

DOCUMENTS_PER_BATCH = 200
_SQL = load(__package__, "ingestion.sql")

Progress = Callable[[str, int, int | None], None]
"""Told (what, done, total) as work goes on; total is None where it isn't known."""


@dataclass(frozen=True)
class Ingestion:
    """Ingests into one database with one embedding model."""

    database: Database
    settings: Settings

    @cached_property
    def log(self) -> OperationLog:
        """The operation log."""
        return OperationLog(self.database)

    @cached_property
    def corpus(self) -> Corpus:
        """The documents."""
        return Corpus(self.database)

    @cached_property
    def card(self) -> ModelCard:
        """The embedding model, not loaded."""
        return resolve_model(self.settings.model, cache_dir=self.settings.home / "run")

    @cached_property
    def tokens(self) -> TokenCounter:
        """Counts as the embedding model does."""
        return TokenCounter(self.card)

    @cached_property
    def embedder(self) -> Embedder:
        """The resident one where there is one; otherwise the model is loaded at the first text that isn't known."""
        state_file: Path = self.settings.home / "run" / "embedder.json"
        return open_embedder(
            self.card,
            purpose="documents",
            state_file=state_file,
            dtype=self.settings.model_dtype,
            device=self.settings.device,
            mode=self.settings.embedder,
        )

    def open(
        self,
        request: IngestRequest,
        attribution: Attribution,
        *,
        kind: str = "ingest",
        open_key: str | None = None,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
    ) -> int:
        """Opens the operation and returns its id. A collection comes into being with its first ingest.

        `lease_seconds` is how long it may wait for its next batch before upkeep takes its worker for gone. Raises
        ConfigurationError when the collection was filled with another model; UsageError for a bad name.
        """
        self.log.abort_expired()
        self.corpus.ensure_collection(request.collection, self.card)
        output = Dataset("output", *collection_dataset(self.settings, request.collection))
        inputs = [Dataset("input", *source_dataset(self.settings, origin)) for origin in origins_of(request.sources)]
        sources = [as_given(spec) for spec in request.sources]
        parameters = {"request": request.to_dict() | {"sources": sources}}
        return self.log.open(
            kind,
            attribution,
            collection=request.collection,
            parameters=parameters,
            datasets=[*inputs, output],
            open_key=open_key,
            lease_seconds=lease_seconds,
        )

    def list_batches(
        self, operation_id: int, request: IngestRequest, *, documents_per_batch: int = DOCUMENTS_PER_BATCH
    ) -> list[list[dict[str, Any]]]:
        """Shares of the work, as plain dicts of SourceItems. What can't be listed is recorded as rejected."""
        listing = list_sources(request.sources)
        self._record_listing(operation_id, request, listing)
        items = [item.to_dict() for item in listing.items]
        return [items[i : i + documents_per_batch] for i in range(0, len(items), documents_per_batch)]

    def write_batch(
        self,
        operation_id: int,
        key: str,
        items: Sequence[Mapping[str, Any]],
        request: IngestRequest,
        *,
        progress: Progress | None = None,
    ) -> Counts:
        """Reads, chunks, embeds and appends one share under the open operation, and returns what it came to.

        An earlier attempt's rows are replaced. Raises OperationClosed, StaleBatch, WriteConflict; a document that can't
        be read is rejected, and the rest goes on.
        """
        target = BatchTarget(self._collection(request).id, operation_id, self.log.begin_batch(operation_id, key))
        writer = BatchWriter(self, target, request, progress)
        counts = writer.write([SourceItem.from_dict(item) for item in items])
        self.log.finish_batch(target.batch_id, counts)
        return counts

    def gate(self, operation_id: int, request: IngestRequest) -> GateReport:
        """Checks the open operation with Great Expectations. Raises GateFailed under `strict`; the caller aborts then."""
        return gate_operation(self.database, operation_id, policy=request.policy, max_tokens=self.card.max_tokens)

    def retire(self, operation_id: int, request: IngestRequest) -> Counts:
        """Tombstones for documents that their origin no longer holds, and a watermark for each origin that has changed."""
        origins = self._listed_origins(operation_id)
        target = BatchTarget(self._collection(request).id, operation_id, self.log.begin_batch(operation_id, "retire"))
        with self.database.transaction() as connection:
            removed = 0
            if request.retire_removed:
                removed = self.corpus.retire_missing(connection, target, origins)
            self.corpus.mark_origins(connection, target, origins)
        counts = {"removed": removed}
        self.log.finish_batch(target.batch_id, counts)
        return counts

    def publish(self, operation_id: int) -> IngestReport:
        """Publishes; everything of the operation is seen from one moment to the next. Raises WriteConflict, InputWithdrawn."""
        self.log.publish(operation_id)
        operation = self.log.get(operation_id)
        if operation.collection:
            self._tend_index(self.corpus.collection(operation.collection))
        return self._report(operation)

    def abort(self, operation_id: int, reason: str, *, failed: bool = True) -> bool:
        """Gives the operation up; nothing of it was or will be seen. False when it was aborted before."""
        return self.log.abort(operation_id, reason, failed=failed)

    def run(
        self, request: IngestRequest, attribution: Attribution, *, progress: Progress | None = None
    ) -> IngestReport:
        """All steps in this process. Whatever ends it early, Ctrl-C included, aborts the operation."""
        operation_id = self.open(request, attribution)
        try:
            batches = self.list_batches(operation_id, request)
            total, done = sum(map(len, batches)), 0
            for number, items in enumerate(batches):
                if progress:
                    progress("documents", done, total)
                self.write_batch(operation_id, f"batch-{number}", items, request, progress=progress)
                done += len(items)
            if progress:
                progress("documents", done, total)
            self.gate(operation_id, request)
            self.retire(operation_id, request)
            return self.publish(operation_id)
        except BaseException as error:
            self._give_up(operation_id, error)
            raise

    def _give_up(self, operation_id: int, error: BaseException) -> None:
        interrupted = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if interrupted else f"{type(error).__name__}: {error}"
        with suppress(RecantError):
            self.abort(operation_id, reason[:2000], failed=not interrupted)

    def _record_listing(self, operation_id: int, request: IngestRequest, listing: Listing) -> None:
        target = BatchTarget(self._collection(request).id, operation_id, self.log.begin_batch(operation_id, "listing"))
        with self.database.transaction() as connection:
            self.corpus.reject(connection, target, [(r.source, r.code, r.reason) for r in listing.rejected])
        self.log.finish_batch(target.batch_id, {"rejected": len(listing.rejected), "origins": list(listing.origins)})

    def _listed_origins(self, operation_id: int) -> list[str]:
        with self.database.transaction() as connection:
            rows = connection.execute(_SQL["listed_origins"], {"operation_id": operation_id})
            return [row["origin"] for row in rows]

    def _collection(self, request: IngestRequest) -> CollectionInfo:
        return self.corpus.collection(request.collection)

    def _tend_index(self, collection: CollectionInfo) -> None:
        Embeddings(self.database, collection.space_id, collection.dimensions).tend_index()

    def _report(self, operation: Operation) -> IngestReport:
        counts, details = operation.counts, self.log.details(operation.operation_id)
        checks = details["quality_checks"]
        assert operation.position is not None, "it was published just now"
        assert operation.published_at is not None
        return IngestReport(
            operation_id=operation.operation_id,
            position=operation.position,
            **{
                name: int(counts.get(name, 0))
                for name in ("documents", "unchanged", "removed", "chunks", "embedded", "reused")
            },
            rejected=details["rejected"],
            rejected_count=int(counts.get("rejected", 0)),
            gate={"success": all(c["success"] for c in checks), "checks": len(checks)},
            seconds=round((operation.published_at - operation.opened_at).total_seconds(), 3),
        )
