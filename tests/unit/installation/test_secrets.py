"""Generated secrets: steady, and for the owner only."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from recant.installation.secrets import keep_secret, private_folder, replace_private, write_private


def mode(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_secret_is_generated_once(tmp_path: Path) -> None:
    """The first call generates, later calls give the same."""
    path = tmp_path / "secrets" / "key"
    first = keep_secret(path)
    assert len(first) >= 32
    assert keep_secret(path) == first
    assert keep_secret(tmp_path / "secrets" / "other") != first


def test_secret_is_for_the_owner_only(tmp_path: Path) -> None:
    """File 0600, folder 0700, nothing else left in the folder."""
    path = tmp_path / "secrets" / "key"
    keep_secret(path)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert [child.name for child in path.parent.iterdir()] == ["key"]


def test_many_at_once_get_the_same(tmp_path: Path) -> None:
    """Whoever asks at the same moment gets the one secret that is kept."""
    path, found = tmp_path / "key", []
    threads = [threading.Thread(target=lambda: found.append(keep_secret(path))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {path.read_text().strip()}
    assert len(found) == 16


def test_own_generator_is_used(tmp_path: Path) -> None:
    """A secret of a certain form comes from its own generator."""
    assert keep_secret(tmp_path / "key", lambda: "form") == "form"


def test_existing_file_is_not_written_over(tmp_path: Path) -> None:
    """Writing a new private file refuses one that is there."""
    path = tmp_path / "file"
    write_private(path, "first")
    with pytest.raises(FileExistsError):
        write_private(path, "second")
    assert path.read_text() == "first"


def test_replaced_file_is_private_whatever_was_there(tmp_path: Path) -> None:
    """A readable file becomes a private one when it is replaced."""
    path = tmp_path / "file"
    path.write_text("open")
    path.chmod(0o644)
    replace_private(path, "closed")
    assert (path.read_text(), mode(path)) == ("closed", 0o600)


def test_open_folder_is_closed(tmp_path: Path) -> None:
    """A folder that stood open is closed to others."""
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    assert mode(private_folder(folder)) == 0o700
