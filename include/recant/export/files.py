"""A file that is written: compressed and hashed in a thread of its own, so that reading goes on meanwhile."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import IO, Any, BinaryIO, cast

from recant.errors import OutOfSpace

GZIP_LEVEL = 6
ZSTD_LEVEL = 3
WAITING_BLOCKS = 8
"""Read and not yet written; a block is about a megabyte."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class HashedFile:
    """A new file whose bytes are hashed as they go to the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        self._file: BinaryIO = path.open("xb", buffering=0)

    @property
    def sha256(self) -> str:
        """Of what was written so far, as hex."""
        return self._hash.hexdigest()

    def write(self, block: Any) -> int:
        """All of the block."""
        view = memoryview(block).cast("B")
        done = 0
        while done < len(view):
            done += self._file.write(view[done:]) or 0
        self._hash.update(view)
        self.size_bytes += len(view)
        return len(view)

    def close(self) -> None:
        """On the disk when it returns."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def discard(self) -> None:
        """Closed without a care for the disk."""
        self._file.close()


class BackgroundFile:
    """Takes blocks as fast as they are read, and compresses, hashes and writes them beside it."""

    def __init__(self, path: Path, compression: str = "none") -> None:
        self.file = HashedFile(path)
        self._open = _COMPRESSORS[compression]
        self._blocks: Queue[bytes | None] = Queue(WAITING_BLOCKS)
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._work, name="recant-export", daemon=True)
        self._thread.start()

    def write(self, block: bytes) -> None:
        """Hands a block over. Raises what went wrong with an earlier one."""
        if self._failure is not None:
            raise self._failure
        self._blocks.put(block)

    def close(self) -> None:
        """Waits for all blocks. Raises what went wrong."""
        self._blocks.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        blocks = iter(self._blocks.get, None)
        try:
            with self._open(self.file) as sink:
                for block in blocks:
                    sink.write(block)
            self.file.close()
        except BaseException as error:
            self._failure = error
            self.file.discard()
            for _ in blocks:  # whoever writes must not wait for ever
                pass


@contextmanager
def _plain(file: HashedFile) -> Iterator[IO[bytes]]:
    yield cast(IO[bytes], file)


@contextmanager
def _gzip(file: HashedFile) -> Iterator[IO[bytes]]:
    """No name and no time in it: equal content gives an equal file."""
    with gzip.GzipFile("", "wb", GZIP_LEVEL, cast(IO[bytes], file), mtime=0) as packed:
        yield cast(IO[bytes], packed)


@contextmanager
def _zstd(file: HashedFile) -> Iterator[IO[bytes]]:
    import zstandard

    with zstandard.ZstdCompressor(level=ZSTD_LEVEL).stream_writer(cast(IO[bytes], file), closefd=False) as packed:
        yield cast(IO[bytes], packed)


_COMPRESSORS: dict[str, Callable[[HashedFile], Any]] = {"none": _plain, "gzip": _gzip, "zstd": _zstd}


@contextmanager
def disk_errors() -> Iterator[None]:
    """A full disk, quota or file size limit in our words."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise OutOfSpace(
            f"There is no room for the export ({error.strerror}): what was there before is untouched. Free space and run it again."
        ) from error
