"""The file under HDF5 while it is written. HDF5 can't be closed once a write has failed (its library then crashes the
process at some later time), so it isn't told: what fails is remembered, and raised when HDF5 is done.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


class Sink:
    """A new file, for h5py's driver for Python file objects. `error` is the first thing that went wrong."""

    def __init__(self, descriptor: int) -> None:
        self.error: OSError | None = None
        self._descriptor = descriptor
        self._place = 0
        self._size = 0
        self._unwritten: dict[int, bytes] = {}

    def check(self) -> None:
        """Raises what went wrong. Called often, so that little is held that couldn't be written."""
        if self.error is not None:
            raise self.error

    def write(self, data: Any) -> int:
        """All of it, always."""
        view = memoryview(data).cast("B")
        if self.error is None:
            try:
                self._write(view)
            except OSError as error:
                self.error = error
        if self.error is not None:
            self._unwritten[self._place] = bytes(view)
        self._place += len(view)
        self._size = max(self._size, self._place)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """As much as is asked for."""
        view = memoryview(buffer).cast("B")
        found = os.pread(self._descriptor, len(view), self._place) if self.error is None else b""
        found = self._unwritten.get(self._place, found)
        view[: len(found)] = found
        view[len(found) :] = bytes(len(view) - len(found))
        self._place += len(view)
        return len(view)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As any file's."""
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Asked for by h5py to tell what is a file; it reads by `readinto`."""
        found = bytearray(self._size - self._place if size < 0 else size)
        self.readinto(found)
        return bytes(found)

    def tell(self) -> int:
        """As any file's."""
        return self._place

    def truncate(self, size: int | None = None) -> int:
        """As any file's."""
        self._size = self._place if size is None else size
        if self.error is None:
            try:
                os.ftruncate(self._descriptor, self._size)
            except OSError as error:
                self.error = error
        return self._size

    def flush(self) -> None:
        """Nothing is held back."""

    def _write(self, view: memoryview) -> None:
        written = 0
        while written < len(view):
            written += os.pwrite(self._descriptor, view[written:], self._place + written)


@contextmanager
def new_file(path: Path) -> Iterator[Sink]:
    """A sink for a file that isn't there yet, locked while it is written. Raises in the end what it couldn't tell HDF5."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        sink = Sink(descriptor)
        yield sink
        sink.check()
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_abandoned(path: Path) -> bool:
    """Whether nobody is writing the file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:
        return False
