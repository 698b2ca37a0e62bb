"""The installation without Airflow: brought up, taken down, mended, on its own database or the user's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from recant.errors import DatabaseUnreachable, OutOfSpace, Refused
from recant.installation import Check, doctor, down, dsn_for, embedder_state, installation, status, up
from recant.installation.databases import metadata_version, prepare_metadata, record_metadata_version
from recant.installation.dsn import embedded_postgres
from recant.installation.environment import process_environment
from recant.installation.home import Home
from recant.settings import Settings


@pytest.fixture
def settings(reachable_folder: Path) -> Iterator[Settings]:
    """An installation without an embedder in a path with a space; taken down at the end."""
    home = reachable_folder / "a new place" / uuid.uuid4().hex / ".recant"
    settings = Settings(home=home, embedder="local")
    yield settings
    down(settings)
    shutil.rmtree(home.parent, ignore_errors=True)


def processes_in(folder: Path) -> list[int]:
    """Processes whose working directory is under the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(folder)):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def pids(settings: Settings) -> dict[str, Any]:
    """Process ids of the parts that run."""
    return {name: part["pid"] for name, part in status(settings).items() if part["running"]}


def checks(settings: Settings) -> dict[str, Check]:
    """What the doctor found, by name."""
    return {check.name: check for check in doctor(settings)}


def test_up_gives_a_migrated_database(settings: Settings) -> None:
    """After `up` the library's role logs in, has what the worker role has, and is no superuser."""
    started = up(settings, airflow=False)
    assert "0001_roles.sql" in started.migrations
    with psycopg.connect(dsn_for(settings)) as connection:
        row = connection.execute("SELECT current_user, pg_has_role('recant_worker', 'USAGE')").fetchone()
        assert row == ("recant_app", True)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE ROLE intruder")
    with psycopg.connect(dsn_for(settings, "admin")) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("postgres",)


def test_up_again_changes_nothing(settings: Settings) -> None:
    """Everything that runs stays, no migration is applied twice, and it takes a moment only."""
    up(settings, airflow=False)
    before, began = pids(settings), time.monotonic()
    assert up(settings, airflow=False).migrations == ()
    assert pids(settings) == before
    assert set(before) == {"postgres", "lineage-relay"}
    assert time.monotonic() - began < 5


def test_data_survives_down_and_up(settings: Settings) -> None:
    """What was written is there after a stop and a start."""
    up(settings, airflow=False)
    with psycopg.connect(dsn_for(settings, "admin")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    assert set(down(settings)) == {"postgres", "lineage-relay"}
    up(settings, airflow=False)
    with psycopg.connect(dsn_for(settings, "admin")) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)


def test_down_leaves_no_process(settings: Settings) -> None:
    """No process of the installation is left, not even one whose pid file was lost; nor a sign of one."""
    up(settings, airflow=False)
    (Home(settings.home).run / "lineage-relay.pid.json").unlink()
    down(settings)
    assert processes_in(settings.home) == []
    assert pids(settings) == {}
    assert down(settings) == []


def test_down_without_a_home_makes_none(settings: Settings) -> None:
    """Taking down what never was does nothing and creates nothing."""
    assert down(settings) == []
    assert pids(settings) == {}
    assert not settings.home.exists()


def test_nothing_running_says_what_to_do(settings: Settings) -> None:
    """Asking for the database before `up` names the command."""
    with pytest.raises(DatabaseUnreachable, match="recant up"):
        dsn_for(settings)


def test_killed_part_is_noticed_and_mended(settings: Settings) -> None:
    """A relay killed from outside is reported by `doctor` and started anew by `up`, while Postgres stays."""
    up(settings, airflow=False)
    before = pids(settings)
    assert checks(settings)["processes"].state == "ok"
    os.kill(before["lineage-relay"], signal.SIGKILL)
    deadline = time.monotonic() + 5
    while "lineage-relay" in pids(settings):
        assert time.monotonic() < deadline
    assert checks(settings)["processes"].state == "failed"
    up(settings, airflow=False)
    after = pids(settings)
    assert after["postgres"] == before["postgres"]
    assert after["lineage-relay"] != before["lineage-relay"]


