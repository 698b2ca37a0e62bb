"""One worker's share: documents in, versions with chunks and embeddings out. Memory is bounded by a flush, not by the share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from recant.corpus import BatchTarget, ChunkRow, DocumentRow, Embeddings, Head
from recant.corpus.embeddings import text_hash
from recant.embedding import Embedder
from recant.errors import ConfigurationError, EmbeddingGone
from recant.ingestion.chunking import chunk, fingerprint
from recant.ingestion.document import Chunk, ParsedDocument, RawDocument, Rejected
from recant.ingestion.readers import open_documents, parse
from recant.ingestion.request import IngestRequest
from recant.ingestion.source import SourceItem
from recant.search.keyword_index import write_segments
from recant.search.segments import Passage, Tokenised, tokenise

if TYPE_CHECKING:
    from recant.ingestion.pipeline import Ingestion, Progress

FLUSH_ATTEMPTS = 5
FLUSH_CHUNKS = 2_000
FLUSH_DOCUMENTS = 500
FLUSH_BYTES = 16 * 1024 * 1024
READ_AHEAD_DOCUMENTS = 50
READ_AHEAD_BYTES = 8 * 1024 * 1024
RECORD_FORMATS = ("json", "jsonl", "csv")

Counts: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Prepared:
    raw: RawDocument
    parsed: ParsedDocument
    chunks: tuple[Chunk, ...]
    fingerprint: bytes
    over_operation_id: int | None


@dataclass
class _Pending:
    """What the next flush writes, in one transaction."""

    documents: list[_Prepared] = field(default_factory=list)
    affirmed: list[Head] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    chunks: int = 0
    bytes: int = 0

    @property
    def is_full(self) -> bool:
        entries = len(self.documents) + len(self.affirmed) + len(self.rejected)
        return self.chunks >= FLUSH_CHUNKS or entries >= FLUSH_DOCUMENTS or self.bytes >= FLUSH_BYTES


@dataclass(frozen=True, slots=True)
class _Used:
    """An embedding space, and what makes its vectors."""

    embeddings: Embeddings
    embedder: Embedder


class BatchWriter:
    """Writes one batch of an open operation."""

    def __init__(
        self, ingestion: Ingestion, target: BatchTarget, request: IngestRequest, progress: Progress | None = None
    ) -> None:
        self.ingestion = ingestion
        self.target = target
        self.request = request
        self.progress = progress
        collection = ingestion.corpus.collection(request.collection)
        self.card = ingestion.models.card(collection.model_digest, collection.model)
        self.used = _Used(
            Embeddings(ingestion.database, collection.space_id, collection.dimensions), ingestion.embedder_of(self.card)
        )
        self.further = [*_further(ingestion, collection.id)]
        self.counts: Counts = dict.fromkeys(("documents", "unchanged", "chunks", "embedded", "reused", "rejected"), 0)
        self._has_blocks = ingestion.blocks.any_for(target.collection_id)
        self._seen: set[str] = set()
        self._unsettled: set[str] = set()
        self._pending = _Pending()

    def write(self, items: Sequence[SourceItem]) -> Counts:
        """Everything the items hold. Returns documents, unchanged, chunks, embedded, reused, rejected.

        `unsettled` are origins with a file of records that couldn't be read whole: which of its records are gone can't be told.
        """
        for group in _grouped(self._open(items)):
            self._take(self._wanted(group))
        self._flush()
        return self.counts | {"unsettled": sorted(self._unsettled)}

    def _open(self, items: Sequence[SourceItem]) -> Iterator[RawDocument]:
        for item in items:
            for found in open_documents(item, max_bytes=self.ingestion.settings.max_document_bytes):
                if isinstance(found, Rejected):
                    self._pending.rejected.append(found)
                    if item.format in RECORD_FORMATS:
                        self._unsettled.add(item.origin)
                elif found.source in self._seen:
                    self._pending.rejected.append(
                        Rejected(found.source, "it occurs twice in this run; the first one is kept", "duplicate")
                    )
                else:
                    self._seen.add(found.source)
                    yield found

    def _wanted(self, group: Sequence[RawDocument]) -> Sequence[RawDocument]:
        """The group without what is blocked: that is neither written nor affirmed, and being rejected, not retired."""
        if not self._has_blocks:
            return group
        documents = [(raw.source, raw.content_hash) for raw in group]
        blocked = self.ingestion.blocks.matching(self.target.collection_id, documents)
        self._pending.rejected += [Rejected(source, block.rejection, "blocked") for source, block in blocked.items()]
        return [raw for raw in group if raw.source not in blocked]

    def _take(self, group: Sequence[RawDocument]) -> None:
        heads = self.ingestion.corpus.heads(
            self.target.collection_id, self.target.operation_id, [raw.source for raw in group]
        )
        for raw in group:
            self._take_one(raw, heads.get(raw.source))
            if self._pending.is_full:
                self._flush()

    def _take_one(self, raw: RawDocument, head: Head | None) -> None:
        request = self.request
        mark = fingerprint(raw, max_tokens=request.chunk_tokens, overlap_tokens=request.overlap_tokens)
        if head is not None and not head.tombstone and head.fingerprint is not None and bytes(head.fingerprint) == mark:
            self._pending.affirmed.append(head)
            return
        prepared = self._prepare(raw, mark, head)
        if isinstance(prepared, Rejected):
            self._pending.rejected.append(prepared)
            return
        self._pending.documents.append(prepared)
        self._pending.chunks += len(prepared.chunks)
        self._pending.bytes += len(raw.content)

    def _prepare(self, raw: RawDocument, mark: bytes, head: Head | None) -> _Prepared | Rejected:
        parsed = parse(raw)
        if isinstance(parsed, Rejected):
            return parsed
        chunks = chunk(
            parsed,
            count_tokens=self.ingestion.tokens_of(self.card).count,
            max_tokens=self.request.chunk_tokens,
            overlap_tokens=self.request.overlap_tokens,
        )
        if not chunks:
            return Rejected(raw.source, "there is no text in it", "empty")
        return _Prepared(raw, parsed, chunks, mark, head.operation_id if head else None)

    def _flush(self) -> None:
        self.ingestion.log.extend_lease(self.target.operation_id)
        pending, self._pending = self._pending, _Pending()
        texts = [chunk.embedding_text for document in pending.documents for chunk in document.chunks]
        computed = self._store(pending, {text_hash(text): text for text in texts})
        self.counts["embedded"] += computed
        self.counts["reused"] += max(0, len(texts) - computed)
        self.counts["unchanged"] += len(pending.affirmed)
        self.counts["rejected"] += len(pending.rejected)

    def _store(self, pending: _Pending, texts: dict[bytes, str]) -> int:
        """Embeds and appends, again when an embedding was reclaimed in between; returns how many were computed.

        While the embedder works, the texts are split into terms: that costs little beside it.
        """
        computed = 0
        with ThreadPoolExecutor(1) as beside:
            as_terms = beside.submit(_as_terms, pending.documents)
            for attempt in range(1, FLUSH_ATTEMPTS + 1):
                try:
                    ids, missing = self._embed(texts)
                    computed += missing
                    further = [id_ for space in self.further for id_ in self._embed_in(space, texts)[0].values()]
                    self._append(pending, ids, further, as_terms.result())
                    break
                except EmbeddingGone:
                    if attempt == FLUSH_ATTEMPTS:
                        raise
        return computed

    def _append(
        self, pending: _Pending, ids: dict[bytes, int], further: list[int], as_terms: dict[str, Tokenised]
    ) -> None:
        documents = [_row(document, ids) for document in pending.documents]
        corpus, target = self.ingestion.corpus, self.target
        with self.ingestion.database.transaction() as connection:
            corpus.hold_embeddings(connection, further)
            twice = corpus.append(connection, target, documents) if documents else set()
            write_segments(connection, target, {s: of for s, of in as_terms.items() if s not in twice})
            corpus.affirm(connection, target, pending.affirmed)
            again = [
                Rejected(s, "another batch of this run has it already; that one is kept", "duplicate")
                for s in sorted(twice)
            ]
            corpus.reject(connection, target, [(r.source, r.code, r.reason) for r in pending.rejected + again])
        pending.rejected += again
        written = [d for d in documents if d.source not in twice]
        self.counts["documents"] += len(written)
        self.counts["chunks"] += sum(len(d.chunks) for d in written)

    def _embed(self, texts: dict[bytes, str]) -> tuple[dict[bytes, int], int]:
        return self._embed_in(self.used, texts)

    def _embed_in(self, space: _Used, texts: dict[bytes, str]) -> tuple[dict[bytes, int], int]:
        """Ids of the texts' embeddings by hash, and how many had to be computed because the space didn't know them."""
        if not texts:
            return {}, 0
        ids = space.embeddings.known(sorted(texts))
        missing = [key for key in texts if key not in ids]
        if missing:
            vectors = space.embedder.embed([texts[key] for key in missing], progress=self._chunk_progress())
            ids |= space.embeddings.add(dict(zip(missing, vectors, strict=True)))
        return ids, len(missing)

    def _chunk_progress(self) -> Callable[[int, int], None] | None:
        progress = self.progress
        return (lambda done, total: progress("chunks", done, total)) if progress else None


def _further(ingestion: Ingestion, collection_id: int) -> Iterator[_Used]:
    """Spaces that have to have the texts, too: the one used before, in its soak; and one being built, where its model is
    known here. Raises ConfigurationError.
    """
    for space in ingestion.corpus.further_spaces(collection_id):
        card = ingestion.models.known(space.model_digest)
        if card is None and not space.required:
            continue
        if card is None:
            raise ConfigurationError(
                f"{space.model} (digest {space.model_digest[:12]}) was used before, and is in its soak: name it among "
                "RECANT_MODELS, or end the soak with `recant reembed settle`."
            )
        embeddings = Embeddings(ingestion.database, space.space_id, space.dimensions)
        yield _Used(embeddings, ingestion.embedder_of(card))


def _as_terms(documents: Sequence[_Prepared]) -> dict[str, Tokenised]:
    """What the keyword index takes, by source."""
    return {
        of.raw.source: tokenise(of.parsed.title, [Passage(c.parent_headers, c.text) for c in of.chunks])
        for of in documents
    }


def _row(prepared: _Prepared, ids: dict[bytes, int]) -> DocumentRow:
    chunks = tuple(
        ChunkRow(
            c.index,
            ids[text_hash(c.embedding_text)],
            c.token_count,
            c.chunk_type,
            tuple(c.parent_headers),
            c.text,
            c.attributes,
        )
        for c in prepared.chunks
    )
    raw, parsed = prepared.raw, prepared.parsed
    return DocumentRow(
        source=raw.source,
        origin=raw.origin,
        title=parsed.title,
        format=parsed.format,
        source_hash=raw.content_hash,
        fingerprint=prepared.fingerprint,
        attributes=parsed.attributes,
        chunks=chunks,
        over_operation_id=prepared.over_operation_id,
    )


def _grouped(documents: Iterable[RawDocument]) -> Iterator[list[RawDocument]]:
    """Lists small enough to hold at once, large enough that asking for their heads costs little."""
    group: list[RawDocument] = []
    size = 0
    for raw in documents:
        group.append(raw)
        size += len(raw.content)
        if len(group) >= READ_AHEAD_DOCUMENTS or size >= READ_AHEAD_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
