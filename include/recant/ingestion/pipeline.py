"""From sources to a published operation, in steps that Airflow's tasks and the command line share.

open → list_batches → write_batch for each, anywhere, in any order → gate → retire → publish or hold, or abort at any point.
Each step can be tried again: it replaces what its earlier attempt wrote. Nothing is seen by others before publish.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from recant.blocks import Blocks
from recant.corpus import BatchTarget, Cited, CollectionInfo, Corpus, Embeddings, find_cited
from recant.embedding import Embedder, ModelCard, Models, TokenCounter
from recant.errors import BadSource, RecantError, UsageError
from recant.ingestion.listing import Listing, list_sources
from recant.ingestion.origin import as_given, origin_of, origins_of
from recant.ingestion.request import IngestReport, IngestRequest
from recant.ingestion.source import SourceItem
from recant.ingestion.writer import BatchWriter, Counts
from recant.lineage import collection_dataset, source_dataset
from recant.oplog import DEFAULT_LEASE_SECONDS, HOLD_LEASE_SECONDS, Attribution, Dataset, Operation, OperationLog
from recant.quality import DEFAULT_SUITE, GateReport, Suite, gate_operation, load_suite
from recant.search import KeywordIndex
from recant.sessions import Sessions
from recant.settings import Settings
from recant.store import Database, load

DOCUMENTS_PER_BATCH = 200
LONGEST_HOLD_SECONDS = 3650 * 86_400.0
WHOLE = "ingest"
"""The batch that stays unfinished until every step is done: nobody can merge an ingest that is still at work."""
NAMED_SOURCES = 5
LISTED_SOURCES = 100
_SQL = load(__package__, "ingestion.sql")

Progress = Callable[[str, int, int | None], None]
"""Told (what, done, total) as work goes on; total is None where it isn't known."""