def test_new_settings_reach_what_runs(settings: Settings) -> None:
    """`up` with another Marquez starts the relay anew; with another agent it doesn't."""
    up(settings, airflow=False)
    relay = pids(settings)["lineage-relay"]
    up(replace(settings, agent="somebody"), airflow=False)
    assert pids(settings)["lineage-relay"] == relay
    up(replace(settings, marquez_url="http://127.0.0.1:9"), airflow=False)
    assert pids(settings)["lineage-relay"] != relay


def test_taken_port_is_told(settings: Settings) -> None:
    """When the port is taken another is used, and the progress says which."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        told: list[str] = []
        started = up(replace(settings, postgres_port=taken), airflow=False, progress=told.append)
    assert started.postgres_address is not None
    assert int(started.postgres_address.rpartition(":")[2]) > taken
    assert any(started.postgres_address in line for line in told)


def test_interrupted_up_can_be_repeated(settings: Settings) -> None:
    """Ctrl-C in the middle of a first start leaves a state from which `up` and `down` work."""
    code = "from recant.installation import up; from recant.settings import read_settings as r; up(r(), airflow=False)"
    for delay in (0.6, 1.0, 1.4):
        starter = subprocess.Popen([sys.executable, "-c", code], env=process_environment(settings))
        time.sleep(delay)
        starter.send_signal(signal.SIGINT)
        starter.wait(timeout=60)
    up(settings, airflow=False)
    assert set(pids(settings)) == {"postgres", "lineage-relay"}
    down(settings)
    assert processes_in(settings.home) == []


def test_own_database_needs_no_embedded_one(settings: Settings, empty_database: str) -> None:
    """With a DSN of the user's the schema goes there, and no Postgres is started."""
    own = replace(settings, dsn=empty_database)
    started = up(own, airflow=False)
    assert started.postgres_address is None
    assert dsn_for(own) == dsn_for(own, "admin") == empty_database
    assert set(pids(own)) == {"lineage-relay"}
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regclass('recant.operation') IS NOT NULL").fetchone() == (True,)
    assert down(own) == ["lineage-relay"]


def test_administrator_migrates_for_the_application(settings: Settings, empty_database: str) -> None:
    """Where RECANT_ADMIN_DSN is set, that role migrates."""
    own = replace(settings, dsn="postgresql://nobody@127.0.0.1:1/x", admin_dsn=empty_database)
    assert dsn_for(own, "admin") == empty_database
    assert dsn_for(own) == own.dsn


def test_airflow_can_not_reach_the_knowledge(settings: Settings) -> None:
    """Each login is kept to its own database: neither Airflow's nor the library's gets into the other's."""
    up(settings, airflow=False)
    postgres = embedded_postgres(settings)
    prepare_metadata(postgres)
    with psycopg.connect(postgres.dsn("airflow", "airflow")) as connection:
        connection.execute("CREATE TABLE its_own (id int)")
    for database, role in (("recant", "airflow"), ("airflow", "recant_app")):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(postgres.dsn(database, role))


def test_metadata_version_goes_with_its_database(settings: Settings) -> None:
    """The version of Airflow's tables is remembered, and forgotten when their database is dropped."""
    up(settings, airflow=False)
    postgres = embedded_postgres(settings)
    prepare_metadata(postgres)
    assert metadata_version(postgres) is None
    record_metadata_version(postgres, "Airflow 3.3.2")
    assert metadata_version(postgres) == "Airflow 3.3.2"
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE airflow")
    prepare_metadata(postgres)
    assert metadata_version(postgres) is None


