"""A small library of synthetic documents, written through the log and the corpus like any other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recant.corpus import BatchTarget, ChunkRow, Corpus, DocumentRow, Embeddings
from recant.oplog import Attribution, OperationLog
from recant.oplog.identifiers import new_run_id
from recant.search import Searcher
from recant.store import Database, json_parameter

DIMENSIONS = 16
Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """What a collection wants to know of a model."""

    name: str = "synthetic"
    digest: str = "0" * 64
    dimensions: int = DIMENSIONS


@dataclass(frozen=True)
class Part:
    """A chunk to be: equal texts have equal vectors."""

    text: str
    vector: Vector
    chunk_type: str = "text"
    parent_headers: tuple[str, ...] = ()
    attributes: Mapping[str, Any] | None = None


class Library:
    """Writes, publishes, withdraws and searches in one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.log = OperationLog(database)
        self.corpus = Corpus(database)
        self.queries: dict[str, Vector] = {}
        self.searcher = Searcher(database, lambda text: self.queries[text])

    def open(self, collection: str = "knowledge", **attribution: Any) -> int:
        """An open operation whose writes win over whatever came between."""
        self.corpus.ensure_collection(collection, Model())
        return self.log.open(
            "ingest", Attribution(agent="tester", **attribution), collection=collection, last_wins=True
        )

    def write(
        self,
        operation: int,
        documents: Mapping[str, Sequence[Part] | None],
        collection: str = "knowledge",
        **columns: Any,
    ) -> None:
        """Appends document versions; None stands for a tombstone. A column may be a function of the source."""
        info = self.corpus.collection(collection)
        kept = {source: parts for source, parts in documents.items() if parts is not None}
        ids = self._embed(info.space_id, [part for parts in kept.values() for part in parts])
        rows = [_document(source, parts, ids, **_own(columns, source)) for source, parts in kept.items()]
        batch = self.log.begin_batch(operation, ",".join(sorted(documents)))
        with self.database.transaction() as connection:
            if rows:
                self.corpus.append(connection, BatchTarget(info.id, operation, batch), rows)
            for source in documents.keys() - kept.keys():
                connection.execute(TOMBSTONE, [operation, batch, info.id, source])
        self.log.finish_batch(batch, {"documents": len(documents)})

    def publish(
        self, documents: Mapping[str, Sequence[Part] | None], collection: str = "knowledge", **columns: Any
    ) -> int:
        """One operation, opened, written and published."""
        operation = self.open(collection)
        self.write(operation, documents, collection, **columns)
        self.log.publish(operation)
        return operation

    def control(self, kind: str, verdicts: Mapping[int, bool]) -> int:
        """A control operation, and its id."""
        given = [
            kind,
            new_run_id(),
            *([json_parameter(value) for value in ({}, {}, [], {})]),
            list(verdicts),
            list(verdicts.values()),
        ]
        with self.database.transaction() as connection:
            row = connection.execute(CONTROL, given).fetchone()
        assert row is not None
        return int(row["control_id"])

    def search(self, vector: Vector, **options: Any) -> Any:
        """A search in the only collection."""
        return self.searcher.search(None, vector=vector, **({"collection": "knowledge"} | options))

    def build_index(self) -> None:
        """The space's HNSW index."""
        space = self.corpus.collection("knowledge").space_id
        with self.database.transaction() as connection:
            connection.execute("SELECT build_vector_index(%s)", [space])

    def _embed(self, space_id: int, parts: Sequence[Part]) -> dict[str, int]:
        by_hash = {_hash(part.text): part for part in parts}
        stored = Embeddings(self.database, space_id, DIMENSIONS).add(
            {key: part.vector for key, part in by_hash.items()}
        )
        return {part.text: stored[key] for key, part in by_hash.items()}


TOMBSTONE = """
INSERT INTO version (record_id, operation_id, batch_id, tombstone, content_hash)
SELECT r.id, %s, %s, true, sha256('tombstone') FROM record r WHERE r.collection_id = %s AND r.kind = 'document' AND r.key = %s"""
CONTROL = "SELECT control_id FROM apply_verdicts(%s, 'tester', NULL, NULL, %s, '', %s, %s, %s, %s, %s, %s)"


def sign_vector(random: np.random.Generator) -> Vector:
    """A corner of the cube: unit length, and exact in half precision, so distances are exact and ties are many."""
    return (random.integers(0, 2, DIMENSIONS) / 2 - 0.25).astype(np.float32)


def _own(columns: Mapping[str, Any], source: str) -> dict[str, Any]:
    return {name: value(source) if callable(value) else value for name, value in columns.items()}


def _document(source: str, parts: Sequence[Part], ids: Mapping[str, int], **columns: Any) -> DocumentRow:
    chunks = tuple(
        ChunkRow(i, ids[p.text], 7, p.chunk_type, p.parent_headers, p.text, dict(p.attributes or {}))
        for i, p in enumerate(parts)
    )
    given = {"title": f"Title of {source}", "format": "text", "attributes": {}, "origin": "/library"} | columns
    fingerprint = _hash(repr([c.text for c in chunks]))
    return DocumentRow(
        source=source, source_hash=fingerprint, fingerprint=fingerprint, chunks=chunks, over_operation_id=None, **given
    )


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
