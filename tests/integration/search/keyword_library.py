"""A library whose documents are lists of short texts, written with and without segments; and BM25 in the slow and obvious way."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from recant.corpus import ChunkRow, DocumentRow, Embeddings
from recant.corpus.embeddings import text_hash
from recant.oplog.identifiers import new_run_id
from recant.search import KeywordIndex, Searcher
from recant.search.keyword_index import tokenise_documents, write_segments
from tests.integration.library import Library

Texts = Sequence[str]
CONTROL = """SELECT control_id FROM apply_verdicts(
  %s, 'tester', NULL, NULL, %s, '', '{}', '{}', '[]', '{}', %s::bigint[], %s::boolean[], %s::bigint[], %s::bigint[], %s::boolean[])"""


@dataclass
class KeywordLibrary(Library):
    """Writes documents of any number of chunks, of one text each."""

    @cached_property
    def searcher(self) -> Searcher:
        return Searcher(self.database, self.model.vector)

    @cached_property
    def index(self) -> KeywordIndex:
        return KeywordIndex(self.database)

    def put(self, operation_id: int, documents: Mapping[str, Texts | None], *, indexed: bool, **columns: Any) -> None:
        """New versions, as ingestion writes them, or (not `indexed`) as one of an earlier release did."""
        target = self.begin(operation_id, hashlib.sha256(f"{sorted(documents)}".encode()).hexdigest())
        heads = self.corpus.heads(target.collection_id, operation_id, list(documents))
        over = {source: head.operation_id for source, head in heads.items()}
        rows = [self.document(s, texts, over.get(s), **columns) for s, texts in documents.items() if texts is not None]
        as_terms = tokenise_documents(rows) if indexed else {}
        with self.database.transaction() as connection:
            self.corpus.append(connection, target, rows)
            write_segments(connection, target, as_terms)
            for source in (s for s, texts in documents.items() if texts is None):
                self._bury(connection, target, source, over.get(source))
        self.log.finish_batch(target.batch_id, {"documents": len(documents)})

    def document(
        self, source: str, texts: Texts, over: int | None, *, title: str | None = None, **columns: Any
    ) -> DocumentRow:
        headers = columns.pop("parent_headers", ())
        ids = Embeddings(self.database, self.collection.space_id, 4).add(
            {text_hash(text): self.model.vector(text) for text in texts}
        )
        chunks = tuple(
            ChunkRow(i, ids[text_hash(t)], len(t.split()), "text", headers, t, {}) for i, t in enumerate(texts)
        )
        digest = hashlib.sha256("\n".join(texts).encode()).digest()
        given: dict[str, Any] = {"attributes": {}, "format": "text"} | columns
        return DocumentRow(
            source=source, origin="test", title=title, source_hash=digest, fingerprint=digest, chunks=chunks,
            over_operation_id=over, **given,
        )  # fmt: skip

    def add(self, documents: Mapping[str, Texts | None], *, indexed: bool = True, **columns: Any) -> int:
        """One operation, published."""
        operation_id = self.open(last_wins=True)
        self.put(operation_id, documents, indexed=indexed, **columns)
        self.log.publish(operation_id)
        return operation_id

    def control(
        self, kind: str, operations: Sequence[int], *, shows: bool = False, pairs: Sequence[tuple[int, int]] = ()
    ) -> int:
        """A control operation about operations, or about pairs of an operation and a record."""
        of, records = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        given = [kind, new_run_id(), list(operations), [shows] * len(operations), of, records, [shows] * len(of)]
        with self.database.transaction() as connection:
            row = connection.execute(CONTROL, given).fetchone()
        assert row is not None
        return int(row["control_id"])

    def find(self, query: str, mode: str = "keyword", **options: Any) -> Any:
        return self.searcher.search(query, collection=self.name, mode=mode, **({"limit": 50} | options))

    def found(self, query: str, **options: Any) -> list[tuple[str, str, float]]:
        """(source, text, score), best first."""
        return [(hit.source, hit.text, hit.score) for hit in self.find(query, **options).hits]

    def record_ids(self) -> dict[str, int]:
        with self.database.transaction() as connection:
            rows = connection.execute("SELECT key, id FROM record WHERE collection_id = %s", [self.collection.id])
            return {row["key"]: row["id"] for row in rows}

    def chunks_indexed(self) -> int:
        with self.database.transaction() as connection:
            statement = "SELECT coalesce(sum(chunk_count), 0) AS chunks FROM keyword_segment WHERE collection_id = %s"
            return int(connection.execute(statement, [self.collection.id]).fetchone()["chunks"])

    def segments(self) -> int:
        with self.database.transaction() as connection:
            statement = "SELECT count(*) AS segments FROM keyword_segment WHERE collection_id = %s"
            return int(connection.execute(statement, [self.collection.id]).fetchone()["segments"])


def bm25(
    documents: Mapping[str, Texts], query: Iterable[str], records: Mapping[str, int], k1: float = 1.5, b: float = 0.75
) -> list[tuple[str, str, float]]:
    """(source, text, score) of every chunk that has a word of the query: words are what stands between spaces.

    Best first, ties by record and place; of equal texts the best only.
    """
    chunks = [
        (source, place, text, text.split()) for source, texts in documents.items() for place, text in enumerate(texts)
    ]
    average = sum(len(words) for *_, words in chunks) / max(1, len(chunks)) or 1.0
    frequencies = {word: sum(word in words for *_, words in chunks) for word in query}
    scored = []
    for source, place, text, words in chunks:
        score = 0.0
        for word in query:
            if word in words:
                df, tf = frequencies[word], words.count(word)
                idf = math.log(1 + (len(chunks) - df + 0.5) / (df + 0.5))
                score += idf * (k1 + 1) * tf / (tf + k1 * (1 - b + b * (len(words) / average)))
        if score:
            scored.append((-score, records[source], place, source, text))
    best: dict[str, tuple[str, str, float]] = {}
    for negative, _, _, source, text in sorted(scored):
        best.setdefault(text, (source, text, round(-negative, 6)))
    return list(best.values())
