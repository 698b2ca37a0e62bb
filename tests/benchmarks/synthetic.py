"""Synthetic documents: clustered unit vectors of 384 dimensions, written through the log and the corpus like any other.

Vectors stand 0.78 (cosine) from one of some hundred centres, 0.6 from their neighbours: about as near as paragraphs of one topic
are to MiniLM. Where embedding is the point, real text is used instead (bench_embedding).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recant.corpus import BatchTarget, ChunkRow, CollectionInfo, Corpus, DocumentRow, Embeddings
from recant.oplog import Attribution, OperationLog
from recant.oplog.identifiers import new_run_id
from recant.search.keyword_index import Packed, pack, write_packed
from recant.search.segments import Passage, tokenise
from recant.store import Database, json_parameter, numbers_text

DIMENSIONS = 384
CHUNKS_PER_DOCUMENT = 10
SPREAD = 0.8
COLLECTION = "synthetic"
SENTENCE = "Each paragraph says something of its own about the matter at hand, as long as a paragraph is on average. "
CONTROL = "SELECT control_id FROM apply_verdicts(%s, 'bench', NULL, NULL, %s, '', %s, %s, %s, %s, %s, %s)"

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class SyntheticModel:
    """What a collection wants to know of a model."""

    name: str = "synthetic"
    digest: str = "0" * 64
    dimensions: int = DIMENSIONS


class Clusters:
    """Points around centres on the unit sphere."""

    def __init__(self, seed: int, centres: int) -> None:
        self.random = np.random.default_rng(seed)
        self.centres = _unit(self.random.standard_normal((centres, DIMENSIONS)))

    def draw(self, count: int) -> Vectors:
        """Unit vectors of shape (count, 384), each of a centre picked at random."""
        picked = self.centres[self.random.integers(len(self.centres), size=count)]
        noise = self.random.standard_normal((count, DIMENSIONS)) * (SPREAD / np.sqrt(DIMENSIONS))
        return _unit(picked + noise).astype(np.float32)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / lengths


@dataclass(frozen=True)
class Draft:
    """A document to be: its chunks' texts are made from `label`, so equal labels are equal documents."""

    source: str
    label: str
    vectors: Vectors
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def texts(self) -> list[str]:
        """One text a vector."""
        return [f"{self.label}, part {i}. {SENTENCE * 4}" for i in range(len(self.vectors))]


def drafts(clusters: Clusters, count: int, *, label: str, first: int = 0) -> list[Draft]:
    """`count` documents with numbered sources from `first` on, ten chunks each."""
    vectors = clusters.draw(count * CHUNKS_PER_DOCUMENT).reshape(count, CHUNKS_PER_DOCUMENT, DIMENSIONS)
    return [Draft(f"/synthetic/{first + i}.md", f"{label} {first + i}", vectors[i]) for i in range(count)]


@dataclass(frozen=True)
class Flush:
    """Documents ready to be appended."""

    documents: Sequence[Draft]
    texts: list[list[str]]
    hashes: list[list[bytes]]
    vectors: dict[bytes, NDArray[np.float32]]

    def rows(self, ids: dict[bytes, int], over: dict[str, int]) -> list[DocumentRow]:
        """With the ids of their embeddings, and the operations whose versions they are written over."""
        return [
            _row(draft, texts, [ids[h] for h in hashes], over.get(draft.source))
            for draft, texts, hashes in zip(self.documents, self.texts, self.hashes, strict=True)
        ]


def _row(draft: Draft, texts: list[str], ids: list[int], over: int | None) -> DocumentRow:
    chunks = tuple(
        ChunkRow(number, embedding, 90, "text", ("Synthetic",), text, {})
        for number, (text, embedding) in enumerate(zip(texts, ids, strict=True))
    )
    mark = text_hash(draft.label)
    return DocumentRow(draft.source, "/synthetic", draft.source, "markdown", mark, mark, draft.attributes, chunks, over)


