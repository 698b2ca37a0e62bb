"""An open operation on an empty collection, and a way to put good and bad documents into it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from recant.oplog import Attribution, OperationLog
from recant.store import Connection, Database

UNIT = (0.6, 0.8, 0.0)


class Shelf:
    """One open operation of the collection "docs", whose space has three dimensions. Each call is a batch of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.log = OperationLog(database)
        with database.transaction() as connection:
            row = connection.execute(
                "SELECT * FROM ensure_collection('docs', 'test-model', 'digest', 3, true)"
            ).fetchone()
            assert row
            self.collection_id, self.space_id = row["collection_id"], row["space_id"]
        self.operation_id = self.log.open("ingest", Attribution("alice"), collection="docs")

    def chunk(self, text: str = "A sentence that says something.", **changes: Any) -> dict[str, Any]:
        """A chunk that every expectation is content with, unless changed."""
        return {"text": text, "vector": UNIT, "token_count": 8, "space_id": self.space_id} | changes

    def write(self, documents: dict[str, list[dict[str, Any]]], *, key: str = "batch-0", **changes: Any) -> None:
        """A batch that writes these documents: name to chunks. `declared`: the chunk count that each claims."""
        batch = self.log.begin_batch(self.operation_id, key)
        with self.database.transaction() as connection:
            origin = self._record(connection, "watermark", "/srv")
            for source, chunks in documents.items():
                self._document(connection, batch, origin, source, chunks, **changes)
        counts = {"documents": len(documents), "chunks": sum(map(len, documents.values()))}
        self.log.finish_batch(batch, counts)

    def sources(self) -> list[str]:
        """Documents that the operation holds now."""
        query = """SELECT r.key FROM version v JOIN record r ON r.id = v.record_id
                   WHERE v.operation_id = %s AND r.kind = 'document' ORDER BY r.key"""
        return [row["key"] for row in self.rows(query)]

    def checks(self) -> list[dict[str, Any]]:
        """Stored results."""
        return self.rows("SELECT suite, success, result FROM quality_check WHERE operation_id = %s ORDER BY id")

    def rejections(self) -> list[tuple[str, str, str]]:
        """Stored rejections: source, code, reason."""
        rows = self.rows("SELECT source, code, reason FROM rejection WHERE operation_id = %s ORDER BY source")
        return [(row["source"], row["code"], row["reason"]) for row in rows]

    def rows(self, query: Any) -> list[dict[str, Any]]:
        """What a query about the operation answers."""
        with self.database.snapshot() as connection:
            return list(connection.execute(query, [self.operation_id]))

    def _document(
        self,
        connection: Connection,
        batch: int,
        origin: int,
        source: str,
        chunks: list[dict[str, Any]],
        *,
        title: str | None = "A title",
        declared: int | None = None,
    ) -> None:
        version = self._one(
            connection,
            """INSERT INTO version (record_id, operation_id, batch_id, content_hash)
               VALUES (%s, %s, %s, sha256(%s::text::bytea)) RETURNING version_id""",
            [self._record(connection, "document", source), self.operation_id, batch, str(len(chunks))],
        )
        connection.execute(
            """INSERT INTO document_version (version_id, origin_record_id, title, format, source_hash, fingerprint,
                                             chunk_count, token_count)
               VALUES (%s, %s, %s, 'text', '', '', %s, 0)""",
            [version, origin, title, len(chunks) if declared is None else declared],
        )
        for index, chunk in enumerate(chunks):
            embedding = self._embedding(connection, chunk)
            connection.execute(
                """INSERT INTO chunk (version_id, embedding_id, index, token_count, chunk_type, text)
                   VALUES (%s, %s, %s, %s, 'text', %s)""",
                [version, embedding, index, chunk["token_count"], chunk["text"]],
            )

    def _embedding(self, connection: Connection, chunk: dict[str, Any]) -> int:
        vector = json.dumps(list(chunk["vector"]))
        key = hashlib.sha256(f"{chunk['text']}{vector}".encode()).digest()
        given = [chunk["space_id"], key]
        connection.execute(
            "INSERT INTO embedding (space_id, text_hash, vector) VALUES (%s, %s, %s::halfvec) ON CONFLICT DO NOTHING",
            [*given, vector],
        )
        return self._one(connection, "SELECT id FROM embedding WHERE space_id = %s AND text_hash = %s", given)

    def _record(self, connection: Connection, kind: str, key: str) -> int:
        given = [self.collection_id, kind, key]
        connection.execute(
            "INSERT INTO record (collection_id, kind, key) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", given
        )
        query = "SELECT id FROM record WHERE collection_id = %s AND kind = %s AND key = %s"
        return self._one(connection, query, given)

    @staticmethod
    def _one(connection: Connection, query: Any, given: list[Any]) -> int:
        row = connection.execute(query, given).fetchone()
        assert row
        return int(next(iter(row.values())))


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    """An open operation without documents."""
    with Database(database) as opened:
        yield Shelf(opened)
