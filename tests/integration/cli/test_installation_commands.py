"""`up`, `down`, `status`, `doctor` on an installation of their own, without Airflow and without a model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recant import installation
from recant.installation.ports import free_port
from recant.settings import read_settings
from tests.integration.cli.command_line import Run


@pytest.fixture
def installed(recant: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """A command line whose database is the embedded one of an installation that isn't up yet."""
    monkeypatch.delenv("RECANT_DSN")
    monkeypatch.setenv("RECANT_POSTGRES_PORT", str(free_port(25432)))
    yield recant
    installation.down(read_settings())


def relay_is_known(installed: Run) -> bool:
    """Whether the relay has registered its file, which it does soon after its start."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = installed("lineage", "status", "--json").document["destinations"]
        if [destination["destination"] for destination in found] == ["file"]:
            return True
        time.sleep(0.1)
    return False


def test_up_status_and_down(installed: Run, tmp_path: Path) -> None:
    """What was started is shown with its address, is there to use, can be started again, and stops."""
    assert installed("status").code == 3
    up = installed("up", "--no-airflow", "--json")
    assert up.code == 0
    assert up.document["home"] == str(tmp_path / "home")
    assert up.document["airflow"] is None
    assert up.document["migrations"][0] == "0001_roles.sql"
    assert "PostgreSQL listens on" in up.err

    status = installed("status", "--json")
    assert status.code == 0
    assert status.document["parts"]["postgres"]["address"] == up.document["postgres"]
    assert status.document["parts"]["airflow-scheduler"]["running"] is False
    assert "running" in installed("status").out

    assert installed("log").out == "No such operation.\n"
    again = installed("up", "--no-airflow")
    assert up.document["postgres"] in again.out
    assert "PostgreSQL listens on" not in again.err

    assert relay_is_known(installed)
    assert "file" in installed("lineage", "status").out

    down = installed("down", "--json")
    assert down.code == 0
    assert {"postgres", "lineage-relay"} <= set(down.document["stopped"])
    assert installed("down").out == "Nothing was running.\n"
    assert installed("log").code == 3


def test_doctor_before_and_after(installed: Run) -> None:
    """Without a database something has failed, and each failure says what to do; afterwards nothing has."""
    before = installed("doctor", "--json")
    assert before.code == 1
    failed = {check["name"]: check["advice"] for check in before.document["checks"] if check["state"] == "failed"}
    assert "recant up" in failed["database"]
    assert "database" in installed("doctor").out
    installed("up", "--no-airflow")
    after = installed("doctor", "--json")
    assert (after.code, after.document["ok"]) == (0, True)
