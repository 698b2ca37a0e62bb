"""Datasets that grow: rows in, whole HDF5 chunks out, compressed beside the caller, with a sha256 of what they hold."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

import numpy as np

from recant.archive.compression import Compression
from recant.archive.layout import TABLES, element_type, row_shape

if TYPE_CHECKING:
    import h5py
    from numpy.typing import NDArray

CHUNK_BYTES = 512 * 1024
"""A chunk's size before compression; it fits the cache that HDF5 readers have by default."""
PENDING_CHUNKS = 4
"""Compressed or being so, and not yet in the file, of one dataset."""


class GrowingDataset:
    """One dataset. Holds at most a chunk's worth of rows, and a few chunks that are being compressed."""

    def __init__(
        self, group: h5py.Group, name: str, dtype: str, shape: tuple[int, ...], compression: Compression, pool: Executor
    ) -> None:
        self.rows = 0
        self._group, self._name = group, name
        self._dtype, self._shape = np.dtype(dtype), shape
        self._compression, self._pool = compression, pool
        row_bytes = self._dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        self._chunk_rows = max(1, CHUNK_BYTES // row_bytes)
        self._waiting: list[NDArray[Any]] = []
        self._waiting_rows = 0
        self._pending: deque[tuple[int, Future[bytes]]] = deque()
        self._dataset: h5py.Dataset | None = None
        self._sha256 = hashlib.sha256()

    def append(self, rows: NDArray[Any]) -> None:
        """More rows, of any number."""
        block = np.ascontiguousarray(rows, dtype=self._dtype).reshape(-1, *self._shape)
        self._sha256.update(block.data)
        self._waiting.append(block)
        self._waiting_rows += len(block)
        if self._waiting_rows >= self._chunk_rows:
            self._flush()

    def finish(self) -> str:
        """Writes what is left, notes the sha256 (as hex, in the attribute of that name) and returns it."""
        rest = np.concatenate([np.empty((0, *self._shape), self._dtype), *self._waiting])
        self._waiting, self._waiting_rows = [], 0
        if len(rest):
            self._put(rest)
        self._drain(0)
        if self._dataset is None:
            self._dataset = self._group.create_dataset(self._name, shape=(0, *self._shape), dtype=self._dtype)
        digest = self._sha256.hexdigest()
        self._dataset.attrs["sha256"] = digest
        return digest

    def _flush(self) -> None:
        rows = np.concatenate(self._waiting) if len(self._waiting) > 1 else self._waiting[0]
        whole = len(rows) - len(rows) % self._chunk_rows
        for start in range(0, whole, self._chunk_rows):
            self._put(rows[start : start + self._chunk_rows])
        self._waiting = [rows[whole:].copy()]
        self._waiting_rows = len(rows) - whole

    def _put(self, rows: NDArray[Any]) -> None:
        """A whole chunk, or the last one."""
        dataset = self._created(len(rows))
        start, self.rows = self.rows, self.rows + len(rows)
        dataset.resize(self.rows, axis=0)
        if not self._compression.is_ours:
            dataset[start : self.rows] = rows
            return
        if len(rows) < dataset.chunks[0]:
            rows = np.concatenate([rows, np.zeros((dataset.chunks[0] - len(rows), *self._shape), self._dtype)])
        self._pending.append((start, self._pool.submit(self._compression.packed, rows)))
        self._drain(PENDING_CHUNKS)

    def _drain(self, leave: int) -> None:
        while len(self._pending) > leave:
            start, packed = self._pending.popleft()
            assert self._dataset is not None, "what is pending has a dataset"
            self._dataset.id.write_direct_chunk((start, *(0 for _ in self._shape)), packed.result())

    def _created(self, rows: int) -> h5py.Dataset:
        if self._dataset is None:
            self._dataset = self._group.create_dataset(
                self._name,
                shape=(0, *self._shape),
                maxshape=(None, *self._shape),
                chunks=(min(rows, self._chunk_rows), *self._shape),
                dtype=self._dtype,
                **self._compression.filters,
            )
        return self._dataset


class Texts:
    """A column of texts: their bytes one after the other, and where each begins."""

    def __init__(self, make: Callable[[str, str], GrowingDataset], name: str) -> None:
        self._data, self._offsets = make(name, "u1"), make(f"{name}_offsets", "i8")
        self._end = 0
        self._offsets.append(np.zeros(1, np.int64))

    def append(self, texts: tuple[bytes, NDArray[np.int64]]) -> None:
        """Texts as their bytes in one piece, and the length of each."""
        data, lengths = texts
        ends = self._end + np.cumsum(lengths, dtype=np.int64)
        if len(ends):
            self._end = int(ends[-1])
        self._offsets.append(ends)
        self._data.append(np.frombuffer(data, np.uint8))

    def finish(self) -> dict[str, str]:
        """sha256 by dataset name, without the table's."""
        return {"": self._data.finish(), "_offsets": self._offsets.finish()}


class Table:
    """One table's columns, written side by side."""

    def __init__(self, file: h5py.File, name: str, dimensions: int, compression: Compression, pool: Executor) -> None:
        self.name = name
        self.rows = 0
        group = file.create_group(name)

        def make(column: str, kind: str) -> GrowingDataset:
            shape = row_shape(kind, dimensions)
            return GrowingDataset(group, column, element_type(kind), shape, compression, pool)

        self._columns: dict[str, GrowingDataset | Texts] = {
            column: Texts(make, column) if kind == "text" else make(column, kind)
            for column, kind in TABLES[name].items()
        }

    def append(self, rows: int, columns: dict[str, Any]) -> None:
        """So many rows; columns left out are written by `append_to`."""
        self.rows += rows
        for name, values in columns.items():
            self._columns[name].append(values)

    def append_to(self, column: str, values: Any) -> None:
        """More of one column."""
        self._columns[column].append(values)

    def finish(self) -> dict[str, str]:
        """sha256 by the dataset's path."""
        digests: dict[str, str] = {}
        for name, column in self._columns.items():
            found = column.finish()
            parts = {"": found} if isinstance(found, str) else found
            digests |= {f"{self.name}/{name}{suffix}": digest for suffix, digest in parts.items()}
        return digests
