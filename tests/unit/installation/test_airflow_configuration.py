"""airflow.cfg: read back by Airflow's kind of parser, closed to others, quiet."""

from __future__ import annotations

import configparser
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from recant.installation import airflow_configuration
from recant.installation.airflow_configuration import configured_port, render, transport
from recant.installation.home import Home
from recant.settings import Settings

CONNECTION = "postgresql+psycopg2://airflow:pass%3Dword@127.0.0.1:5433/airflow"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation whose path has a space and a percent sign."""
    root = tmp_path / "100% new place"
    Home(root / ".recant").prepare()
    return Settings(home=root / ".recant", project_root=root)


def parsed(text: str) -> configparser.ConfigParser:
    """The text as Airflow's parser, which interpolates %, sees it."""
    parser = configparser.ConfigParser()
    parser.read_string(text)
    return parser


def test_values_come_back_as_given(settings: Settings) -> None:
    """Paths and DSNs with percent signs survive interpolation."""
    found = parsed(render(settings, sql_alchemy_conn=CONNECTION, port=8081))
    assert found["database"]["sql_alchemy_conn"] == CONNECTION
    assert found["core"]["dags_folder"] == str(settings.project_root / "dags")
    assert found["core"]["plugins_folder"] == str(settings.project_root / "plugins")


def test_airflow_stays_on_loopback(settings: Settings) -> None:
    """The API server binds 127.0.0.1 and tasks call it there."""
    found = parsed(render(settings, sql_alchemy_conn=CONNECTION, port=8081))
    assert (found["api"]["host"], found["api"]["port"]) == ("127.0.0.1", "8081")
    assert found["core"]["execution_api_server_url"] == "http://127.0.0.1:8081/execution/"


def test_same_settings_give_the_same_file(settings: Settings) -> None:
    """Secrets are kept, so that an unchanged installation needs no restart."""
    first = render(settings, sql_alchemy_conn=CONNECTION, port=8081)
    assert render(settings, sql_alchemy_conn=CONNECTION, port=8081) == first
    assert render(settings, sql_alchemy_conn=CONNECTION, port=8082) != first


def test_generated_secrets_are_private(settings: Settings) -> None:
    """Each key has a file of its own that only the owner reads."""
    render(settings, sql_alchemy_conn=CONNECTION, port=8081)
    airflow_configuration.admin_password(Home(settings.home))
    files = list(Home(settings.home).secrets.iterdir())
    assert len(files) == 4
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_login_is_written_for_airflow(settings: Settings) -> None:
    """The password is where SimpleAuthManager looks, and the same each time."""
    home = Home(settings.home)
    password = airflow_configuration.admin_password(home)
    assert json.loads(airflow_configuration.passwords_file(home).read_text()) == {"admin": password}
    assert airflow_configuration.admin_password(home) == password


def test_marquez_only_when_named(settings: Settings) -> None:
    """Events go to the file; to Marquez too when it has an address, without retries that would hold tasks up."""
    found = parsed(render(settings, sql_alchemy_conn=CONNECTION, port=8081))
    assert list(json.loads(found["openlineage"]["transport"])["transports"]) == ["file"]
    named = replace(settings, marquez_url="http://marquez:5000")
    found = parsed(render(named, sql_alchemy_conn=CONNECTION, port=8081))
    marquez = json.loads(found["openlineage"]["transport"])["transports"]["marquez"]
    assert marquez == {"type": "http", "url": "http://marquez:5000", "timeout": 2, "retry": {"total": 0}}


def test_openlineage_understands_the_transport(tmp_path: Path) -> None:
    """The OpenLineage client builds its transport from what we write."""
    from openlineage.client.transport import get_default_factory

    built = get_default_factory().create(transport(tmp_path, "http://127.0.0.1:9"))  # type: ignore[arg-type]
    assert {inner.kind for inner in built.transports} == {"file", "http"}  # type: ignore[attr-defined]


def test_port_is_read_back(settings: Settings) -> None:
    """The port of the last start is known; before the first there is none."""
    home = Home(settings.home)
    assert configured_port(home) is None
    (home.airflow / "airflow.cfg").write_text(render(settings, sql_alchemy_conn=CONNECTION, port=8099))
    assert configured_port(home) == 8099
