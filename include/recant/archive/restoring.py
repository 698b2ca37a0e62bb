"""Restores from an archive: what was seen there becomes new versions under one operation, through the corpus' own door.

Vectors are what can't be checked against anything. So those of a file that this installation didn't make come into a
space of their own, unless somebody vouches for them: a false vector under a true text would outlive the operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from recant.archive.documents import ArchivedDocument, chosen_rows, document_blocks
from recant.archive.layout import FILE_COLUMNS
from recant.archive.reader import ArchiveFile, damage_named, open_archive
from recant.archive.state import file_sha256
from recant.archive.target import Target, find_target
from recant.archive.verification import require_whole
from recant.corpus import BatchTarget, ChunkRow, Corpus, DocumentRow, Embeddings, Head
from recant.errors import ArchiveDamaged, EmbeddingGone, RecantError, Refused
from recant.json_types import JSON
from recant.lineage import collection_dataset, source_dataset
from recant.oplog import Attribution, Dataset, OperationLog
from recant.settings import Settings
from recant.store import Connection, Database, json_parameter, load

if TYPE_CHECKING:
    from numpy.typing import NDArray

KIND = "restore_archive"
BLOCK_WATERMARKS = 500
ATTEMPTS = 5
BEAT_SECONDS = 60.0
_SQL = load(__package__, "archive.sql")


@dataclass(frozen=True, slots=True)
class Restoration:
    """What was restored; `operation_id` None where everything was there already, and nothing was written."""

    path: str
    sha256: str
    collection: str
    operation_id: int | None
    position: int | None
    documents: int
    unchanged: int
    """Left alone, because the collection has them so."""
    chunks: int
    watermarks: int
    vectors: int
    """Taken from the file; the others were known."""
    state_equal: bool
    """Whether what is seen of the collection is now exactly what the archive says was seen."""
    message: str
    missing: list[str] = field(default_factory=list)
    """Documents asked for that the archive doesn't hold."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def restore_archive(
    database: Database, settings: Settings, path: Path, attribution: Attribution, *, collection: str | None,
    sources: Sequence[str], operations: Sequence[int], trust_vectors: bool,
) -> Restoration:  # fmt: skip
    """See `Archives.restore`. The whole file is checked before anything is written."""
    require_whole(path)
    sha256 = file_sha256(path)
    with open_archive(path) as file, damage_named(path):
        rows = chosen_rows(file, frozenset(sources), operations)
        target = find_target(database, file, collection or file.collection, sha256, trust_vectors)
        log = OperationLog(database)
        asked: dict[str, JSON] = {"sources": list(sources), "operations": list(operations)}
        operation_id = log.open(
            KIND,
            attribution,
            collection=target.collection.name,
            parameters={
                "path": str(path),
                "sha256": sha256,
                "archived_position": file.attributes["position"],
                **asked,
                "file_columns": FILE_COLUMNS,
            },
            datasets=_datasets(settings, target.collection.name, path),
        )
        try:
            restoring = _Restoring(database, log, file, target, operation_id)
            counts = restoring.run(rows, whole=not sources and not operations)
        except BaseException as error:
            log.abort(operation_id, f"{type(error).__name__}: {error}"[:1000], failed=True)
            raise
        return _report(database, log, file, target, operation_id, counts, sha256, _missing(file, rows, sources))


def _datasets(settings: Settings, collection: str, path: Path) -> tuple[Dataset, Dataset]:
    read, wrote = source_dataset(settings, str(path)), collection_dataset(settings, collection)
    return Dataset("input", *read), Dataset("output", *wrote)


