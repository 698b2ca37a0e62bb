"""A Marquez of the installation's own: started, found again, stopped. (A stand-in for Java plays it; `make test-marquez` runs one.)"""

from __future__ import annotations

import shutil
import stat
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from recant.errors import ConfigurationError
from recant.installation import PartFailed, doctor, down, status, up
from recant.installation.dsn import embedded_postgres
from recant.installation.marquez import is_healthy
from recant.settings import Settings, read_settings
from tests.integration.lineage.lineage_collector import Collector

JAVA = """import http.server, json, sys
from pathlib import Path

if sys.argv[1:] == ["-version"]:
    sys.exit(print('openjdk version "{version}" 2021-09-14', file=sys.stderr))
jar, configuration = sys.argv[sys.argv.index("-jar") + 1], sys.argv[-1]
if not Path(jar).read_text():
    sys.exit("Error: Invalid or corrupt jarfile")
settings = json.loads(Path(configuration).read_text().partition("\\n")[2])

import psycopg

database = settings["db"]
host = database["url"].partition("://")[2]
with psycopg.connect(f"postgresql://{{database['user']}}:{{database['password']}}@{{host}}") as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS public.starts (at timestamptz DEFAULT now())")
    connection.execute("INSERT INTO public.starts DEFAULT VALUES")


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/admin/healthcheck" else 404)
        self.end_headers()

    def log_message(self, *arguments):
        pass


address = settings["server"]["connector"]
http.server.ThreadingHTTPServer((address["bindHost"], address["port"]), Answers).serve_forever()
"""


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of Java 17, which is the one that is used."""
    return install_java(tmp_path / "java", "17.0.1", monkeypatch)


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    """A file that isn't empty."""
    path = tmp_path / "marquez api.jar"
    path.write_text("a jar")
    return path


@pytest.fixture
def settings(reachable_folder: Path) -> Iterator[Settings]:
    """An installation without an embedder; taken down at the end."""
    home = reachable_folder / uuid.uuid4().hex / ".recant"
    settings = Settings(home=home, embedder="local")
    yield settings
    down(settings)
    shutil.rmtree(home.parent, ignore_errors=True)


