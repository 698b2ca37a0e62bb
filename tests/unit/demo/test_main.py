"""`python -m recant.demo` as a whole, without a single service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recant.demo import __main__ as program
from recant.demo import story as stories
from recant.errors import DatabaseUnreachable


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the report is written."""
    monkeypatch.setenv("RECANT_PROJECT", str(tmp_path))
    return tmp_path


def ends(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> int:
    """The exit code of a demo of one step that ends so."""

    def do(_: stories.Story) -> dict[str, Any]:
        if error is not None:
            raise error
        return {}

    monkeypatch.setattr(stories, "STEPS", (("the step", do),))
    return program.main()


def written(project: Path) -> Any:
    """The report."""
    return json.loads((project / "demo-report.json").read_text("utf-8"))


def test_all_held(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    """Exit code 0, and the report says so."""
    assert ends(monkeypatch, None) == 0
    assert written(project)["ok"] is True


def test_a_step_failed(monkeypatch: pytest.MonkeyPatch, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, the report is written all the same, and what still runs can be stopped by `make down`."""
    assert ends(monkeypatch, DatabaseUnreachable("nobody there")) == 1
    assert written(project)["steps"][0]["error"] == "DatabaseUnreachable: nobody there"
    assert "make down" in capsys.readouterr().out


def test_interrupted(monkeypatch: pytest.MonkeyPatch, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 130, and the report says how far it came."""
    assert ends(monkeypatch, KeyboardInterrupt()) == 130
    assert written(project)["ok"] is False
    assert "Interrupted" in capsys.readouterr().out


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    """What nobody foresaw comes with its traceback; the report is written first."""
    with pytest.raises(ZeroDivisionError):
        ends(monkeypatch, ZeroDivisionError())
    assert written(project)["steps"][0]["error"] == "ZeroDivisionError"


def test_settings_that_cannot_be_understood(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and the variable's name."""
    monkeypatch.setenv("RECANT_AIRFLOW_PORT", "zero")
    assert program.main() == 2
    assert "RECANT_AIRFLOW_PORT" in capsys.readouterr().out
