"""The command line on a database of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from recant.cli import main
from tests.integration.cli.command_line import Ended, Run


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installation that nobody else has, run by somebody called tester."""
    monkeypatch.setenv("RECANT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECANT_AGENT", "tester")
    monkeypatch.setenv("RECANT_EMBEDDER", "local")


@pytest.fixture
def recant(outside: None, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in this process, on a database of its own."""
    monkeypatch.setenv("RECANT_DSN", database)

    def run(*arguments: str | Path) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run
