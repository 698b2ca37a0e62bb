"""The table of embeddings: content-addressed by sha256 of the text within a space, so known text is never computed again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from recant.errors import DimensionMismatch, EmbeddingGone
from recant.store import Connection, Database, duplicate_key, load, vector_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INDEX_FROM = 20_000
"""Vectors from which an index pays; below it exact search takes some 5 ms (measured, docs/reference/benchmarks.md)."""
CONNECTIONS = 2
LEAST_SHARED = 512
"""From so many hashes on, two connections take a share each: Postgres uses one processor for each."""
_SQL = load(__package__, "corpus.sql")


def text_hash(text: str) -> bytes:
    """sha256 of the text in UTF-8: 32 bytes."""
    return hashlib.sha256(text.encode("utf-8")).digest()


class Embeddings:
    """One space's vectors. They belong to no operation: neither a rollback nor a re-ingest touches them."""

    def __init__(self, database: Database, space_id: int, dimensions: int) -> None:
        self.database = database
        self.space_id = space_id
        self.dimensions = dimensions

    def known(self, hashes: Sequence[bytes]) -> dict[bytes, int]:
        """Ids of those that are stored, by hash."""
        return self._in_shares(sorted(hashes), self._look_up)

    def add(self, vectors: Mapping[bytes, NDArray[np.float32]]) -> dict[bytes, int]:
        """Stores unit vectors of shape (dimensions,) by hash and returns the ids; those another worker stored first are kept.

        Raises DimensionMismatch; EmbeddingGone when one of another worker's was reclaimed in the same moment. Short
        transactions of their own, in the order of the hashes, so that writers don't deadlock.
        """
        for vector in vectors.values():
            if vector.shape != (self.dimensions,):
                raise DimensionMismatch(
                    f"The space holds vectors of {self.dimensions} dimensions, this one has {vector.shape}."
                )
        if not vectors:
            return {}
        ids = self._in_shares(sorted(vectors), lambda share: self._copy([vectors[key] for key in share], share))
        if len(ids) < len(vectors):
            gone = len(vectors) - len(ids)
            raise EmbeddingGone(f"{gone} embeddings were reclaimed while they were stored: run it again.")
        return ids

    def _in_shares(
        self, hashes: Sequence[bytes], work: Callable[[Sequence[bytes]], dict[bytes, int]]
    ) -> dict[bytes, int]:
        """What `work` says of the hashes, several connections at once where there are many."""
        if len(hashes) < LEAST_SHARED:
            return work(hashes)
        size = -(-len(hashes) // CONNECTIONS)
        shares = [hashes[start : start + size] for start in range(0, len(hashes), size)]
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return {key: found for part in pool.map(work, shares) for key, found in part.items()}

    def _look_up(self, hashes: Sequence[bytes]) -> dict[bytes, int]:
        with self.database.transaction() as connection:
            return self._ids(connection, hashes)

    def _copy(self, vectors: list[NDArray[np.float32]], hashes: Sequence[bytes]) -> dict[bytes, int]:
        rows = vector_rows(self.space_id, hashes, _stacked(vectors))
        try:
            with self.database.transaction() as connection:
                with connection.cursor().copy(_SQL["copy_embeddings"]) as copy:
                    copy.write(rows)
                return self._ids(connection, hashes)
        except duplicate_key:
            return self._add_missing(rows, hashes)

    def _add_missing(self, rows: bytes, hashes: Sequence[bytes]) -> dict[bytes, int]:
        """Another worker stored some of them in the meantime."""
        with self.database.transaction() as connection:
            connection.execute(_SQL["stage_embeddings"])
            with connection.cursor().copy(_SQL["copy_staged_embeddings"]) as copy:
                copy.write(rows)
            connection.execute(_SQL["add_staged_embeddings"])
            return self._ids(connection, hashes)

    def _ids(self, connection: Connection, hashes: Sequence[bytes]) -> dict[bytes, int]:
        given = {"space_id": self.space_id, "hashes": list(hashes)}
        return {bytes(row["text_hash"]): row["id"] for row in connection.execute(_SQL["known_embeddings"], given)}

    def tend_index(self) -> bool:
        """Builds the vector index once there are enough vectors for one; True when it was built now."""
        given = {"space_id": self.space_id, "limit": INDEX_FROM}
        with self.database.transaction() as connection:
            row = connection.execute(_SQL["count_embeddings"], given).fetchone()
            if not row or row["indexed"] or row["embeddings"] < INDEX_FROM:
                return False
            connection.execute(
                "SELECT set_config('maintenance_work_mem', '1GB', true), set_config('max_parallel_maintenance_workers', '2', true)"
            )
            connection.execute(_SQL["build_vector_index"], {"space_id": self.space_id})
        return True


def _stacked(vectors: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    import numpy as np

    return np.stack(vectors)
