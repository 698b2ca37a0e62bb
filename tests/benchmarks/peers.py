"""Other stores that a row can be taken out of again, each behind the same few calls: LanceDB, Chroma, plain pgvector.

LanceDB and Chroma are installed for the benchmark only (`make bench-peers`). Nothing of them reaches out to a network.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from recant.store import Connection
from tests.benchmarks.synthetic import DIMENSIONS, Vectors

BATCH = 5_000
EF_SEARCH = 200


class Searched(Protocol):
    """What is there, and what searches find of it."""

    def present(self) -> set[int]:
        """Ids of the rows there are."""

    def nearest(self, vector: Vectors, count: int) -> list[int]:
        """Ids of the nearest rows, as searches find them."""


class Peer(Searched, Protocol):
    """Rows of an id, a vector and the number of the operation that wrote them. Writing an id again replaces its row."""

    def write(self, ids: list[int], vectors: Vectors, operation: int) -> None:
        """Adds or replaces rows."""

    def delete(self, operation: int) -> None:
        """Takes the rows of an operation out."""


class Lance:
    """LanceDB, embedded. Without an index, as it is until one is made; its scan of some ten thousand rows is exact."""

    def __init__(self, folder: Path) -> None:
        import lancedb  # type: ignore[import-not-found,unused-ignore]

        self.database = lancedb.connect(str(folder))
        self.table: Any = None

    def write(self, ids: list[int], vectors: Vectors, operation: int) -> None:
        rows = [{"id": i, "vector": v, "operation": operation} for i, v in zip(ids, vectors, strict=True)]
        if self.table is None:
            self.table = self.database.create_table("rows", rows)
        else:
            self.table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, operation: int) -> None:
        self.table.delete(f"operation = {operation}")

    def restore(self, version: int) -> None:
        """The whole table as it was."""
        self.table.restore(version)

    def present(self) -> set[int]:
        return set(self.table.to_arrow().column("id").to_pylist())

    def nearest(self, vector: Vectors, count: int) -> list[int]:
        found = self.table.search(vector).distance_type("dot").select(["id", "_distance"]).limit(count)
        return [row["id"] for row in found.to_list()]


class LanceHybrid:
    """LanceDB's hybrid search: its full-text index, stemmed and without stop words, its vectors, and its RRF reranker."""

    def __init__(self, folder: Path) -> None:
        import lancedb
        from lancedb.rerankers import RRFReranker  # type: ignore[import-not-found,unused-ignore]

        self.database = lancedb.connect(str(folder))
        self.reranker = RRFReranker()
        self.table: Any = None

    def write(self, texts: list[str], vectors: Vectors) -> None:
        """Rows numbered from 0, and the index over their texts."""
        rows = [{"id": n, "text": t, "vector": v} for n, (t, v) in enumerate(zip(texts, vectors, strict=True))]
        self.table = self.database.create_table("texts", rows)
        self.table.create_fts_index("text", language="English", stem=True, remove_stop_words=True)

    def best(self, text: str, vector: Vectors, count: int) -> list[int]:
        """Ids of the rows found, best first."""
        search = self.table.search(query_type="hybrid", fts_columns="text").vector(vector).text(text)
        found = search.distance_type("cosine").rerank(self.reranker).limit(count)
        return [row["id"] for row in found.to_list()]


class Chroma:
    """Chroma, embedded and persistent, telemetry off, with its own settings of HNSW."""

    def __init__(self, folder: Path) -> None:
        import chromadb  # type: ignore[import-not-found,unused-ignore]

        settings = chromadb.Settings(anonymized_telemetry=False)
        self.client = chromadb.PersistentClient(str(folder), settings=settings)
        self.rows = self.client.create_collection("rows", metadata={"hnsw:space": "ip"}, embedding_function=None)

    def write(self, ids: list[int], vectors: Vectors, operation: int) -> None:
        for start in range(0, len(ids), BATCH):
            some = ids[start : start + BATCH]
            self.rows.upsert(
                ids=[str(i) for i in some],
                embeddings=vectors[start : start + BATCH],
                metadatas=[{"operation": operation}] * len(some),
            )

    def delete(self, operation: int) -> None:
        self.rows.delete(where={"operation": operation})

    def present(self) -> set[int]:
        return _numbers(self.rows.get(include=[])["ids"])

    def nearest(self, vector: Vectors, count: int) -> list[int]:
        return list(_numbers(self.rows.query(query_embeddings=[vector], n_results=count, include=[])["ids"][0]))

    def close(self) -> None:
        """Lets go of the folder."""
        self.client.close()


class Pgvector:
    """A table with an HNSW index, made once the first rows are in."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        connection.execute("DROP TABLE IF EXISTS public.plain")
        connection.execute(
            f"CREATE TABLE public.plain (id bigint PRIMARY KEY, operation integer, vector halfvec({DIMENSIONS}))"
        )
        connection.execute("ALTER TABLE public.plain ALTER COLUMN vector SET STORAGE PLAIN")
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute(f"SET hnsw.ef_search = {EF_SEARCH}")

    def write(self, ids: list[int], vectors: Vectors, operation: int) -> None:
        from pgvector import HalfVector

        rows = [(i, operation, HalfVector(v)) for i, v in zip(ids, vectors, strict=True)]
        with self.connection.transaction():
            self.connection.execute("DELETE FROM public.plain WHERE id = ANY (%s)", [ids])
            self.connection.cursor().executemany("INSERT INTO public.plain VALUES (%s, %s, %s)", rows)

    def build_index(self) -> None:
        """The index, built at once: cheaper than row by row."""
        self.connection.execute("CREATE INDEX ON public.plain USING hnsw (vector halfvec_ip_ops)")
        self.connection.execute("VACUUM ANALYZE public.plain")

    def delete(self, operation: int) -> None:
        self.connection.execute("DELETE FROM public.plain WHERE operation = %s", [operation])

    def vacuum(self) -> None:
        """Frees the rows, and mends the graph of the index."""
        self.connection.execute("VACUUM public.plain")

    def present(self) -> set[int]:
        return {row["id"] for row in self.connection.execute("SELECT id FROM public.plain")}

    def nearest(self, vector: Vectors, count: int) -> list[int]:
        from pgvector import HalfVector

        found = self.connection.execute(
            "SELECT id FROM public.plain ORDER BY vector <#> %s LIMIT %s", [HalfVector(vector), count]
        )
        return [row["id"] for row in found]


def recall(peer: Searched, rows: dict[int, Any], queries: Iterable[Vectors], count: int = 10) -> float:
    """The share of the true nearest that searches find, of those rows that there are."""
    ids = np.array(sorted(peer.present() & rows.keys()))
    matrix = np.stack([rows[i] for i in ids])
    shares = []
    for query in queries:
        truth = set(ids[np.argsort(-(matrix @ query))[:count]].tolist())
        shares.append(len(truth & set(peer.nearest(query, count))) / count)
    return float(np.mean(shares))


def _numbers(ids: Iterable[str]) -> set[int]:
    return {int(i) for i in ids}