@dataclass(frozen=True)
class Ingestion:
    """Ingests into one database, each collection with its embedding model."""

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
    def blocks(self) -> Blocks:
        """What is to be left out."""
        return Blocks(self.database, self.settings.agent)

    @cached_property
    def models(self) -> Models:
        """The embedding models that are known here."""
        return Models(self.settings)

    @cached_property
    def card(self) -> ModelCard:
        """The embedding model of new collections, not loaded."""
        return self.models.default

    @cached_property
    def embedder(self) -> Embedder:
        """The resident one where there is one; otherwise the model is loaded at the first text that isn't known."""
        return self.models.embedder(self.card, "documents")

    def card_of(self, collection: str) -> ModelCard:
        """The model that a collection uses; of one that isn't there, or whose model isn't known, the one for new ones."""
        used = next((c.model_digest for c in self.corpus.collections() if c.name == collection), None)
        return (self.models.known(used) if used else None) or self.card

    def tokens_of(self, card: ModelCard) -> TokenCounter:
        """Counts as the model does."""
        return self.models.tokens(card)

    def embedder_of(self, card: ModelCard) -> Embedder:
        """Makes the vectors of documents."""
        return self.embedder if card.digest == self.card.digest else self.models.embedder(card, "documents")

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
        ConfigurationError when the collection was filled with another model; UsageError for a bad name, and for a
        citation of what isn't there; BadSuite; InputWithdrawn for a citation of what was taken back. Nothing is written
        then.
        """
        _suite(request)
        self.log.abort_expired()
        cited = self._cited(request, attribution.session, open_key)
        self.corpus.ensure_collection(request.collection, self.card_of(request.collection))
        operation_id = self.log.open(
            kind,
            attribution,
            collection=request.collection,
            parameters={"request": _stored(request)},
            datasets=self._datasets(request, cited),
            open_key=open_key,
            lease_seconds=lease_seconds,
        )
        self.log.begin_batch(operation_id, WHOLE, lease_seconds=lease_seconds)
        if cited:
            self._cite(operation_id, request, cited)
        return operation_id

    def list_batches(
        self, operation_id: int, request: IngestRequest, *, documents_per_batch: int = DOCUMENTS_PER_BATCH
    ) -> list[list[dict[str, Any]]]:
        """Shares of the work, as plain dicts of SourceItems. What can't be listed is recorded as rejected.

        Raises BadSource when that is all of it. A folder without documents is something: what it held is retired.
        """
        listing = list_sources(request.sources)
        self._record_listing(operation_id, request, listing)
        if not (listing.items or listing.origins):
            raise _nothing_listed(listing)
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
        suite, max_tokens = _suite(request), self.card_of(request.collection).max_tokens
        return gate_operation(self.database, operation_id, policy=request.policy, suite=suite, max_tokens=max_tokens)

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
        """Publishes; everything of the operation is seen from one moment to the next. Raises WriteConflict, InputWithdrawn.

        In a session that was opened for exploration it is held instead.
        """
        operation = self.log.get(operation_id)
        if operation.state == "open" and Sessions(self.database).explores(operation.session):
            return self.hold(operation_id)
        self._finish(operation_id)
        self.log.publish(operation_id)
        operation = self.log.get(operation_id)
        if operation.collection:
            self._tend_index(self.corpus.collection(operation.collection))
        return self._report(operation)

    def hold(self, operation_id: int, *, lease_seconds: float = HOLD_LEASE_SECONDS) -> IngestReport:
        """Leaves the operation open for its session to be merged or discarded; until then only the session sees it.

        After `lease_seconds` upkeep aborts it. Raises Refused for an operation without a session.
        """
        self._finish(operation_id)
        self.log.hold(operation_id, lease_seconds=lease_seconds)
        return self._report(self.log.get(operation_id))

    def abort(self, operation_id: int, reason: str, *, failed: bool = True) -> bool:
        """Gives the operation up; nothing of it was or will be seen. False when it was aborted before."""
        return self.log.abort(operation_id, reason, failed=failed)

    def run(
        self,
        request: IngestRequest,
        attribution: Attribution,
        *,
        hold_seconds: float | None = None,
        progress: Progress | None = None,
    ) -> IngestReport:
        """All steps in this process. Whatever ends it early, Ctrl-C included, aborts the operation.

        With `hold_seconds` it is held so long, instead of published; it has to be a session's then, or UsageError is raised.
        """
        if hold_seconds is not None:
            _check_hold(attribution, hold_seconds)
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
            if hold_seconds is not None:
                return self.hold(operation_id, lease_seconds=hold_seconds)
            return self.publish(operation_id)
        except BaseException as error:
            self._give_up(operation_id, error)
            raise

    def _finish(self, operation_id: int) -> None:
        self.log.finish_batch(self.log.begin_batch(operation_id, WHOLE), {})

    def _give_up(self, operation_id: int, error: BaseException) -> None:
        interrupted = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if interrupted else f"{type(error).__name__}: {error}"
        with suppress(RecantError):
            self.abort(operation_id, reason[:2000], failed=not interrupted)

    def _cited(self, request: IngestRequest, session: str | None, open_key: str | None) -> list[Cited]:
        if not request.based_on:
            return []
        citations = {item: _names(item) if isinstance(item, str) else () for item in request.based_on}
        with self.database.transaction() as connection:
            return find_cited(connection, request.collection, citations, session=session, open_key=open_key)

    def _cite(self, operation_id: int, request: IngestRequest, cited: Sequence[Cited]) -> None:
        target = BatchTarget(self._collection(request).id, operation_id, self.log.begin_batch(operation_id, "based-on"))
        with self.database.transaction() as connection:
            self.corpus.cite(connection, target, cited)
        self.log.finish_batch(target.batch_id, {"cited": len(cited)})

    def _datasets(self, request: IngestRequest, cited: Sequence[Cited]) -> list[Dataset]:
        """What it reads: its sources, and the collections that it cites. What it writes: its collection."""
        read = [source_dataset(self.settings, origin) for origin in origins_of(request.sources)]
        read += [collection_dataset(self.settings, name) for name in sorted({c.collection for c in cited})]
        output = Dataset("output", *collection_dataset(self.settings, request.collection))
        return [*(Dataset("input", *dataset) for dataset in read), output]

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
        KeywordIndex(self.database).merge_small(collection.id)

    def _report(self, operation: Operation) -> IngestReport:
        counts, details = operation.counts, self.log.details(operation.operation_id)
        checks = details["quality_checks"]
        ended = operation.published_at or datetime.now(UTC)
        return IngestReport(
            operation_id=operation.operation_id,
            position=operation.position,
            held=operation.held,
            lease_until=operation.lease_until,
            **{
                name: int(counts.get(name, 0))
                for name in ("documents", "unchanged", "removed", "chunks", "embedded", "reused")
            },
            rejected=details["rejected"],
            rejected_count=int(counts.get("rejected", 0)),
            gate={"success": all(c["success"] for c in checks), "checks": len(checks)},
            seconds=round((ended - operation.opened_at).total_seconds(), 3),
        )


def _check_hold(attribution: Attribution, hold_seconds: float) -> None:
    if attribution.session is None:
        raise UsageError("What is held is seen in its session only: name the session to hold it in.")
    if not 0 < hold_seconds <= LONGEST_HOLD_SECONDS:
        raise UsageError(f"hold_seconds must be above 0 and at most ten years, not {hold_seconds:g}")


def _stored(request: IngestRequest) -> dict[str, Any]:
    """The request as it may be kept: no login in an address."""
    sources = [as_given(spec) for spec in request.sources]
    based_on = [as_given(item) if isinstance(item, str) else item for item in request.based_on]
    return request.to_dict() | {"sources": sources, "based_on": based_on}


def _names(source: str) -> list[str]:
    """What a document may be stored as: as it was given, or as listing would name it (a relative path, say)."""
    given = source if as_given(source) == source else None
    return list(dict.fromkeys(name for name in (given, origin_of(source)) if name))


def _suite(request: IngestRequest) -> Suite:
    return DEFAULT_SUITE if request.suite is None else load_suite(Path(request.suite))


def _nothing_listed(listing: Listing) -> BadSource:
    named = [f"{r.source} ({r.reason})" for r in listing.rejected[:NAMED_SOURCES]]
    more = len(listing.rejected) - len(named)
    only_missing = all(r.code == "missing" for r in listing.rejected)
    return BadSource(
        f"None of these sources {'exists' if only_missing else 'can be read'}: {'; '.join(named)}"
        f"{f'; and {more} more' if more else ''}. Nothing was changed.",
        rejected=[{"source": r.source, "code": r.code, "reason": r.reason} for r in listing.rejected[:LISTED_SOURCES]],
    )