def install_java(folder: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """JAVA_HOME with a program that says that it is this version."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    script = program.with_suffix(".py")
    script.write_text(JAVA.format(version=version))
    program.write_text(
        f"#!/bin/sh\nexec '{sys.executable}' '{script}' \"$@\"\n"
    )  # a shebang can't name a path with a space
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(folder))
    return folder


def starts(settings: Settings) -> int:
    """How often Marquez came up on its database."""
    postgres = embedded_postgres(settings)
    with psycopg.connect(postgres.dsn("marquez", "marquez")) as connection:
        row = connection.execute("SELECT count(*) FROM public.starts").fetchone()
    assert row
    return int(row[0])


def found(settings: Settings, name: str) -> tuple[str, str]:
    """State and detail of one of the doctor's checks."""
    (check,) = [check for check in doctor(settings) if check.name == name]
    return check.state, check.detail


def test_a_jar_is_run_remembered_and_stopped(settings: Settings, java: Path, jar: Path) -> None:
    """It has a role and a database, is well when `up` returns, is found by the next one, and goes with the rest."""
    told: list[str] = []
    started = up(replace(settings, marquez_jar=jar), airflow=False, progress=told.append)
    assert started.marquez_url
    assert f"Marquez starts at {started.marquez_url}" in told
    assert urllib.request.urlopen(f"{started.marquez_url}/admin/healthcheck").status == 200
    part = status(settings)["marquez"]
    assert (part["running"], part["address"]) == (True, started.marquez_url)
    assert found(settings, "marquez") == ("ok", f"healthy at {started.marquez_url}")

    again = up(settings, airflow=False)
    assert again.marquez_url == started.marquez_url
    assert status(settings)["marquez"]["pid"] == part["pid"]
    assert status(settings)["lineage-relay"]["running"]

    assert "marquez" in down(settings)
    assert not is_healthy(f"{started.marquez_url}/admin/healthcheck")
    assert status(settings)["marquez"]["running"] is False
    up(settings, airflow=False)
    assert starts(settings) == 2


def test_its_password_is_for_the_owner_only(settings: Settings, java: Path, jar: Path) -> None:
    """The configuration is closed to others; the role reaches no other database."""
    up(replace(settings, marquez_jar=jar), airflow=False)
    written = settings.home / "marquez" / "config.yml"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert stat.S_IMODE(written.parent.stat().st_mode) == 0o700
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(embedded_postgres(settings).dsn("recant", "marquez"))


def test_another_jar_takes_its_place(settings: Settings, java: Path, jar: Path, tmp_path: Path) -> None:
    """A newer Marquez is started at the same address; one that is gone is said to be, and everything else comes up."""
    first = up(replace(settings, marquez_jar=jar), airflow=False)
    pid = status(settings)["marquez"]["pid"]
    newer = tmp_path / "newer.jar"
    newer.write_text("another jar")
    second = up(replace(settings, marquez_jar=newer), airflow=False)
    assert (second.marquez_url, status(settings)["marquez"]["pid"] != pid) == (first.marquez_url, True)
    newer.unlink()
    told: list[str] = []
    assert up(settings, airflow=False, progress=told.append).marquez_url is None
    assert f"Marquez' jar {newer} is gone: Marquez isn't started" in told
    assert status(settings)["marquez"]["running"] is False


def test_a_jar_that_is_none_says_so(settings: Settings, java: Path, tmp_path: Path) -> None:
    """The error ends with what Java said; the database and the relay are up all the same."""
    broken = tmp_path / "broken.jar"
    broken.touch()
    with pytest.raises(PartFailed, match="corrupt jarfile"):
        up(replace(settings, marquez_jar=broken), airflow=False)
    assert status(settings)["postgres"]["running"]
    assert status(settings)["lineage-relay"]["running"]


def test_what_is_given_must_be_there(settings: Settings, jar: Path, tmp_path: Path) -> None:
    """A file that isn't there, or a jar beside MARQUEZ_URL: refused before anything is started."""
    with pytest.raises(ConfigurationError, match="no file"):
        up(replace(settings, marquez_jar=tmp_path / "none.jar"), airflow=False)
    with pytest.raises(ConfigurationError, match="one of them"):
        up(replace(settings, marquez_jar=jar, marquez_url="http://127.0.0.1:1"), airflow=False)
    assert not status(settings)["postgres"]["running"]


def test_without_java_17_it_says_so(
    settings: Settings, jar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older Java, or none: the message names what is needed."""
    install_java(tmp_path / "old", "1.8.0_292", monkeypatch)
    with pytest.raises(ConfigurationError, match="Java 17 or later; .* is 8"):
        up(replace(settings, marquez_jar=jar), airflow=False)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match="everything else works"):
        up(replace(settings, marquez_jar=jar), airflow=False)


def test_a_marquez_elsewhere_is_asked_by_the_doctor(settings: Settings) -> None:
    """None is no fault; one that doesn't answer is a warning, without its password."""
    assert found(settings, "marquez")[0] == "ok"
    with Collector() as collector:
        pass
    away = replace(settings, marquez_url=collector.url.replace("://", "://me:topsecret@"))
    assert found(away, "marquez") == ("warning", f"{collector.url} doesn't answer: lineage events wait")


def test_the_jar_comes_from_the_environment(tmp_path: Path) -> None:
    """MARQUEZ_JAR, as an absolute path; RECANT_MARQUEZ_PORT is a port."""
    found = read_settings({"MARQUEZ_JAR": "~/marquez.jar", "RECANT_MARQUEZ_PORT": "5005"})
    assert (found.marquez_jar, found.marquez_port) == (Path("~/marquez.jar").expanduser(), 5005)
    with pytest.raises(ValueError, match="RECANT_MARQUEZ_PORT"):
        read_settings({"RECANT_MARQUEZ_PORT": "70000"})
