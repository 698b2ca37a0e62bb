"""What the client makes of an API server that is gone, refuses, or has nothing. (The demo itself asks a real one.)"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from recant.demo.airflow_client import AirflowClient, AirflowSilent, RunFailed

Answers = dict[tuple[str, str], tuple[int, Any]]


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], str]]:
    """Starts a server on loopback that answers (method, path) with (status, JSON); its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(answers: Answers) -> str:
        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.split("?")[0].removeprefix("/api/v2")
                status, document = answers.get((self.command, path), (404, {"detail": "not found"}))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            do_GET = do_POST = do_PATCH = _answer

            def log_message(self, *args: object) -> None:
                """Nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


TOKEN: Answers = {("POST", "/auth/token"): (201, {"access_token": "t"})}


def test_nobody_answers() -> None:
    """A server that isn't there is named, and trying again can help."""
    with AirflowClient("http://127.0.0.1:1", "admin", "secret") as client, pytest.raises(AirflowSilent) as raised:
        client.trigger("ingest_documents", {})
    assert "http://127.0.0.1:1" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_wrong_password_is_refused(serve: Callable[[Answers], str]) -> None:
    """The status and what was asked are in the message."""
    url = serve({("POST", "/auth/token"): (401, {"detail": "Invalid credentials"})})
    with AirflowClient(url, "admin", "wrong") as client, pytest.raises(RunFailed, match="401 to POST /auth/token"):
        client.trigger("ingest_documents", {})


def test_a_bad_parameter_is_quoted(serve: Callable[[Answers], str]) -> None:
    """What Airflow says about the conf is in the message."""
    path = "/dags/ingest_documents/dagRuns"
    url = serve(TOKEN | {("POST", path): (400, {"detail": "sources: [] is too short"})})
    with AirflowClient(url, "admin", "p") as client, pytest.raises(RunFailed, match="is too short"):
        client.trigger("ingest_documents", {"sources": []})


def test_a_dag_that_never_appears(serve: Callable[[Answers], str]) -> None:
    """After the time-out the import errors say why."""
    error = {"filename": "dags/x.py", "stack_trace": "Traceback …\nSyntaxError: oops\n"}
    url = serve(TOKEN | {("GET", "/importErrors"): (200, {"import_errors": [error]})})
    with AirflowClient(url, "admin", "p") as client, pytest.raises(AirflowSilent, match=r"x\.py: SyntaxError: oops"):
        client.wait_for_dag("x", timeout_seconds=0)


def test_a_paused_dag_is_unpaused(serve: Callable[[Answers], str]) -> None:
    """One that is parsed but paused would never run."""
    answers = TOKEN | {("GET", "/dags/x"): (200, {"is_paused": True}), ("PATCH", "/dags/x"): (200, {})}
    with AirflowClient(serve(answers), "admin", "p") as client:
        client.wait_for_dag("x", timeout_seconds=0)


def run_of(state: str, *tasks: dict[str, Any]) -> Answers:
    """A run of DAG `x` with id `r 1`, in that state, with those tasks."""
    run = "/dags/x/dagRuns/r%201"
    return TOKEN | {
        ("GET", run): (200, {"state": state}),
        ("GET", f"{run}/taskInstances"): (200, {"task_instances": tasks}),
    }


def test_a_failed_run_tells_the_end_of_its_log(serve: Callable[[Answers], str]) -> None:
    """Which task failed, what it said last, and where to look."""
    task = {"task_id": "gate", "map_index": -1, "state": "failed", "try_number": 2, "operator": "O"}
    log = {
        ("GET", "/dags/x/dagRuns/r%201/taskInstances/gate/logs/2"): (200, {"content": [{"event": "GateFailed: no"}]})
    }
    url = serve(run_of("failed", task) | log)
    with AirflowClient(url, "admin", "p") as client, pytest.raises(RunFailed, match="gate: GateFailed: no") as raised:
        client.wait("x", "r 1", lambda tasks: None)
    assert f"{url}/dags/x/runs/r%201" in str(raised.value)


def test_a_run_that_asks_nothing(serve: Callable[[Answers], str]) -> None:
    """Nothing to withdraw: the run ends well and there is no question."""
    with AirflowClient(serve(run_of("success")), "admin", "p") as client:
        assert client.wait_for_question("x", "r 1", lambda tasks: None) is None


def test_a_run_that_takes_too_long(serve: Callable[[Answers], str]) -> None:
    """The time-out names the run and its state."""
    url = serve(run_of("running"))
    with AirflowClient(url, "admin", "p") as client, pytest.raises(AirflowSilent, match="still running"):
        client.wait("x", "r 1", lambda tasks: None, timeout_seconds=0)


def test_reading_is_tried_again() -> None:
    """A server that fails twice and then answers has answered."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._say(201, {"access_token": "t"})

        def do_GET(self) -> None:
            asked.append(self.path)
            self._say(200 if len(asked) > 2 else 503, {"value": 7})

        def _say(self, status: int, document: Any) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with AirflowClient(f"http://127.0.0.1:{server.server_port}", "admin", "p") as client:
            assert client.result("x", "r", "t") == 7
        server.shutdown()
    assert len(asked) == 3


def test_many_tasks_come_in_pages(serve: Callable[[Answers], str]) -> None:
    """A page that isn't full is the last."""
    task = {"task_id": "t", "map_index": 0, "state": "success", "try_number": 1}
    seen: list[int] = []
    with AirflowClient(serve(run_of("success", *[task] * 99)), "admin", "p") as client:
        client.wait("x", "r 1", lambda tasks: seen.append(len(tasks)))
    assert seen == [99]
