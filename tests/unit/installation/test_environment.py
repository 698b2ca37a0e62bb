"""What started programs see: our settings, nobody else's, and no way out."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from recant.installation.environment import fingerprint, process_environment, settings_environment
from recant.settings import Settings, read_settings

FULL = Settings(
    home=Path("/some where/.recant"),
    dsn="postgresql://u:p@h/d",
    collection="c",
    agent="a",
    model="/m",
    model_dtype="float32",
    device="cpu",
    embedder="local",
    postgres_port=6000,
    airflow_port=9000,
    marquez_url="http://marquez:5000",
    lineage_namespace="n",
    max_document_bytes=3 * 1024 * 1024,
    project_root=Path("/some where"),
)


@pytest.mark.parametrize("settings", [FULL, Settings(home=Path("/h"), project_root=Path("/p"))])
def test_settings_survive_the_environment(settings: Settings) -> None:
    """A started program reads the very settings that its starter had."""
    assert read_settings(settings_environment(settings)) == settings


def test_administrator_stays_behind() -> None:
    """Background programs never learn the migrating role's DSN."""
    settings = replace(FULL, admin_dsn="postgresql://root:secret@h/d")
    assert "secret" not in str(process_environment(settings))


def test_foreign_variables_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another project's Airflow configuration in the shell does not reach ours."""
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://production")
    monkeypatch.setenv("AIRFLOW_HOME", "/elsewhere")
    monkeypatch.setenv("OPENLINEAGE_URL", "http://elsewhere")
    monkeypatch.setenv("KEPT", "yes")
    environment = process_environment(FULL)
    assert environment["KEPT"] == "yes"
    assert not [name for name in environment if name.startswith(("AIRFLOW", "OPENLINEAGE"))]


def test_nothing_calls_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telemetry is off and model hubs are not asked, unless the user says so."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert process_environment(FULL)["GX_ANALYTICS_ENABLED"] == "false"
    assert process_environment(FULL)["HF_HUB_OFFLINE"] == "1"
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert process_environment(FULL)["HF_HUB_OFFLINE"] == "0"


def test_loopback_goes_round_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the user's is kept for the world, and never asked for this machine."""
    monkeypatch.setenv("no_proxy", "intranet")
    environment = process_environment(FULL)
    assert environment["no_proxy"] == "intranet,127.0.0.1,localhost"
    assert "127.0.0.1" in environment["NO_PROXY"]


def test_programs_of_this_python_come_first() -> None:
    """`airflow` and its like are those beside our own interpreter."""
    assert process_environment(FULL)["PATH"].startswith(f"{Path(sys.executable).parent}:")


def test_fingerprint_follows_what_a_program_must_know() -> None:
    """Another Marquez makes another fingerprint, another agent doesn't."""
    assert fingerprint(FULL) == fingerprint(replace(FULL, agent="b"))
    assert fingerprint(FULL) != fingerprint(replace(FULL, marquez_url=None))
