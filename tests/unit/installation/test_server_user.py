"""Who PostgreSQL runs as, and what is opened for that user."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from recant.installation.server_user import ServerUser, server_user

OTHER = ServerUser((os.getuid(), os.getgid()))


def mode(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_ordinary_user_runs_it_himself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root nothing changes hands and nothing is opened."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    user = server_user(tmp_path)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    user.reach([closed], [closed])
    user.own(closed)
    assert user.popen_arguments() == {}
    assert mode(closed) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes owners")
def test_root_keeps_to_the_owner_of_the_data(tmp_path: Path) -> None:
    """Data made by an ordinary user stays his when root starts the server."""
    os.chown(tmp_path, 12345, 12345)
    assert server_user(tmp_path).identity == (12345, 12345)
    assert server_user(tmp_path / "missing").identity != (0, 0)


def test_ancestors_are_opened_for_passing_only(tmp_path: Path) -> None:
    """Each closed ancestor gets o+x and nothing more: nobody can list what is in it."""
    inner = tmp_path / "closed" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    inner.chmod(0o700)
    OTHER.reach([inner])
    assert (mode(tmp_path / "closed"), mode(inner)) == (0o701, 0o701)


def test_binaries_become_readable(tmp_path: Path) -> None:
    """Programs installed under a strict umask can be read and run by the server's user."""
    program, text = tmp_path / "lib" / "program", tmp_path / "lib" / "text"
    program.parent.mkdir(mode=0o700)
    program.write_text("")
    text.write_text("")
    program.chmod(0o700)
    text.chmod(0o600)
    OTHER.reach([], [program.parent])
    assert (mode(program.parent), mode(program), mode(text)) == (0o705, 0o705, 0o604)
