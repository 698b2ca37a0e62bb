"""Opens files without ever waiting on one: only regular files, and never more of them than the limit."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from recant.ingestion.document import LeftOut

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_file(path: str) -> BinaryIO:
    """A regular file, opened for reading. Raises LeftOut `missing` or `unreadable`; never blocks on a pipe."""
    try:
        require_regular(os.stat(path).st_mode)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        require_regular(os.fstat(descriptor).st_mode)
    except LeftOut:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_whole(file: BinaryIO, max_bytes: int) -> bytes:
    """All of an open file. One that is larger than `max_bytes` is not read: LeftOut `too_large`."""
    size_bytes = os.fstat(file.fileno()).st_size
    if size_bytes > max_bytes:
        raise too_large(size_bytes, max_bytes)
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes:  # it grew meanwhile, or its file system tells no size
        raise too_large(len(data), max_bytes, at_least=True)
    return data


def modified_at(file: BinaryIO) -> float:
    """When an open file was changed last, in seconds since 1970."""
    return os.fstat(file.fileno()).st_mtime


def too_large(size_bytes: int, max_bytes: int, *, at_least: bool = False) -> LeftOut:
    """The rejection of a document over the limit, with both sizes."""
    size = f"{'at least ' if at_least else ''}{size_bytes:,} bytes"
    return LeftOut("too_large", f"it has {size}, the limit is {max_bytes:,}: split it, or raise RECANT_MAX_DOCUMENT_MB")


def unreadable(path: str, error: OSError) -> LeftOut:
    """What an operating system's error means for the document."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        if os.path.islink(path):
            return LeftOut("missing", "it is a link to a file that doesn't exist: repair the link, or remove it")
        return LeftOut("missing", "there is no such file: check the path")
    if isinstance(error, PermissionError):
        return LeftOut("unreadable", "permission denied: let the user who runs this read it")
    return LeftOut("unreadable", f"it can't be read ({error.strerror or error}): check the path and the disk")


def require_regular(mode: int) -> None:
    """Raises LeftOut `unreadable` for what isn't a regular file, by its mode as `stat` tells it."""
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "no regular file")
        raise LeftOut("unreadable", f"it is {kind}, not a file: name a file")
