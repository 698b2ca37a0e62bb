"""Commit and branch are read from a checkout's files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from recant.provenance import checkout_context


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit on the branch `night`."""
    git(tmp_path, "init", "-q", "-b", "night")
    git(tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "--allow-empty", "-m", "one")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_and_branch_are_found(checkout: Path):
    """As git itself names them."""
    assert checkout_context(checkout) == {"git_commit": git(checkout, "rev-parse", "HEAD"), "git_branch": "night"}


def test_packed_refs_and_worktrees_are_followed(checkout: Path, tmp_path_factory: pytest.TempPathFactory):
    """After a gc, and in a second worktree."""
    git(checkout, "pack-refs", "--all")
    commit = git(checkout, "rev-parse", "HEAD")
    assert checkout_context(checkout)["git_commit"] == commit
    other = tmp_path_factory.mktemp("other") / "tree"
    git(checkout, "worktree", "add", "-q", "-b", "day", str(other))
    assert checkout_context(other) == {"git_commit": commit, "git_branch": "day"}


def test_a_detached_head_has_no_branch(checkout: Path):
    """The commit is known all the same."""
    git(checkout, "checkout", "-q", "--detach")
    assert checkout_context(checkout) == {"git_commit": git(checkout, "rev-parse", "HEAD")}


def test_a_password_in_the_remote_is_cut(checkout: Path):
    """It would travel into every lineage event."""
    git(checkout, "remote", "add", "origin", "https://me:hunter2@example.org/repo.git")
    assert checkout_context(checkout)["repository"] == "https://example.org/repo.git"


def test_no_checkout_is_no_error(tmp_path: Path):
    """Nothing is known then."""
    assert checkout_context(tmp_path / "nothing") == {}
