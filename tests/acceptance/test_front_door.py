"""The front door, walked through once for real: the demo in a home of its own, told again, and taken down."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1200)]
PROJECT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def place() -> Iterator[dict[str, str]]:
    """The environment of an installation that nobody else has, in a path with a space; down again afterwards."""
    with TemporaryDirectory(prefix="recant acceptance ", ignore_cleanup_errors=True) as name:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RECANT_", "AIRFLOW", "MARQUEZ_"))}
        ports = {"RECANT_POSTGRES_PORT": str(free_port()), "RECANT_AIRFLOW_PORT": str(free_port())}
        env = {**kept, **ports, "RECANT_HOME": f"{name}/home", "COLUMNS": "100"}
        yield env
        down(env)


@pytest.fixture(scope="module")
def demo(
    place: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], dict]:
    """The demo's first run, and its report."""
    return tell(place, tmp_path_factory.mktemp("report") / "demo-report.json")


def run(env: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, cwd=PROJECT, capture_output=True, text=True, check=False)


def down(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run(env, str(Path(sys.executable).with_name("recant")), "down")


def tell(env: dict[str, str], report: Path) -> tuple[subprocess.CompletedProcess[str], dict]:
    ended = run(env, sys.executable, "-m", "recant.demo", "--report", str(report))
    return ended, json.loads(report.read_text())


def processes_of(env: dict[str, str]) -> list[psutil.Process]:
    """Those whose command line, working folder or environment names this home."""
    home, found = env["RECANT_HOME"], []
    for process in psutil.process_iter():
        try:
            told = [*process.cmdline(), process.cwd(), process.environ().get("RECANT_HOME", "")]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(home in word for word in told):
            found.append(process)
    return found


def test_every_step_of_the_demo_holds(demo):
    """Up, bootstrap, question, poison, blast radius, rollback with approval, the same answer, what next."""
    ended, report = demo
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-2000:]
    assert report["ok"] is True
    assert len(report["steps"]) == 8
    assert all(step["ok"] and step["seconds"] >= 0 for step in report["steps"])


def test_the_poison_is_seen_and_then_never_was(demo):
    """The hits are equal byte for byte before and after, and others in between."""
    _, report = demo
    before, poisoned, after = (json.dumps(report[f"hits_{when}"]) for when in ("before", "poisoned", "after"))
    assert before == after != poisoned
    assert report["certificate"]["verified"] is True
    assert report["certificate"]["approved_by"] == "admin"


def test_the_story_is_plain_text_in_a_pipe(demo):
    """No colours, no progress bars, no tracebacks."""
    ended, _ = demo
    assert "\x1b" not in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


def test_secrets_stay_where_they_belong(demo, place: dict[str, str]):
    """Files that only the owner can read; none of them in a log, an event, the report or a command line."""
    _, report = demo
    home = Path(place["RECANT_HOME"])
    files = [f for f in (home / "secrets").rglob("*") if f.is_file()]
    assert files
    assert {stat.S_IMODE(f.stat().st_mode) & 0o077 for f in files} == {0}
    secrets = [f.read_text().strip() for f in files if f.suffix != ".json" and "dsn" not in f.name]
    secrets = [secret for secret in secrets if len(secret) >= 16 and "\n" not in secret]
    assert secrets
    told = [json.dumps(report), *(" ".join(p.cmdline()) for p in processes_of(place))]
    told += [
        f.read_text(errors="replace")
        for folder in ("logs", "lineage")
        for f in (home / folder).rglob("*")
        if f.is_file()
    ]
    assert not [name for name in secrets if any(name in text for text in told)]


def listening(process: psutil.Process) -> list[str]:
    """Addresses; of a dead process the kernel shows them to root only."""
    try:
        return [c.laddr.ip for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return []


def test_everything_listens_on_loopback_only(demo, place: dict[str, str]):
    """Postgres, the embedder and Airflow's parts."""
    addresses = [address for process in processes_of(place) for address in listening(process)]
    assert len(addresses) >= 3
    assert set(addresses) <= {"127.0.0.1", "::1"}


def test_lineage_of_every_operation_is_in_the_file(demo, place: dict[str, str]):
    """A START and a COMPLETE for each run, delivered by the relay."""
    events = [
        json.loads(line) for line in (Path(place["RECANT_HOME"]) / "lineage" / "events.ndjson").read_text().splitlines()
    ]
    told = {(e["run"]["facets"]["recant_operation"]["kind"], e["eventType"]) for e in events}
    assert {("ingest", "START"), ("ingest", "COMPLETE"), ("rollback", "START"), ("rollback", "COMPLETE")} <= told


def test_the_demo_again_starts_from_what_is_there(demo, place: dict[str, str], tmp_path: Path):
    """Nothing is embedded again, and every step holds again."""
    ended, report = tell(place, tmp_path / "again.json")
    assert ended.returncode == 0, ended.stdout[-3000:]
    counts = next(step["counts"] for step in report["steps"] if "counts" in step)
    assert (counts.get("documents", 0), counts.get("embedded", 0)) == (0, 0)
    assert counts["unchanged"] > 100


def test_down_leaves_nothing_running(demo, place: dict[str, str]):
    """And says what it stopped."""
    ended = down(place)
    assert ended.returncode == 0, ended.stderr
    assert processes_of(place) == []