class _Restoring:
    """One operation that writes what a file holds."""

    def __init__(
        self, database: Database, log: OperationLog, file: ArchiveFile, target: Target, operation_id: int
    ) -> None:
        self.database, self.log, self.file, self.target, self.operation_id = database, log, file, target, operation_id
        self.corpus = Corpus(database)
        self.embeddings = Embeddings(database, target.collection.space_id, target.collection.dimensions)
        self.counts = dict.fromkeys(("documents", "unchanged", "chunks", "watermarks", "vectors"), 0)
        self._beaten = monotonic()

    def run(self, rows: NDArray[np.int64], *, whole: bool) -> dict[str, int]:
        """Writes the documents of these rows, of a whole restore with the watermarks of their origins."""
        batch_id = self.log.begin_batch(self.operation_id, "restore")
        batch = BatchTarget(self.target.collection.id, self.operation_id, batch_id)
        for block in document_blocks(self.file, rows):
            self._write(batch, block)
            if monotonic() - self._beaten > BEAT_SECONDS:
                self.log.extend_lease(self.operation_id)
                self._beaten = monotonic()
        if whole:
            self._watermarks(batch)
        self.log.finish_batch(batch_id, self.counts)
        return self.counts

    def _write(self, batch: BatchTarget, block: Sequence[ArchivedDocument]) -> None:
        """Some documents, in one transaction; again when an embedding was reclaimed in between."""
        heads = self.corpus.heads(batch.collection_id, batch.operation_id, [document.source for document in block])
        same = self._same(block, heads)
        new = [document for document in block if document.source not in same]
        for attempt in range(1, ATTEMPTS + 1):
            try:
                ids = self._embeddings([chunk["vector"] for document in new for chunk in document.chunks])
                rows = [document_row(self.file, document, ids, heads.get(document.source)) for document in new]
                with self.database.transaction() as connection:
                    if rows and self.corpus.append(connection, batch, rows):
                        raise ArchiveDamaged(f"{self.file.path} has two versions of a document that were both seen.")
                    self.corpus.affirm(connection, batch, [heads[source] for source in sorted(same)])
                break
            except EmbeddingGone:
                if attempt == ATTEMPTS:
                    raise
        self.counts["documents"] += len(new)
        self.counts["unchanged"] += len(same)
        self.counts["chunks"] += sum(len(document.chunks) for document in new)

    def _same(self, block: Sequence[ArchivedDocument], heads: Mapping[str, Head]) -> set[str]:
        """Sources of the documents whose heads say the same, chunk by chunk."""
        with self.database.transaction() as connection:
            given = {"versions": [head.version_id for head in heads.values() if not head.tombstone]}
            hashes = {r["version_id"]: bytes(r["content_hash"]) for r in connection.execute(_SQL["hashes_of"], given)}
        known = {source: hashes.get(head.version_id) for source, head in heads.items()}
        return {d.source for d in block if known.get(d.source) == d.columns["content_hash"]}

    def _embeddings(self, rows: Sequence[int]) -> dict[int, int]:
        """Ids of embeddings by vector row of the file; what the space lacks is added to it."""
        ids, added = embedding_ids(self.file, self.embeddings, rows, self._require_vectors)
        self.counts["vectors"] += added
        return ids

    def _require_vectors(self, missing: int) -> None:
        if not self.target.takes_vectors:
            raise Refused(
                f"{self.file.path} wasn't made by this installation, and {missing} of its texts or more are new to the "
                f'collection "{self.target.collection.name}". Say that you vouch for its vectors (--trust-vectors), or '
                "restore into a new collection, which gets a space of its own (--collection)."
            )

    def _watermarks(self, batch: BatchTarget) -> None:
        """What the last ingest of each origin had found; so the next one compares with that."""
        count = self.file.rows["watermarks"]
        for start in range(0, count, BLOCK_WATERMARKS):
            rows = self.file.rows_of("watermarks", start, min(start + BLOCK_WATERMARKS, count))
            wanted = [row for row in rows if row["seen"] and not row["tombstone"]]
            with self.database.transaction() as connection:
                self._write_watermarks(connection, batch, wanted)

    def _write_watermarks(self, connection: Connection, batch: BatchTarget, rows: list[dict[str, Any]]) -> None:
        given = {"collection_id": batch.collection_id, "origins": [row["source"] for row in rows]}
        heads = {head["key"]: head for head in connection.execute(_SQL["heads_of_watermarks"], given)}
        for row in rows:
            head = heads.get(row["source"])
            if head is not None and bytes(head["content_hash"]) == row["content_hash"]:
                continue
            own = {"collection_id": batch.collection_id, "origin": row["source"], "content_hash": row["content_hash"]}
            where = {"operation_id": batch.operation_id, "batch_id": batch.batch_id}
            connection.execute(_SQL["add_origin"], own)
            over = {"over": head["operation_id"] if head else None}
            added = connection.execute(_SQL["add_watermark"], own | where | over).fetchone()
            assert added is not None, "its record is there"
            state = {"state": json_parameter(self.file.parsed(row["state"], "watermarks/state"))}
            known = {name: row[name] for name in ("document_count", "listing_hash")}
            connection.execute(_SQL["add_watermark_state"], {"version_id": added["version_id"], **known, **state})
            self.counts["watermarks"] += 1


