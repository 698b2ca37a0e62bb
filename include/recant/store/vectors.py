"""Vectors in the form that COPY … (FORMAT BINARY) reads, packed by numpy: many times faster than row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import psycopg
from pgvector import HalfVector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"

duplicate_key = psycopg.errors.UniqueViolation
"""Raised by an insert of a key that is there already."""

missing_key = psycopg.errors.ForeignKeyViolation
"""Raised by an insert that names a key which isn't there."""


def half_vector(vector: NDArray[np.float32]) -> HalfVector:
    """A parameter of type halfvec, from an array of shape (d,)."""
    return HalfVector(vector)


def vector_rows(space_id: int, hashes: Sequence[bytes], vectors: NDArray[np.float32]) -> bytes:
    """The rows (space_id integer, text_hash bytea, vector halfvec) of n hashes of 32 bytes and vectors of shape (n, d).

    A row is its number of fields, then each field's length and bytes, big-endian; a halfvec is its dimensions, an
    unused 16-bit word, and d half-precision floats (pgvector, halfvec_send).
    """
    import numpy as np

    n, d = vectors.shape
    fields = [("fields", ">i2"), ("space_size", ">i4"), ("space", ">i4"), ("hash_size", ">i4"), ("hash", "V32")]
    fields += [("vector_size", ">i4"), ("dimensions", ">i2"), ("unused", ">i2"), ("vector", ">f2", (d,))]  # type: ignore[list-item]
    rows = np.zeros(n, dtype=np.dtype(fields))
    rows["fields"], rows["space_size"], rows["space"], rows["hash_size"] = 3, 4, space_id, 32
    rows["hash"] = np.frombuffer(b"".join(hashes), dtype="V32")
    rows["vector_size"], rows["dimensions"], rows["vector"] = 4 + 2 * d, d, vectors
    return _HEADER + rows.tobytes() + _TRAILER
