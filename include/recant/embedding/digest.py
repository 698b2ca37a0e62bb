"""The sha256 of a model's weights, remembered so that a short-lived process need not read them.

A remembered digest holds for one state of the files: device, inode, size, and the times of the last change of content
and of the inode, in nanoseconds. The inode's time can't be set by ordinary means, so weights that were replaced or
edited in place are read again. Whoever writes vectors reads the weights in any case (`fresh_digest`).
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

CACHE_FILE = "model-digests.json"
_MAX_REMEMBERED = 64


def weights_digest(files: Sequence[Path], root: Path, cache_dir: Path | None) -> str:
    """The digest of `files` as `fresh_digest` gives it, remembered in `cache_dir` (None: computed each time).

    A cache that can't be read or written is no error: the weights are read instead.
    """
    if cache_dir is None:
        return fresh_digest(files, root)
    key = _state(files)
    remembered = _read_cache(cache_dir / CACHE_FILE)
    if key not in remembered:
        remembered[key] = fresh_digest(files, root)
        with suppress(OSError):
            _write_cache(cache_dir / CACHE_FILE, remembered)
    return remembered[key]


def fresh_digest(files: Sequence[Path], root: Path) -> str:
    """Hexadecimal sha256 of the one weights file; of several, the sha256 of their sha256sum-style listing."""
    digests = {file.relative_to(root).as_posix(): _sha256(file) for file in sorted(files)}
    if len(digests) == 1:
        return next(iter(digests.values()))
    listing = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    return hashlib.sha256(listing.encode()).hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _state(files: Sequence[Path]) -> str:
    def one(file: Path) -> str:
        stat = file.stat()
        return f"{file}:{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"

    return hashlib.sha256("\n".join(one(file) for file in sorted(files)).encode(errors="surrogateescape")).hexdigest()


def _read_cache(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {str(key): value for key, value in content.items() if isinstance(value, str) and len(value) == 64}


def _write_cache(path: Path, digests: dict[str, str]) -> None:
    """Replace the file in one step, so that a reader beside us sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "w") as stream:
            json.dump(dict(list(digests.items())[-_MAX_REMEMBERED:]), stream, indent=1)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
