"""Writes an archive: a file beside its target, which it replaces at once when it is whole, or leaves alone."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import uuid4

import numpy as np

from recant.archive.columns import Table
from recant.archive.compression import Compression
from recant.archive.contents import Block, Contents, VersionBlock
from recant.archive.layout import FORMAT, RECORD_KINDS, TABLES, VERSION
from recant.archive.sink import Sink, is_abandoned, new_file
from recant.archive.state import StateDigest, seal
from recant.errors import OutOfSpace, UsageError
from recant.store import Row

if TYPE_CHECKING:
    import h5py
    from numpy.typing import NDArray

T = TypeVar("T")
PARTIAL = ".partial"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
Beat = Callable[[], None]
"""Called between blocks, so that whoever waits knows that the work goes on."""


@dataclass
class Written:
    """What was written: rows by table, and the attributes of the file's root."""

    rows: dict[str, int] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    """Records that are seen, of kinds that an archive doesn't hold."""


def write_archive(path: Path, contents: Contents, compression: Compression, beat: Beat = lambda: None) -> Written:
    """Writes a new file at the path. Memory: some blocks, and 16 bytes for each chunk.

    Use it in `replacing`, which says what went wrong and leaves nothing half behind.
    """
    import h5py

    workers = os.cpu_count() or 2
    with new_file(path) as sink, ThreadPoolExecutor(workers) as pool, ThreadPoolExecutor(1) as reader:
        with h5py.File(sink, "w", libver="v110") as file:
            writing = _Writing(file, sink, contents, compression, pool, reader, beat)
            writing.write()
        return writing.written


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside the target, which takes the target's place in the end; after an error, nothing is left of it.

    Raises UsageError where nothing can be written there, OutOfSpace when the disk is full; the target is as it was then.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path} can't be written: name a file in a folder that is there.")
    partial = path.with_name(f".{path.name}.{uuid4().hex}{PARTIAL}")
    _sweep(path)
    try:
        yield partial
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Takes away what processes that are gone left beside the target."""
    for left in path.parent.glob(f".{_literal(path.name)}.*{PARTIAL}"):
        if is_abandoned(left):
            with suppress(OSError):
                left.unlink()


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(error: OSError, path: Path) -> Exception:
    if error.errno in NO_SPACE:
        return OutOfSpace(f"There is no room for {path}: free space and run it again. What was there is as it was.")
    return UsageError(f"{path} can't be written: {error.strerror or error}")


def ahead(blocks: Iterator[T], reader: Executor) -> Iterator[T]:
    """The same blocks, each read while the one before it is worked on. Nothing else may be read meanwhile."""
    end = object()
    pending = reader.submit(next, blocks, end)
    while (found := pending.result()) is not end:
        pending = reader.submit(next, blocks, end)
        yield cast(T, found)


class _Writing:
    """One file in the making."""

    def __init__(
        self, file: h5py.File, sink: Sink, contents: Contents, compression: Compression, pool: Executor, reader: Executor, beat: Beat
    ) -> None:  # fmt: skip
        self.file, self.sink, self.contents, self.compression = file, sink, contents, compression
        self._reader = reader
        self._beat = beat
        self.written = Written()
        dimensions = contents.collection["dimensions"]
        self.tables = {name: Table(file, name, dimensions, compression, pool) for name in TABLES}
        self._embeddings: list[NDArray[np.int64]] = []
        self._operations: list[NDArray[np.int64]] = []
        self._state = StateDigest()

    def write(self) -> None:
        """Documents with their chunks, then the vectors that these use, then the log of what is in it."""
        for versions, chunks in ahead(self.contents.documents(), self._reader):
            self._documents(versions, chunks)
            self._block_done()
        for block in self.contents.versions("watermark"):
            self._versions("watermark", block.block)
            self.tables["watermarks"].append(block.block.rows, block.block.columns)
        for kind in RECORD_KINDS:
            for block in self.contents.versions(kind):
                self._versions(kind, block.block)
                self.tables["records"].append(block.block.rows, block.block.columns)
                self._block_done()
        self._vectors()
        self._log()
        self._seal()

    def _documents(self, versions: VersionBlock, parts: Block) -> None:
        documents, chunks = self.tables["documents"], self.tables["chunks"]
        block = versions.block
        counts = np.bincount(parts.columns["document"].astype(np.int64), minlength=block.rows)
        first = chunks.rows + np.cumsum(counts) - counts
        self._versions("document", block)
        self._embeddings.append(parts.columns.pop("embedding").astype(np.int64))
        parts.columns["document"] = parts.columns["document"] + documents.rows
        documents.append(block.rows, block.columns | {"first_chunk": first, "chunk_count": counts})
        chunks.append(parts.rows, parts.columns)

    def _block_done(self) -> None:
        self.sink.check()
        self._beat()

    def _versions(self, kind: str, block: Block) -> None:
        """What every kind of record has: the operations to tell of, and what is seen."""
        columns = block.columns
        self._operations.append(np.unique(columns["operation_id"].astype(np.int64)))
        data, lengths = columns["source"]
        hashes = columns["content_hash"].astype(np.uint8).tobytes()
        self._state.add(kind, data, lengths, hashes, columns["seen"])

    def _vectors(self) -> None:
        """Each once, in the order of their ids; a chunk names its row."""
        used = np.concatenate([np.empty(0, np.int64), *self._embeddings])
        self._embeddings = []
        distinct = np.unique(used)
        for start in range(0, len(used), 1 << 16):
            rows = np.searchsorted(distinct, used[start : start + (1 << 16)])
            self.tables["chunks"].append_to("vector", rows)
        for block in ahead(self.contents.vectors(distinct), self._reader):
            self.tables["vectors"].append(block.rows, block.columns)
            self._block_done()
        if self.tables["vectors"].rows != len(distinct):
            raise AssertionError("a chunk of the snapshot has its embedding in it")

    def _log(self) -> None:
        own = np.unique(np.concatenate([np.empty(0, np.int64), *self._operations]))
        told = own.tolist()
        for rows in self.contents.log("log_operations", told):
            self.tables["operations"].append(len(rows), _columns("operations", rows))
            told += [row["id"] for row in rows if row["control"]]
        for table, query in (("verdicts", "log_verdicts"), ("history", "log_history")):
            for rows in self.contents.log(query, told):
                self.tables[table].append(len(rows), _columns(table, rows))
        for rows in self.contents.log("log_dependencies", own.tolist()):
            self.tables["dependencies"].append(len(rows), _columns("dependencies", rows))

    def _seal(self) -> None:
        digests: dict[str, str] = {}
        for table in self.tables.values():
            digests |= table.finish()
        self.written.rows = {name: table.rows for name, table in self.tables.items()}
        self.written.left_out = self.contents.left_out()
        self.written.attributes = self._attributes()
        for name, value in self.written.attributes.items():
            self.file.attrs[name] = value
        self.file.attrs["sha256"] = seal(self.written.attributes, digests)

    def _attributes(self) -> dict[str, Any]:
        contents, collection = self.contents, self.contents.collection
        return {
            "format": FORMAT,
            "format_version": VERSION,
            "created_at": datetime.now(UTC).isoformat(),
            "collection": contents.scope.collection,
            "position": contents.scope.position,
            "scope": json.dumps(contents.scope.to_dict(), sort_keys=True),
            "model": collection["model"],
            "model_digest": collection["model_digest"],
            "dimensions": collection["dimensions"],
            "trusted": int(collection["trusted"]),
            "rows": json.dumps(self.written.rows, sort_keys=True),
            "state": json.dumps(self._state.to_dict(), sort_keys=True),
            "left_out": json.dumps(self.written.left_out, sort_keys=True),
            "compression": self.compression.method,
        }


def _columns(table: str, rows: list[Row]) -> dict[str, Any]:
    """Rows of the log, a dictionary each, as columns."""
    names = {"operation_id": "id"} if table == "operations" else {}
    columns: dict[str, Any] = {}
    for name, kind in TABLES[table].items():
        values = [row[names.get(name, name)] for row in rows]
        if kind == "text":
            encoded = [value.encode("utf-8") for value in values]
            columns[name] = b"".join(encoded), np.fromiter(map(len, encoded), np.int64, len(encoded))
        elif kind == "hash":
            columns[name] = np.frombuffer(b"".join(bytes(value) for value in values), np.uint8)
        else:
            columns[name] = np.fromiter(values, np.dtype(f"<{kind}" if kind != "u1" else "u1"), len(values))
    return columns
