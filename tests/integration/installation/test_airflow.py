"""The installation with Airflow: healthy, private, healed, gone."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from recant.installation import Installation, airflow, doctor, down, status, up
from recant.installation.airflow_api import AirflowApi, AirflowUnreachable
from recant.settings import PROJECT_ROOT, Settings

pytestmark = pytest.mark.airflow

DAG = """
import os, sys
from airflow.sdk import dag, task

@dag(schedule=None)
def look_around():
    @task
    def look():
        import psycopg
        from recant.installation import dsn_for
        from recant.settings import read_settings
        with psycopg.connect(dsn_for(read_settings())) as connection:
            return connection.execute("SELECT current_user::text").fetchone()[0]
    look()

look_around()
"""
PARTS = {"postgres", "lineage-relay", *airflow.ARGUMENTS}


@pytest.fixture(scope="module")
def settings(reachable_folder: Path) -> Iterator[Settings]:
    """A project of one good and one broken DAG in a path with a space; taken down at the end."""
    root = reachable_folder / "a new place" / "with airflow"
    shutil.copytree(PROJECT_ROOT / "init-scripts", root / "init-scripts")
    (root / "dags").mkdir()
    (root / "plugins").mkdir()
    (root / "dags" / "look_around.py").write_text(DAG)
    (root / "dags" / "break_at_once.py").write_text("from airflow.sdk import dag\nraise ValueError('made of cheese')\n")
    settings = Settings(home=root / ".recant", project_root=root, embedder="local")
    yield settings
    down(settings)


@pytest.fixture(scope="module")
def running(settings: Settings) -> Installation:
    """The installation, up."""
    return up(settings)


def family(settings: Settings) -> list[psutil.Process]:
    """Every living process of the installation."""
    leaders = [part["pid"] for part in status(settings).values() if part["running"]]
    found = [p for p in psutil.process_iter() if p.pid in leaders or session(p) in leaders]
    return [p for p in found if is_alive(p)]


def session(process: psutil.Process) -> int | None:
    """The session's id; None when the process has ended meanwhile."""
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


def is_alive(process: psutil.Process) -> bool:
    """Neither gone nor a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def on_every(processes: list[psutil.Process], look: Callable[[psutil.Process], list[Any]]) -> list[Any]:
    """What is found at the processes that are still there."""
    found: list[Any] = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += look(process)
    return found


def run_look_around(server: AirflowApi) -> dict[str, Any]:
    """Trigger the DAG and wait for the end; the task instance and what it returned."""
    path = "/dags/look_around"
    deadline = time.monotonic() + 120
    while True:
        try:
            server.get(path)
            break
        except AirflowUnreachable:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    run = post(server, f"{path}/dagRuns", {"logical_date": None})["dag_run_id"]
    while server.get(f"{path}/dagRuns/{run}")["state"] not in ("success", "failed"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    task: dict[str, Any] = server.get(f"{path}/dagRuns/{run}/taskInstances/look")
    returned = server.get(f"{path}/dagRuns/{run}/taskInstances/look/xcomEntries/return_value")
    return task | {"returned": returned["value"]}


def post(server: AirflowApi, path: str, body: dict[str, Any]) -> Any:
    """POST as the administrator."""
    headers = {"Authorization": f"Bearer {server._token()}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/api/v2{path}", json.dumps(body).encode(), headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
        return json.load(response)


def test_every_part_is_healthy(settings: Settings, running: Installation) -> None:
    """`up` returns when all four components answer as healthy."""
    assert {name for name, part in status(settings).items() if part["running"]} == PARTS
    server = airflow.api(settings)
    assert server is not None
    assert server.url == running.airflow_url
    assert {state["status"] for state in server.health().values()} == {"healthy"}


def test_task_finds_the_installation(settings: Settings, running: Installation) -> None:
    """A task connects to the knowledge as the application's role, without being told where it is."""
    server = airflow.api(settings)
    assert server is not None
    task = run_look_around(server)
    assert (task["state"], task["returned"]) == ("success", "recant_app")
    assert (settings.home / "lineage" / "airflow-events.ndjson").exists()


def sockets(process: psutil.Process) -> list[Any]:
    """Of a process that lives; the kernel shows a dead one's to root only."""
    try:
        return process.net_connections("inet")
    except psutil.AccessDenied:
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        return []


def test_everything_listens_on_loopback_only(settings: Settings, running: Installation) -> None:
    """No process of the installation listens on any address but 127.0.0.1."""
    connections = on_every(family(settings), sockets)
    listening = [connection.laddr for connection in connections if connection.status == psutil.CONN_LISTEN]
    assert len({address.port for address in listening}) >= 2
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_no_secret_in_arguments_or_logs(settings: Settings, running: Installation) -> None:
    """No generated password or key stands in a process's arguments or in a log."""
    secrets = [path.read_text().strip() for path in (settings.home / "secrets").iterdir()]
    secrets += [str(running.airflow_password)]
    shown = " ".join(on_every(family(settings), lambda process: process.cmdline()))
    shown += "".join(path.read_text("utf-8", "replace") for path in (settings.home / "logs").rglob("*.log"))
    assert [secret for secret in secrets if secret in shown] == []


def test_login_is_the_generated_one(running: Installation) -> None:
    """`admin` with the kept password gets in, another password doesn't."""
    url, user = running.airflow_url, running.airflow_user
    assert url is not None
    assert user == "admin"
    assert AirflowApi(url, user, str(running.airflow_password)).get("/version")["version"].startswith("3.3.")
    with pytest.raises(AirflowUnreachable, match="401"):
        AirflowApi(url, user, "admin").get("/version")


def test_doctor_names_the_broken_dag(settings: Settings, running: Installation) -> None:
    """A DAG that can't be imported is reported with its error."""
    deadline = time.monotonic() + 60
    while (check := {c.name: c for c in doctor(settings)}["dags"]).state != "failed":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert "break_at_once.py" in check.detail
    assert "made of cheese" in check.detail


def test_up_again_is_quick_and_heals(settings: Settings, running: Installation) -> None:
    """What runs stays; a killed component alone is started anew."""
    before, began = status(settings), time.monotonic()
    assert up(settings).airflow_url == running.airflow_url
    assert time.monotonic() - began < 5
    assert {name: part["pid"] for name, part in status(settings).items()} == {n: p["pid"] for n, p in before.items()}
    os.kill(before["airflow-triggerer"]["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while status(settings)["airflow-triggerer"]["running"]:
        assert time.monotonic() < deadline
    up(settings)
    after = status(settings)
    changed = {name for name in PARTS if after[name]["pid"] != before[name]["pid"]}
    assert changed == {"airflow-triggerer"}


def test_down_leaves_nothing(settings: Settings, running: Installation) -> None:
    """After `down` no process of the installation is left and its ports are free."""
    processes = family(settings)
    assert set(down(settings)) == PARTS
    assert [process for process in processes if is_alive(process)] == []
    with pytest.raises(AirflowUnreachable, match="does not answer"):
        AirflowApi(str(running.airflow_url), "admin", "").health()
