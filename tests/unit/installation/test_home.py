"""The layout of RECANT_HOME."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from recant.errors import Refused
from recant.installation.home import Home


def test_new_home_is_private(tmp_path: Path) -> None:
    """Every folder of a new home is closed to others."""
    home = Home(tmp_path / "a new place" / ".recant").prepare()
    folders = [home.root, home.secrets, home.airflow, home.logs, home.run, home.lineage]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert home.prepare() == home


def test_one_at_a_time(tmp_path: Path) -> None:
    """While one starts or stops the installation another is refused, with a message that names it."""
    home = Home(tmp_path).prepare()
    with home.lock(), pytest.raises(Refused, match="recant up"), home.lock(timeout_seconds=0.05):
        pass
    with home.lock(timeout_seconds=0.05):
        assert (home.root / "installation.lock").exists()