class Writer:
    """Writes drafts as operations."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.log = OperationLog(database)
        self.corpus = Corpus(database)
        self.info: CollectionInfo = self.corpus.ensure_collection(COLLECTION, SyntheticModel())
        self.embeddings = Embeddings(database, self.info.space_id, DIMENSIONS)

    def publish(self, documents: Iterable[Draft], *, documents_per_flush: int = 200) -> int:
        """One operation with all of them; returns its id."""
        operation = self.open()
        self.write(operation, documents, documents_per_flush=documents_per_flush)
        self.log.publish(operation)
        return operation

    def open(self) -> int:
        """An open operation."""
        return self.log.open("ingest", Attribution(agent="bench"), collection=COLLECTION)

    def write(
        self, operation: int, documents: Iterable[Draft], *, batch: str = "all", documents_per_flush: int = 200
    ) -> None:
        """Appends them under one batch, a flush at a time."""
        attempt = self.log.begin_batch(operation, batch)
        remaining = iter(documents)
        while flush := list(islice(remaining, documents_per_flush)):
            self._flush(operation, attempt, self.prepare(flush))
        self.log.finish_batch(attempt, {})

    def append(self, operation: int, flush: Flush, *, batch: str, keywords: bool = False) -> None:
        """Appends what was prepared, as a batch of its own; `keywords`: to the keyword index, too."""
        attempt = self.log.begin_batch(operation, batch)
        with ThreadPoolExecutor(1) as beside:
            segments = beside.submit(_segments, flush) if keywords else None
            self._flush(operation, attempt, flush, segments)
        self.log.finish_batch(attempt, {})

    def prepare(self, documents: Sequence[Draft]) -> Flush:
        """Texts and hashes made before the clock starts."""
        texts = [draft.texts for draft in documents]
        hashes = [[text_hash(text) for text in of] for of in texts]
        vectors = {h: v for d, of in zip(documents, hashes, strict=True) for h, v in zip(of, d.vectors, strict=True)}
        return Flush(documents, texts, hashes, vectors)

    def _flush(self, operation: int, attempt: int, flush: Flush, segments: Future[list[Packed]] | None = None) -> None:
        """As ingestion does: embeddings in a transaction of their own, then versions and chunks."""
        heads = self.corpus.heads(self.info.id, operation, [draft.source for draft in flush.documents])
        ids = self.embeddings.known(sorted(flush.vectors))
        ids |= self.embeddings.add({key: vector for key, vector in flush.vectors.items() if key not in ids})
        rows = flush.rows(ids, {source: head.operation_id for source, head in heads.items()})
        with self.database.transaction() as connection:
            target = BatchTarget(self.info.id, operation, attempt)
            self.corpus.append(connection, target, rows)
            if segments is not None:
                write_packed(connection, target, segments.result(), frozenset())

    def say(self, kind: str, operations: Sequence[int], *, shows: bool) -> int:
        """One control operation with a verdict about each; returns its id."""
        with self.database.transaction() as connection:
            row = connection.execute(CONTROL, control_parameters(kind, operations, shows=shows)).fetchone()
        assert row is not None
        return int(row["control_id"])

    def build_index(self) -> None:
        """The vector index, as ingestion builds it after a large first load; and fresh statistics."""
        self.embeddings.tend_index()


def _segments(flush: Flush) -> list[Packed]:
    passages = {
        draft.source: [Passage(("Synthetic",), text) for text in texts]
        for draft, texts in zip(flush.documents, flush.texts, strict=True)
    }
    return pack({source: tokenise(source, of) for source, of in passages.items()})


def control_parameters(kind: str, operations: Sequence[int], *, shows: bool) -> list[object]:
    """What CONTROL is bound to."""
    parameters, context, datasets, counts = (
        json_parameter({}),
        json_parameter({}),
        json_parameter([]),
        json_parameter({}),
    )
    return [
        kind,
        new_run_id(),
        parameters,
        context,
        datasets,
        counts,
        numbers_text(operations),
        numbers_text([shows] * len(operations)),
    ]


def text_hash(text: str) -> bytes:
    """What embeddings are addressed by."""
    return hashlib.sha256(text.encode()).digest()
