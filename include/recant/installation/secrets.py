"""Generated passwords and keys, one file each, that only the owner can read. Never in argv, logs or the repository."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def private_folder(folder: Path) -> Path:
    """The folder, made with its parents when missing, closed to everybody but the owner."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def keep_secret(path: Path, generate: Callable[[], str] = lambda: secrets.token_urlsafe(24)) -> str:
    """The secret kept in the file; generated and written (mode 0600) the first time.

    Two processes that ask at once get the same one: the file appears whole, and the first to link it wins.
    """
    with contextlib.suppress(FileNotFoundError):
        return path.read_text("utf-8").strip()
    private_folder(path.parent)
    candidate = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        write_private(candidate, generate() + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(candidate, path)
    finally:
        candidate.unlink(missing_ok=True)
    return path.read_text("utf-8").strip()


def write_private(path: Path, text: str) -> None:
    """Write a new file that is never readable by others, not even for a moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def replace_private(path: Path, text: str) -> None:
    """Put the text in place at once: a reader sees the old file or the new one, and nobody else sees either."""
    candidate = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        write_private(candidate, text)
        candidate.replace(path)
    finally:
        candidate.unlink(missing_ok=True)
