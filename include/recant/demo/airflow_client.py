"""What the demo asks of Airflow, over its public REST API, as a person with a login would. Loopback only, no proxy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import httpx

from recant.errors import TerminalError, TransientError

FINAL_STATES = ("success", "failed")
POLL_SECONDS = 0.3
READ_ATTEMPTS = 4
PAGE = 100
LOG_LINES = 12


class AirflowSilent(TransientError):
    """Airflow's REST API did not answer, or not in time."""


class RunFailed(TerminalError):
    """A DAG run did not end well; the message holds the failed tasks and the end of their logs."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task instance of a run."""

    task_id: str
    map_index: int
    """-1 for a task that isn't mapped."""
    state: str | None
    """None before it is scheduled."""
    try_number: int

    @property
    def is_over(self) -> bool:
        """Whether it will do nothing more."""
        return self.state in ("success", "failed", "skipped", "upstream_failed", "removed")


@dataclass(frozen=True, slots=True)
class Question:
    """What a human-in-the-loop task asks."""

    task_id: str
    map_index: int
    subject: str
    body: str
    """Markdown."""
    options: tuple[str, ...]


Watcher = Callable[[list[TaskState]], None]


class AirflowClient:
    """One user's session with the API server. Use as a context manager."""

    def __init__(self, url: str, user: str, password: str, *, timeout_seconds: float = 30) -> None:
        self.url = url.rstrip("/")
        self._credentials = {"username": user, "password": password}
        self._http = httpx.Client(base_url=self.url, timeout=timeout_seconds, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()

    def wait_for_dag(self, dag_id: str, *, timeout_seconds: float = 120) -> None:
        """Returns once the DAG is parsed, and unpauses it. Raises AirflowSilent with Airflow's import errors."""
        deadline = time.monotonic() + timeout_seconds
        while (dag := self._find(f"/dags/{quote(dag_id)}")) is None:
            if time.monotonic() > deadline:
                raise AirflowSilent(
                    f"Airflow has no DAG {dag_id} after {timeout_seconds:.0f} s. {self._import_errors()}"
                )
            time.sleep(POLL_SECONDS)
        if dag["is_paused"]:
            self._call("PATCH", f"/dags/{quote(dag_id)}", {"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Starts a run and returns its id. Raises RunFailed when the DAG refuses the parameters."""
        answer = self._call("POST", f"/dags/{quote(dag_id)}/dagRuns", {"logical_date": None, "conf": conf})
        return str(answer["dag_run_id"])

    def wait(self, dag_id: str, run_id: str, watch: Watcher, *, timeout_seconds: float = 1800) -> None:
        """Returns when the run has succeeded; `watch` sees its tasks now and then. Raises RunFailed, AirflowSilent."""
        for state, tasks in self._polls(dag_id, run_id, timeout_seconds):
            watch(tasks)
            if state == "failed":
                raise RunFailed(self._why(dag_id, run_id, tasks))
            if state == "success":
                return

    def wait_for_question(
        self, dag_id: str, run_id: str, watch: Watcher, *, timeout_seconds: float = 300
    ) -> Question | None:
        """The question that a task waits with; None when the run ended without one. Raises RunFailed, AirflowSilent."""
        for state, tasks in self._polls(dag_id, run_id, timeout_seconds):
            watch(tasks)
            if state == "failed":
                raise RunFailed(self._why(dag_id, run_id, tasks))
            waiting = next((task for task in tasks if task.state == "awaiting_input"), None)
            if waiting is not None:
                return self._question(dag_id, run_id, waiting)
            if state == "success":
                return None
        return None

    def answer(self, dag_id: str, run_id: str, question: Question, option: str) -> dict[str, Any]:
        """Answers as this user. Returns who answered what, and when."""
        body = {"chosen_options": [option], "params_input": {}}
        answered: dict[str, Any] = self._call("PATCH", self._question_path(dag_id, run_id, question), body)
        return answered

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/xcomEntries/return_value"
        return self._call("GET", path)["value"]

    def page_of(self, dag_id: str, run_id: str) -> str:
        """Where a person sees the run."""
        return f"{self.url}/dags/{quote(dag_id)}/runs/{quote(run_id)}"

    def _polls(self, dag_id: str, run_id: str, timeout_seconds: float) -> Iterator[tuple[str, list[TaskState]]]:
        deadline = time.monotonic() + timeout_seconds
        while True:
            state = self._call("GET", _run_path(dag_id, run_id))["state"]
            yield state, self._tasks(dag_id, run_id)
            if state in FINAL_STATES:
                return
            if time.monotonic() > deadline:
                raise AirflowSilent(f"The run {run_id} of {dag_id} is still {state} after {timeout_seconds:.0f} s.")
            time.sleep(POLL_SECONDS)

    def _tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        names = ("task_id", "map_index", "state", "try_number")
        found: list[TaskState] = []
        while True:
            path = f"{_run_path(dag_id, run_id)}/taskInstances?limit={PAGE}&offset={len(found)}"
            page = self._call("GET", path)["task_instances"]
            found += [TaskState(**{name: task[name] for name in names}) for task in page]
            if len(page) < PAGE:
                return found

    def _question(self, dag_id: str, run_id: str, task: TaskState) -> Question:
        asked = Question(task.task_id, task.map_index, "", "", ())
        detail = self._call("GET", self._question_path(dag_id, run_id, asked))
        options = tuple(detail["options"])
        return Question(task.task_id, task.map_index, detail["subject"], detail["body"] or "", options)

    def _question_path(self, dag_id: str, run_id: str, question: Question) -> str:
        task = f"{quote(question.task_id)}/{question.map_index}"
        return f"{_run_path(dag_id, run_id)}/taskInstances/{task}/hitlDetails"

    def _why(self, dag_id: str, run_id: str, tasks: list[TaskState]) -> str:
        failed = [task for task in tasks if task.state == "failed"]
        said = "".join(f"\n{task.task_id}: {self._log_tail(dag_id, run_id, task)}" for task in failed[:2])
        return f"The run {run_id} of {dag_id} failed (look at {self.page_of(dag_id, run_id)}).{said}"

    def _log_tail(self, dag_id: str, run_id: str, task: TaskState) -> str:
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task.task_id)}/logs/{task.try_number}"
        content = self._call("GET", f"{path}?map_index={task.map_index}")["content"]
        lines = [line if isinstance(line, str) else str(line["event"]) for line in content]
        return "\n  ".join(lines[-LOG_LINES:])

    def _import_errors(self) -> str:
        errors = self._call("GET", "/importErrors")["import_errors"]
        return " ".join(f"{e['filename']}: {e['stack_trace'].strip().splitlines()[-1]}" for e in errors[:3])

    def _find(self, path: str) -> Any:
        response = self._send("GET", path, None)
        return None if response.status_code == httpx.codes.NOT_FOUND else _content(response)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return _content(self._send(method, path, body))

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        """Reading is tried again: an API server beside an embedding model may be slow now and then."""
        attempts = READ_ATTEMPTS if method == "GET" else 1
        for attempt in range(1, attempts + 1):
            try:
                response = self._authorised().request(method, f"/api/v2{path}", json=body)
            except httpx.HTTPError as error:
                if attempt == attempts:
                    told = error or type(error).__name__
                    raise AirflowSilent(f"Airflow at {self.url} does not answer: {told}") from error
            else:
                if attempt == attempts or not response.is_server_error:
                    return response
            time.sleep(POLL_SECONDS * attempt)
        raise AssertionError("the last attempt returns or raises")

    def _authorised(self) -> httpx.Client:
        if "Authorization" not in self._http.headers:
            token = _content(self._http.post("/auth/token", json=self._credentials))["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"
        return self._http


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}"


def _content(response: httpx.Response) -> Any:
    if response.is_error:
        told = " ".join(response.text.split())[:500]
        kind = AirflowSilent if response.is_server_error else RunFailed
        raise kind(f"Airflow answered {response.status_code} to {response.request.method} {response.url.path}: {told}")
    return response.json()
