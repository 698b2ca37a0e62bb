"""A small knowledge base for tests: documents of one chunk each, written without files or a model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recant.corpus import (
    BatchTarget,
    ChunkRow,
    Cited,
    CollectionInfo,
    Corpus,
    DocumentRow,
    Embeddings,
    Head,
    find_cited,
)
from recant.corpus.embeddings import text_hash
from recant.oplog import Attribution, OperationLog
from recant.rollback import Rollback
from recant.settings import read_settings
from recant.store import Database

TOMBSTONE = None


@dataclass(frozen=True)
class TinyModel:
    """Four dimensions, and a vector that follows from the text."""

    name: str = "tiny"
    digest: str = "tiny-digest"
    dimensions: int = 4

    def vector(self, text: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
        found = np.random.default_rng(seed).normal(size=self.dimensions).astype(np.float32)
        return found / np.linalg.norm(found)


@dataclass
class Library:
    """Writes and reads one collection. `write` goes through the same code as an ingest does."""

    database: Database
    name: str = "library"
    model: TinyModel = TinyModel()

    @cached_property
    def log(self) -> OperationLog:
        return OperationLog(self.database)

    @cached_property
    def corpus(self) -> Corpus:
        return Corpus(self.database)

    @cached_property
    def collection(self) -> CollectionInfo:
        return self.corpus.ensure_collection(self.name, self.model)

    @cached_property
    def rollback(self) -> Rollback:
        return Rollback(self.database, read_settings({}))

    def open(
        self, agent: str = "alice", session: str | None = None, run_id: str | None = None, **options: object
    ) -> int:
        return self.log.open("ingest", Attribution(agent, session, run_id), collection=self.collection.name, **options)

    def write(self, operation_id: int, documents: dict[str, str | None], *, key: str | None = None) -> BatchTarget:
        """New versions over what the writer sees; a text of None is a tombstone."""
        target = self.begin(operation_id, key or f"write-{sorted(documents)}-{hash(tuple(documents.values()))}")
        self.append(target, documents)
        self.log.finish_batch(target.batch_id, {"documents": len(documents)})
        return target

    def begin(self, operation_id: int, key: str = "batch") -> BatchTarget:
        return BatchTarget(self.collection.id, operation_id, self.log.begin_batch(operation_id, key))

    def append(self, target: BatchTarget, documents: dict[str, str | None]) -> None:
        heads = self.corpus.heads(target.collection_id, target.operation_id, list(documents))
        over = {source: head.operation_id for source, head in heads.items()}
        rows = [self.row(s, t, over.get(s)) for s, t in documents.items() if t is not None]
        with self.database.transaction() as connection:
            self.corpus.append(connection, target, rows)
            for source in (s for s, t in documents.items() if t is None):
                self._bury(connection, target, source, over.get(source))

    def row(self, source: str, text: str, over: int | None) -> DocumentRow:
        ids = Embeddings(self.database, self.collection.space_id, self.model.dimensions).add(
            {text_hash(text): self.model.vector(text)}
        )
        chunk = ChunkRow(0, ids[text_hash(text)], len(text.split()), "text", (), text, {})
        digest = hashlib.sha256(text.encode()).digest()
        return DocumentRow(source, "test", source, "text", digest, digest, {}, (chunk,), over)

    def affirm(self, operation_id: int, *sources: str) -> None:
        heads = self.corpus.heads(self.collection.id, operation_id, list(sources))
        target = self.begin(operation_id, f"affirm-{sources}")
        with self.database.transaction() as connection:
            self.corpus.affirm(connection, target, heads.values())
        self.log.finish_batch(target.batch_id, {"unchanged": len(heads)})

    def build_on(self, operation_id: int, source: str, kind: str, own: str | None = None) -> None:
        """Names what the operation sees of a document as what its version of `own`, or all of it, was made from."""
        if kind == "affirmed":
            return self.affirm(operation_id, source)
        made_from = self._cited(operation_id, source) if kind == "cited" else self._head(operation_id, source)
        target = self.begin(operation_id, f"{kind} {source} {own}")
        given = {
            "id": operation_id,
            "batch": target.batch_id,
            "input": made_from.operation_id,
            "version": made_from.version_id,
            "kind": kind,
            "own": own,
        }
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO dependency (operation_id, batch_id, input_operation_id, input_version_id, class, version_id) "
                "SELECT %(id)s, %(batch)s, %(input)s, %(version)s, %(kind)s, (SELECT v.version_id FROM version v "
                "JOIN record r ON r.id = v.record_id WHERE v.operation_id = %(id)s AND r.key = %(own)s)",
                given,
            )
        return self.log.finish_batch(target.batch_id, {})

    def _head(self, operation_id: int, source: str) -> Head:
        return self.corpus.heads(self.collection.id, operation_id, [source])[source]

    def _cited(self, operation_id: int, source: str) -> Cited:
        session = self.log.get(operation_id).session
        with self.database.transaction() as connection:
            return find_cited(connection, self.name, {source: [source]}, session=session)[0]

    def publish(self, documents: dict[str, str | None], **options: object) -> int:
        operation_id = self.open(**options)
        self.write(operation_id, documents)
        self.log.publish(operation_id)
        return operation_id

    def view(self, position: int | None = None, session: str | None = None) -> dict[str, str]:
        """What is seen, in the slow and obvious way: every version of every visible operation, the last one wins."""
        with self.database.transaction() as connection:
            rows = connection.execute(
                """
                SELECT r.key, c.text, v.tombstone OR v.payload <> 'kept' AS tombstone, o.life, v.version_id,
                       CASE WHEN %(position)s::bigint IS NULL THEN o.visible ELSE coalesce((
                         SELECT h.visible FROM visibility_history h WHERE h.operation_id = o.id AND h.from_position <= %(position)s
                         ORDER BY h.from_position DESC LIMIT 1), false) END
                       AS visible,
                       coalesce((SELECT h.visible FROM record_visibility_history h
                                 WHERE h.operation_id = v.operation_id AND h.record_id = v.record_id
                                   AND h.from_position <= coalesce(%(position)s::bigint, 9223372036854775807)
                                 ORDER BY h.from_position DESC LIMIT 1), true) AS shown,
                       o.life = 'open' AND o.session = %(session)s AND %(position)s::bigint IS NULL AS own
                FROM version v JOIN record r ON r.id = v.record_id JOIN operation o ON o.id = v.operation_id
                LEFT JOIN chunk c ON c.version_id = v.version_id WHERE r.kind = 'document'
                """,
                {"position": position, "session": session},
            ).fetchall()
        seen = sorted(
            (r for r in rows if (r["visible"] and r["shown"]) or r["own"]),
            key=lambda r: (bool(r["own"]), r["version_id"]),
        )
        heads = {r["key"]: r for r in seen}
        return {key: row["text"] for key, row in heads.items() if not row["tombstone"]}

    def _bury(self, connection, target: BatchTarget, source: str, over: int | None) -> None:
        connection.execute(
            "INSERT INTO record (collection_id, kind, key) VALUES (%s, 'document', %s) ON CONFLICT DO NOTHING",
            [target.collection_id, source],
        )
        connection.execute(
            "INSERT INTO version (record_id, operation_id, batch_id, over_operation_id, tombstone, content_hash) "
            "SELECT id, %s, %s, %s, true, sha256('tombstone') FROM record WHERE collection_id = %s AND kind = 'document' AND key = %s",
            [target.operation_id, target.batch_id, over, target.collection_id, source],
        )