def test_second_start_at_once_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody else starts the installation, `up` says so and changes nothing."""
    home = Home(settings.home).prepare()
    real = Home.lock
    with monkeypatch.context() as patched, real(home):
        patched.setattr(Home, "lock", lambda self, **_: real(self, timeout_seconds=0.05))
        with pytest.raises(Refused, match="at work"):
            up(settings, airflow=False)
    assert pids(settings) == {}


def test_full_disk_is_refused_early(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """With too little room nothing is begun, and the message says how much is needed and where."""
    monkeypatch.setattr(installation, "MIN_FREE_BYTES", 2**62)
    with pytest.raises(OutOfSpace, match="RECANT_HOME"):
        up(settings, airflow=False)
    assert not settings.home.exists()


def test_embedder_is_a_part_unless_switched_off(settings: Settings) -> None:
    """The resident embedder is started, says where it listens, and its state file goes with it."""
    with_embedder = replace(settings, embedder="auto")
    up(with_embedder, airflow=False)
    deadline = time.monotonic() + 60
    while not embedder_state(settings).exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    state = json.loads(embedder_state(settings).read_text())
    assert status(with_embedder)["embedder"]["address"] == f"http://127.0.0.1:{state['port']}"
    assert set(down(with_embedder)) == {"postgres", "lineage-relay", "embedder"}
    assert not embedder_state(settings).exists()


def test_switched_off_embedder_is_stopped_too(settings: Settings) -> None:
    """An embedder that was started with other settings goes with `down` as well."""
    up(replace(settings, embedder="auto"), airflow=False)
    down(settings)
    assert processes_in(settings.home) == []


def test_embedder_that_can_not_load_is_noticed(settings: Settings) -> None:
    """An embedder without its model ends; `doctor` says so, and its log says why."""
    broken = replace(settings, embedder="auto", model="/no/such/model")
    up(broken, airflow=False)
    deadline = time.monotonic() + 60
    while status(broken)["embedder"]["running"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "embedder" in checks(broken)["processes"].detail
    assert "/no/such/model" in Path(status(broken)["embedder"]["log"]).read_text()


def test_doctor_finds_an_open_secret(settings: Settings) -> None:
    """A readable password file fails the check; closed again it passes."""
    up(settings, airflow=False)
    assert checks(settings)["secrets"].state == "ok"
    secret = Home(settings.home).secrets / "postgres_password"
    secret.chmod(0o644)
    assert checks(settings)["secrets"].state == "failed"
    secret.chmod(0o600)
    assert checks(settings)["secrets"].state == "ok"


def test_doctor_looks_at_the_machine(settings: Settings) -> None:
    """Python, the model's weights and the schema are found right; a missing Airflow is a warning."""
    up(settings, airflow=False)
    found = checks(settings)
    names = ("python", "model weights", "database", "schema", "ports")
    assert {name: found[name].state for name in names} == dict.fromkeys(names, "ok")
    assert found["dags"].state == "warning"


def test_doctor_works_when_nothing_runs(settings: Settings) -> None:
    """Before the first `up` the database fails its check and nothing is created by looking."""
    found = checks(settings)
    assert (found["database"].state, found["schema"].state) == ("failed", "failed")
    assert not settings.home.exists()


def test_doctor_finds_a_missing_migration(settings: Settings, empty_database: str) -> None:
    """A database without the schema is reachable but fails the schema's check, whose advice is `recant migrate`."""
    found = checks(replace(settings, dsn=empty_database))
    assert found["database"].state == "ok"
    assert found["schema"].state == "failed"
    assert found["schema"].advice == "Run `recant migrate`"


def test_doctor_wants_room(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nearly full disk is a warning that says where."""
    monkeypatch.setattr(sys.modules["recant.installation.doctor"], "COMFORTABLE_FREE_BYTES", 2**62)
    assert checks(settings)["disk space"].state == "warning"


def test_doctor_knows_changed_weights(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights whose hash is not the known one fail the check."""
    monkeypatch.setattr(sys.modules["recant.installation.doctor"], "WEIGHTS_SHA256", "0" * 64)
    assert checks(settings)["model weights"].state == "failed"
    assert checks(replace(settings, model="/my/model"))["model weights"].state == "ok"
