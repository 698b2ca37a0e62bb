"""The command as a program of its own: pipes, signals, and what it loads."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.library import Library

HEAVY = "torch pandas airflow great_expectations sentence_transformers transformers openlineage docutils lxml httpx"
CLI = [sys.executable, "-c", "from recant.cli import main; main()"]


@pytest.fixture
def environment(database: str, tmp_path: Path) -> dict[str, str]:
    """Where a program of ours finds this test's database."""
    here = Path(__file__).resolve().parents[3]
    ours = {"RECANT_DSN": database, "RECANT_HOME": str(tmp_path / "home"), "RECANT_AGENT": "tester"}
    return {**os.environ, **ours, "PYTHONPATH": str(here / "include"), "TERM": "dumb"}


def loaded(arguments: list[str], environment: dict[str, str]) -> set[str]:
    """The heavy modules that a command line has imported when it ends."""
    code = (
        "import json, sys\nfrom recant.cli.app import run\n"
        f"code = run({arguments!r})\n"
        f"print('\\n' + json.dumps([m for m in {HEAVY.split()!r} + ['numpy', 'rich'] if m in sys.modules]))\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["log"], ["show", "1"], ["blast-radius", "--agent", "a"], ["collections"]])
def test_reading_the_log_loads_nothing_heavy(
    library: Library, environment: dict[str, str], arguments: list[str]
) -> None:
    """No model, no frame, no Airflow."""
    library.publish({"a": "one"})
    assert not loaded(arguments, environment) & set(HEAVY.split())


def test_help_loads_next_to_nothing(environment: dict[str, str]) -> None:
    """Not even numpy."""
    assert loaded(["--help"], environment) <= {"rich"}


def test_a_reader_that_leaves_is_no_error(library: Library, environment: dict[str, str]) -> None:
    """`recant log | head` ends quietly, with the exit code that a shell knows it by."""
    library.publish({"a": "one"})
    process = subprocess.Popen([*CLI, "log"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=30), said) == (141, b"")


def test_nobody_there_is_3(environment: dict[str, str]) -> None:
    """A database that can't be reached: one line with what to do."""
    environment["RECANT_DSN"] = "postgresql://postgres:secret@127.0.0.1:1/recant"
    done = subprocess.run([*CLI, "log", "--json"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["type"] == "DatabaseUnreachable"
    assert "recant up" in done.stderr
    assert "secret" not in done.stdout + done.stderr


def test_a_wrong_password_is_3_and_named(database: str, environment: dict[str, str]) -> None:
    """Told apart from a server that isn't there; the password isn't shown."""
    before, _, after = database.partition("@")
    scheme, _, _ = before.rpartition(":")
    environment["RECANT_DSN"] = f"{scheme}:wrong-password@{after}"
    done = subprocess.run([*CLI, "log"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "refused the user or the password" in done.stderr
    assert "wrong-password" not in done.stderr


def test_without_an_installation_it_says_recant_up(environment: dict[str, str]) -> None:
    """Nothing was ever started: what to do is in the line."""
    del environment["RECANT_DSN"]
    done = subprocess.run([*CLI, "log"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "run `recant up`" in done.stderr


def test_output_is_plain_in_an_ascii_locale(library: Library, environment: dict[str, str]) -> None:
    """An old locale can't hold every character; the JSON still says the same."""
    library.publish({"a": "one"}, agent="zoë")
    environment |= {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([*CLI, "log", "--json"], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["operations"][0]["agent"] == "zoë"
    text = subprocess.run([*CLI, "log"], env=environment, capture_output=True, text=True, check=False)
    assert (text.returncode, text.stderr) == (0, "")


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a page that never comes: the connection is taken, and nothing is answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/page.md"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_ingest_is_aborted(
    library: Library, environment: dict[str, str], silent_server: str, number: signal.Signals, code: int
) -> None:
    """Ctrl-C, SIGTERM and a lost terminal alike abort the operation at once; nothing of it is visible, and a line says so."""
    process = subprocess.Popen(
        [*CLI, "ingest", silent_server], env=environment, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # tests that run under nohup pass on that it's ignored
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not any(operation.state == "open" for operation in library.log.find()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert "nothing half-written is visible" in said
    assert "Traceback" not in said
    [operation] = library.log.find()
    assert (operation.state, operation.reason) == ("aborted", "interrupted")
