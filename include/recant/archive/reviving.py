"""Brings reclaimed payloads back from archives, into the versions that lost them, for a rollback that would show them again.

A file is used if it is the one that this installation wrote, byte for byte; and what is read of it comes to the version's
own content hash, or nothing of it is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recant.archive.documents import BLOCK_ROWS, ArchivedDocument, document_blocks
from recant.archive.reader import ArchiveFile, damage_named, open_archive
from recant.archive.restoring import ATTEMPTS
from recant.archive.state import file_sha256
from recant.archive.versions import document_row, embedding_ids
from recant.artifacts.payloads import Found, Needed, Source
from recant.corpus import CollectionInfo, Corpus, DocumentRow, Embeddings
from recant.errors import ArchiveDamaged, EmbeddingGone, PlanStale
from recant.store import Connection, Database, Row, load

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SQL = load(__package__, "archive.sql")


class ArchivedPayloads:
    """The archives of one database, as what a rollback brings reclaimed payloads back from."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, connection: Connection, needed: Sequence[Needed]) -> Found:
        """Archives of documents, the newest first. Each file is read once, whole, for its checksum."""
        missing = {n.version_id: n for n in needed}
        sources: list[Source] = []
        reasons: list[str] = []
        given = {"versions": [n.version_id for n in needed if n.kind == "document"]}
        for row in connection.execute(_SQL["archives_of_versions"], given):
            if not set(row["versions"]) & missing.keys():
                continue
            if reason := _unusable(row):
                reasons.append(reason)
                continue
            source = _source(row, missing)
            if source.versions:
                sources.append(source)
            missing = {version: n for version, n in missing.items() if version not in source.versions}
        return Found(tuple(sources), tuple(missing.values()), tuple(reasons))

    def bring_back(self, sources: Sequence[Source]) -> None:
        """All that they hold of it, in short transactions. Raises PlanStale."""
        for source in sources:
            path = Path(source.path)
            if not path.is_file() or file_sha256(path) != source.sha256:
                raise PlanStale(
                    f"{path} is no longer the archive that the plan would bring {len(source.versions)} versions back from: "
                    "nothing was changed. Put it back, or make a new plan."
                )
            with open_archive(path) as file, damage_named(path):
                _Reviving(self.database, file).run(frozenset(source.versions))


class _Reviving:
    """Payloads out of one file."""

    def __init__(self, database: Database, file: ArchiveFile) -> None:
        self.database, self.file, self.corpus = database, file, Corpus(database)
        self.collection: CollectionInfo = self.corpus.collection(file.collection)
        if self.collection.model_digest != file.attributes["model_digest"]:
            raise PlanStale(f"{file.path} holds vectors of another model than {file.collection} has now.")
        self.embeddings = Embeddings(database, self.collection.space_id, self.collection.dimensions)

    def run(self, versions: frozenset[int]) -> None:
        """Those that the file holds."""
        rows = np.asarray(sorted(_rows_of(self.file, versions).values()), np.int64)
        for block in document_blocks(self.file, rows):
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    self._write({document.columns["version_id"]: document for document in block})
                    break
                except EmbeddingGone:
                    if attempt == ATTEMPTS:
                        raise

    def _write(self, block: Mapping[int, ArchivedDocument]) -> None:
        vectors = [chunk["vector"] for document in block.values() for chunk in document.chunks]
        ids, _ = embedding_ids(self.file, self.embeddings, vectors)
        rows = {version: document_row(self.file, document, ids, None) for version, document in block.items()}
        self._check(block, rows)
        numbers = {version: [chunk["chunk_id"] for chunk in d.chunks] for version, d in block.items()}
        with self.database.transaction() as connection:
            begun = connection.execute(_SQL["begin_revival"], {"versions": list(rows)}).fetchall()
            mine = {row["version_id"]: rows[row["version_id"]] for row in begun}
            self.corpus.put_back(connection, self.collection.id, mine, numbers)

    def _check(self, block: Mapping[int, ArchivedDocument], rows: Mapping[int, DocumentRow]) -> None:
        for version, row in rows.items():
            if row.content_hash != block[version].columns["content_hash"]:
                raise ArchiveDamaged(f"{self.file.path}: what it holds of {row.source} isn't what was written.")


def _unusable(row: Row) -> str:
    """Why an archive can't be used; empty: it can."""
    path = Path(row["path"])
    if not path.is_file():
        return f"The archive {path} is gone: put it back."
    if file_sha256(path) != row["sha256"]:
        return f"The archive {path} isn't what operation {row['operation_id']} wrote: it was changed, or is damaged."
    with open_archive(path) as file:
        if row["has_other_spaces"] or file.attributes["model_digest"] != row["space_digest"]:
            return f"The archive {path} can't be used while {row['collection']} has vectors of another model than it holds."
    return ""


def _source(row: Row, missing: Mapping[int, Needed]) -> Source:
    with open_archive(Path(row["path"])) as file:
        rows = _rows_of(file, frozenset(missing))
        kept = {v: at for v, at in rows.items() if _hash_at(file, at) == missing[v].content_hash}
        chunks = sum(int(file.read("documents", "chunk_count", at, at + 1)[0]) for at in kept.values())
    return Source(row["path"], row["sha256"], row["artifact_id"], tuple(sorted(kept)), chunks)


def _hash_at(file: ArchiveFile, row: int) -> bytes:
    return bytes(file.read("documents", "content_hash", row, row + 1)[0].tobytes())


def _rows_of(file: ArchiveFile, versions: frozenset[int]) -> dict[int, int]:
    """Rows of `documents` by version, of those that have their payload."""
    return {version: row for version, row in _kept(file) if version in versions}


def _kept(file: ArchiveFile) -> Iterator[tuple[int, int]]:
    count = file.rows["documents"]
    for start in range(0, count, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, count)
        ids: NDArray[np.int64] = file.read("documents", "version_id", start, stop)
        whole = file.read("documents", "payload", start, stop) == 0
        yield from ((int(ids[place]), start + int(place)) for place in np.flatnonzero(whole))
