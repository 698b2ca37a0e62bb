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
from recant.archive.layout import FILE_COLUMNS, RECORD_KINDS
from recant.archive.reader import ArchiveFile, damage_named, open_archive
from recant.archive.records import OPERATIONS, RecordTarget, chosen_records, hashes_of_documents, restore_records
from recant.archive.state import file_sha256
from recant.archive.target import Target, find_target
from recant.archive.verification import require_whole
from recant.archive.versions import document_row, embedding_ids
from recant.corpus import BatchTarget, Corpus, Embeddings, Head
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
_COUNTED = ("documents", "unchanged", "chunks", "watermarks", "records", "homeless", "vectors")
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
    records: int
    """Feedback, quality policies and pins, retention rules."""
    homeless: int
    """Feedback left out, because what it is about isn't there."""
    vectors: int
    """Taken from the file; the others were known."""
    state_equal: bool
    """Whether what is seen of the collection is now exactly what the archive says was seen."""
    message: str
    missing: list[str] = field(default_factory=list)
    """Documents asked for that the archive doesn't hold."""
    with_operations: list[int] = field(default_factory=list)
    """Operations that were published with it: of kind `feedback`, and `set_policy`."""

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
        parameters: dict[str, JSON] = {
            "path": str(path), "sha256": sha256, "archived_position": file.attributes["position"], **asked,
            "file_columns": FILE_COLUMNS,
        }  # fmt: skip
        opened: list[int] = []

        def begin(kind: str) -> int:
            name = target.collection.name
            datasets = _datasets(settings, name, path)
            opened.append(log.open(kind, attribution, collection=name, parameters=parameters, datasets=datasets))
            return opened[-1]

        try:
            restoring = _Restoring(database, log, file, target, begin(KIND))
            counts = restoring.run(rows, whole=not sources and not operations)
            if not sources:
                restoring.records(begin, operations)
        except BaseException as error:
            for operation_id in opened:
                log.abort(operation_id, f"{type(error).__name__}: {error}"[:1000], failed=True)
            raise
        written = {opened[0]: counts["documents"] + counts["watermarks"]} | restoring.written
        return _report(database, log, file, target, written, counts, sha256, _missing(file, rows, sources))


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
        self.counts = dict.fromkeys(_COUNTED, 0)
        self.written: dict[int, int] = {}
        """Records by the operation that restores them."""
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
        self.log.finish_batch(
            batch_id, {name: self.counts[name] for name in _COUNTED if name not in ("records", "homeless")}
        )
        return self.counts

    def records(self, begin: Callable[[str], int], operations: Sequence[int]) -> None:
        """What the file holds besides, each kind under an operation of its own, opened where there is any."""
        for operation_kind, kinds in OPERATIONS.items():
            rows = chosen_records(self.file, kinds, operations)
            if not len(rows):
                continue
            operation_id = begin(operation_kind)
            batch_id = self.log.begin_batch(operation_id, "restore")
            target = RecordTarget(self.target.collection.id, operation_id, batch_id, self.operation_id)
            documents = hashes_of_documents(self.file) if operation_kind == "feedback" else {}
            counts = restore_records(self.database, self.file, target, rows, documents)
            self.log.finish_batch(batch_id, {"records": counts["records"]})
            for name, count in counts.items():
                self.counts[name] += count
            self.written[operation_id] = counts["records"]

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


def _report(
    database: Database, log: OperationLog, file: ArchiveFile, target: Target, written: Mapping[int, int],
    counts: dict[str, int], sha256: str, missing: list[str],
) -> Restoration:  # fmt: skip
    """Publishes what was written, all or none; of what wrote nothing, nothing is published. The first is the documents'."""
    published = [number for number, records in written.items() if records]
    for idle in written.keys() - set(published):
        log.abort(idle, "everything was there already")
    position = max(_publish(log, published)) if published else None
    return Restoration(
        path=str(file.path),
        sha256=sha256,
        collection=target.collection.name,
        operation_id=published[0] if published else None,
        position=position,
        state_equal=_state(database, file, target.collection.id, position or log.position()) == file.state,
        with_operations=[number for number in published if number != published[0]],
        message=_said(counts, position, missing),
        missing=missing,
        **counts,
    )


def _publish(log: OperationLog, operations: Sequence[int]) -> list[int]:
    try:
        return log.publish(*operations)
    except RecantError as error:
        for operation_id in operations:
            log.abort(operation_id, f"{type(error).__name__}: {error}"[:1000], failed=True)
        raise


def _state(database: Database, file: ArchiveFile, collection_id: int, position: int) -> dict[str, dict[str, Any]]:
    kinds = ["document", "watermark", *(RECORD_KINDS if "records" in file.tables else ())]
    with database.snapshot() as connection:
        rows = connection.execute(
            _SQL["state_of"], {"collection_id": collection_id, "position": position, "kinds": kinds}
        )
        return {row["kind"]: {"records": row["records"], "digest": row["digest"]} for row in rows}


def _missing(file: ArchiveFile, rows: NDArray[np.int64], sources: Sequence[str]) -> list[str]:
    """Of the documents asked for, those that aren't there."""
    if not sources:
        return []
    found = {file.texts("documents", "source", row, row + 1)[0] for row in rows.tolist()}
    return sorted(set(sources) - found)


def _said(counts: Mapping[str, int], position: int | None, missing: list[str]) -> str:
    lacking = f" The archive doesn't hold {len(missing)} of those asked for." if missing else ""
    if counts["homeless"]:
        lacking += f" Of {counts['homeless']:,} feedbacks, what they are about isn't there."
    if position is None:
        return f"There was nothing to restore: {counts['unchanged']:,} documents are there as they were.{lacking}"
    return (
        f"Position {position}: {counts['documents']:,} documents with {counts['chunks']:,} chunks are restored, "
        f"{counts['unchanged']:,} were there as they were{_besides(counts)}.{lacking}"
    )


def _besides(counts: Mapping[str, int]) -> str:
    return f"; and {counts['records']:,} feedbacks, policies and rules" if counts["records"] else ""
