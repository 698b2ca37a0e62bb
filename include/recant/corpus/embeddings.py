"""The table of embeddings: content-addressed by sha256 of the text within a space, so known text is never computed again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from recant.errors import DimensionMismatch
from recant.store import Database, duplicate_key, load, vector_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INDEX_FROM = 20_000
"""Vectors from which an index pays; below it exact search takes some 5 ms (measured, docs/reference/benchmarks.md)."""
COPIES_AT_ONCE = 2
LEAST_SHARED = 512
"""From so many vectors on, two connections copy a share each: Postgres uses one processor for each."""
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
        given = {"space_id": self.space_id, "hashes": list(hashes)}
        with self.database.transaction() as connection:
            return {bytes(row["text_hash"]): row["id"] for row in connection.execute(_SQL["known_embeddings"], given)}

    def add(self, vectors: Mapping[bytes, NDArray[np.float32]]) -> dict[bytes, int]:
        """Stores unit vectors of shape (dimensions,) by hash and returns the ids; those another worker stored first are kept.

        Raises DimensionMismatch. Short transactions of their own, in the order of the hashes, so that writers don't deadlock.
        """
        for vector in vectors.values():
            if vector.shape != (self.dimensions,):
                raise DimensionMismatch(
                    f"The space holds vectors of {self.dimensions} dimensions, this one has {vector.shape}."
                )
        if not vectors:
            return {}
        hashes = sorted(vectors)
        parts = COPIES_AT_ONCE if len(hashes) >= LEAST_SHARED else 1
        shares = [hashes[n * len(hashes) // parts : (n + 1) * len(hashes) // parts] for n in range(parts)]
        with ThreadPoolExecutor(parts) as pool:
            list(pool.map(lambda share: self._copy([vectors[key] for key in share], share), shares))
        return self.known(hashes)

    def _copy(self, vectors: list[NDArray[np.float32]], hashes: Sequence[bytes]) -> None:
        rows = vector_rows(self.space_id, hashes, _stacked(vectors))
        try:
            with self.database.transaction() as connection, connection.cursor().copy(_SQL["copy_embeddings"]) as copy:
                copy.write(rows)
        except duplicate_key:
            self._add_missing(rows)

    def _add_missing(self, rows: bytes) -> None:
        """Another worker stored some of them in the meantime."""
        with self.database.transaction() as connection:
            connection.execute(_SQL["stage_embeddings"])
            with connection.cursor().copy(_SQL["copy_staged_embeddings"]) as copy:
                copy.write(rows)
            connection.execute(_SQL["add_staged_embeddings"])

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
