"""Which code wrote: the commit and branch of a git checkout, read from its files without running git."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from recant.json_types import JSON

_CREDENTIALS = re.compile(r"(?<=://)[^/@]+@")


@cache
def checkout_context(folder: Path) -> dict[str, JSON]:
    """git_commit, git_branch and repository of a checkout; what isn't known is left out. A password in a URL is cut."""
    git = _git_folder(folder)
    if git is None:
        return {}
    head = _read(git / "HEAD")
    branch = head.removeprefix("ref: refs/heads/") if head.startswith("ref: refs/heads/") else None
    commit = _resolve(git, head.removeprefix("ref: ")) if head.startswith("ref: ") else head
    found = {"git_commit": commit, "git_branch": branch, "repository": _origin(git)}
    return {name: value for name, value in found.items() if value}


def _git_folder(folder: Path) -> Path | None:
    dot_git = folder / ".git"
    if dot_git.is_file():  # a worktree: the file names the real folder
        dot_git = (folder / _read(dot_git).removeprefix("gitdir: ")).resolve()
    return dot_git if (dot_git / "HEAD").is_file() else None


def _resolve(git: Path, ref: str) -> str:
    common = (git / _read(git / "commondir")).resolve() if (git / "commondir").is_file() else git
    for place in (git, common):
        if (place / ref).is_file():
            return _read(place / ref)
    lines = _read(common / "packed-refs").splitlines()
    return next((line.split()[0] for line in lines if line.endswith(f" {ref}")), "")


def _origin(git: Path) -> str:
    found = re.search(r'\[remote "origin"\][^\[]*?url\s*=\s*(\S+)', _read(git / "config"))
    url = _CREDENTIALS.sub("", found.group(1)) if found else ""
    return url if "://" in url or "@" in url else ""


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
