"""Walks folders and expands globs, always in the same order. Links to folders are not followed: no loops, no escapes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import TypeAlias

SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "venv", "CVS"})
"""Besides hidden ones (`.git`, `.venv`, …) and virtual environments of any name: nobody's writing."""

OnError: TypeAlias = Callable[[OSError], None]

_MAGIC = re.compile(r"[*?\[]")


def is_glob(path: str) -> bool:
    """Whether a path has wildcards: `*`, `?`, `[…]`, and `**` for any number of folders."""
    return _MAGIC.search(path) is not None


def files_under(folder: str, on_error: OnError) -> Iterator[os.DirEntry[str]]:
    """All files in a folder and its subfolders, by path; hidden ones and SKIPPED_FOLDERS left out.

    A folder that can't be read is told to `on_error`, and the walk goes on.
    """
    waiting = list(reversed(_entries(folder, on_error)))
    while waiting:
        entry = waiting.pop()
        if not _is_folder(entry):
            if not entry.name.startswith("."):
                yield entry
        elif _is_walked(entry):
            waiting.extend(reversed(_entries(entry.path, on_error)))


def files_matching(pattern: str, on_error: OnError) -> Iterator[os.DirEntry[str]]:
    """The files that an absolute glob matches, by folder and name, each once.

    Wildcards don't match hidden names unless they begin with a dot themselves.
    """
    parts = pattern.strip("/").split("/")
    fixed = next(place for place, part in enumerate(parts) if is_glob(part))
    seen: set[str] = set()
    for entry in _matching("/" + "/".join(parts[:fixed]), parts[fixed:], on_error):
        if entry.path not in seen:
            seen.add(entry.path)
            yield entry


def _matching(folder: str, parts: list[str], on_error: OnError) -> Iterator[os.DirEntry[str]]:
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _matching(folder, rest or ["*"], on_error)
        for entry in _entries(folder, on_error):
            if _is_folder(entry) and _is_walked(entry):
                yield from _matching(entry.path, parts, on_error)
        return
    for entry in _entries(folder, on_error):
        if not fnmatchcase(entry.name, part) or (entry.name.startswith(".") and not part.startswith(".")):
            continue
        is_folder = _is_folder(entry)
        if not rest and not is_folder:
            yield entry
        elif rest and is_folder:
            yield from _matching(entry.path, rest, on_error)


def _entries(folder: str, on_error: OnError) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        on_error(error)
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """False for a link that leads to itself, or to where we may not look: what opens it says what is wrong with it."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_walked(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or entry.name in SKIPPED_FOLDERS or entry.is_symlink():
        return False
    return not os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
