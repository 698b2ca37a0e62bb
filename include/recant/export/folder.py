"""A folder that is replaced in one step: whoever looks sees all of the old or all of the new.

The new one is made beside it, on the same file system, under a hidden name, and changes places with it. A process that is
killed leaves the old one whole, and a hidden folder that the next export to the same place removes.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from recant.errors import UsageError
from recant.export.manifest import MANIFEST, require_replaceable

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_RENAME_SWAP = 2


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `target` when the block ends, and goes when it raises.

    Raises UsageError where the folder above can't be written to, Refused where the place holds anything but an export.
    """
    staged, held = _stage(target)
    try:
        yield staged
        _sync(staged)
        _put_in_place(staged, target)
    finally:
        _remove(staged)
        os.close(held)


def check_replaceable(target: Path) -> None:
    """Raises Refused where the place holds anything but an export. Asked between replacements, never during one."""
    with _locked(target.parent) if target.parent.is_dir() else nullcontext():
        require_replaceable(target)


def _stage(target: Path) -> tuple[Path, int]:
    """A new folder and the lock on it; those of processes that are gone are removed first."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent):
            _recover(target)
            for left in target.parent.glob(f".{_escaped(target.name)}.recant-*"):
                _remove_unheld(left)
            staged = target.parent / f".{target.name}.recant-{uuid.uuid4().hex[:12]}"
            staged.mkdir()
            held = os.open(staged, os.O_RDONLY)
            fcntl.flock(held, fcntl.LOCK_EX)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{target.parent} can't be written to: {error.strerror}.") from error
    return staged, held


def _put_in_place(staged: Path, target: Path) -> None:
    with _locked(target.parent):
        require_replaceable(target)
        if not target.exists():
            staged.rename(target)
        elif not _exchange(staged, target):
            _replace_in_two_steps(staged, target)
        _sync(target.parent)


def _replace_in_two_steps(staged: Path, target: Path) -> None:
    """Where the file system can't exchange names. Between the two steps there is none; `_recover` mends a crash there."""
    aside = _aside(target)
    target.rename(aside)
    staged.rename(target)
    _remove(aside)


def _recover(target: Path) -> None:
    aside = _aside(target)
    if aside.exists():
        if target.exists():
            _remove(aside)
        else:
            aside.rename(target)


def _aside(target: Path) -> Path:
    return target.parent / f".{target.name}.previous-recant"


def _exchange(one: Path, other: Path) -> bool:
    """Lets two names change places in one step; False where the system or the file system can't."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if sys.platform == "linux" and hasattr(libc, "renameat2"):
        failed = libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
    elif hasattr(libc, "renamex_np"):
        failed = libc.renamex_np(*names, _RENAME_SWAP)
    else:
        return False
    if failed and (code := ctypes.get_errno()) not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise OSError(code, os.strerror(code), str(other))
    return not failed


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _remove_unheld(left: Path) -> None:
    with suppress(OSError):
        held = os.open(left, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(left)
        finally:
            os.close(held)


def _remove(folder: Path) -> None:
    """The manifest first: whoever still looks into an old folder finds what it names, or no manifest."""
    with suppress(OSError):
        (folder / MANIFEST).unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _sync(folder: Path) -> None:
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