def embedding_ids(
    file: ArchiveFile, embeddings: Embeddings, rows: Sequence[int], before_adding: Callable[[int], None] = lambda _: None
) -> tuple[dict[int, int], int]:  # fmt: skip
    """Ids of embeddings by vector row of a file, and how many were added to the space, because it lacked them."""
    distinct = np.unique(np.asarray(rows, np.int64))
    read = file.gather("vectors", "text_hash", distinct)
    hashes = {int(row): text_hash.tobytes() for row, text_hash in zip(distinct, read, strict=True)}
    ids = embeddings.known(sorted(set(hashes.values())))
    missing = np.asarray([row for row, text_hash in hashes.items() if text_hash not in ids], np.int64)
    if len(missing):
        before_adding(len(missing))
        vectors = unit_vectors(file, missing)
        ids |= embeddings.add({hashes[int(row)]: vector for row, vector in zip(missing, vectors, strict=True)})
    return {row: ids[text_hash] for row, text_hash in hashes.items()}, len(missing)


def unit_vectors(file: ArchiveFile, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Vectors of a file, by row. Raises ArchiveDamaged for what is no unit vector."""
    found = file.gather("vectors", "vector", rows).astype(np.float32)
    lengths = np.linalg.norm(found, axis=1)
    if not np.all((lengths > 0.9) & (lengths < 1.1)):
        raise ArchiveDamaged(f"{file.path}: vectors/vector has rows that aren't of length 1.")
    return found


def document_row(
    file: ArchiveFile, document: ArchivedDocument, ids: Mapping[int, int], head: Head | None
) -> DocumentRow:
    """A version as it is appended, over a head. `ids`: embeddings by vector row of the file."""
    columns = document.columns
    return DocumentRow(
        source=document.source,
        origin=columns["origin"],
        title=columns["title"] if columns["has_title"] else None,
        format=columns["format"],
        source_hash=columns["source_hash"],
        fingerprint=columns["fingerprint"],
        attributes=file.parsed(columns["attributes"], "documents/attributes"),
        chunks=tuple(_chunk(file, chunk, ids) for chunk in document.chunks),
        over_operation_id=head.operation_id if head else None,
    )


def _chunk(file: ArchiveFile, chunk: Mapping[str, Any], ids: Mapping[int, int]) -> ChunkRow:
    headers = file.parsed(chunk["parent_headers"], "chunks/parent_headers", list)
    if not all(isinstance(header, str) for header in headers):
        raise ArchiveDamaged(f"{file.path}: chunks/parent_headers should hold texts.")
    return ChunkRow(
        index=chunk["index"],
        embedding_id=ids[chunk["vector"]],
        token_count=chunk["token_count"],
        chunk_type=chunk["chunk_type"],
        parent_headers=tuple(headers),
        text=chunk["text"],
        attributes=file.parsed(chunk["attributes"], "chunks/attributes"),
    )


def _report(
    database: Database, log: OperationLog, file: ArchiveFile, target: Target, operation_id: int,
    counts: dict[str, int], sha256: str, missing: list[str],
) -> Restoration:  # fmt: skip
    """Publishes what was written; nothing written, nothing published."""
    position: int | None = None
    if counts["documents"] or counts["watermarks"]:
        (position,) = _publish(log, operation_id)
    else:
        log.abort(operation_id, "everything was there already")
    return Restoration(
        path=str(file.path),
        sha256=sha256,
        collection=target.collection.name,
        operation_id=operation_id if position is not None else None,
        position=position,
        state_equal=_state(database, target.collection.id, position or log.position()) == file.state,
        message=_said(counts, position, missing),
        missing=missing,
        **counts,
    )


def _publish(log: OperationLog, operation_id: int) -> list[int]:
    try:
        return log.publish(operation_id)
    except RecantError as error:
        log.abort(operation_id, f"{type(error).__name__}: {error}"[:1000], failed=True)
        raise


def _state(database: Database, collection_id: int, position: int) -> dict[str, dict[str, Any]]:
    with database.snapshot() as connection:
        rows = connection.execute(_SQL["state_of"], {"collection_id": collection_id, "position": position})
        return {row["kind"]: {"records": row["records"], "digest": row["digest"]} for row in rows}


def _missing(file: ArchiveFile, rows: NDArray[np.int64], sources: Sequence[str]) -> list[str]:
    """Of the documents asked for, those that aren't there."""
    if not sources:
        return []
    found = {file.texts("documents", "source", row, row + 1)[0] for row in rows.tolist()}
    return sorted(set(sources) - found)


def _said(counts: Mapping[str, int], position: int | None, missing: list[str]) -> str:
    lacking = f" The archive doesn't hold {len(missing)} of those asked for." if missing else ""
    if position is None:
        return f"There was nothing to restore: {counts['unchanged']:,} documents are there as they were.{lacking}"
    return (
        f"Position {position}: {counts['documents']:,} documents with {counts['chunks']:,} chunks are restored, "
        f"{counts['unchanged']:,} were there as they were.{lacking}"
    )
