"""A real Airflow in this process: a home of its own, its metadata in SQLite, and the project's dags/ and plugins/.

Its configuration is read at the first import of Airflow, so the environment is set here, before any.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

PROJECT = Path(__file__).resolve().parents[2]
AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="recant-airflow-"))
EVENTS = AIRFLOW_HOME / "events.ndjson"
APPROVER = "alice"
PASSWORD = "only for tests"

os.environ.update(
    {
        "AIRFLOW_HOME": str(AIRFLOW_HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{APPROVER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(AIRFLOW_HOME / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{AIRFLOW_HOME}/airflow.db",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(AIRFLOW_HOME / "logs"),
        "AIRFLOW__API__BASE_URL": "http://127.0.0.1:8080",
        "AIRFLOW__API_AUTH__JWT_SECRET": "only for tests, sixty-four characters long, because it has to be that",
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "recant",
        "AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE": "True",  # an event forks a process: only where a test looks at it
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(EVENTS), "append": True}),
        "GX_ANALYTICS_ENABLED": "false",
    }
)

GUIDE = """# Espresso machines

A guide for people who make coffee at home.

## Descaling

Descale the espresso machine every three months with citric acid, one spoon to a litre of water. Let it run through
twice, then rinse with clear water until the smell is gone.

## Grinding

Grind beans right before brewing. A finer grind slows the water and makes the coffee bitter when it is too fine.
"""
BIRDS = """# Barn swallows

Barn swallows build their nests of mud under roofs and come back to the same nest each spring. They catch insects in
flight and gather on wires before they leave for the south.
"""
CODE = '''"""Temperatures."""


def fahrenheit(celsius: float) -> float:
    """Convert degrees Celsius to degrees Fahrenheit."""
    return celsius * 9 / 5 + 32
'''


@pytest.fixture(scope="session")
def documents_in() -> Callable[[Path], Path]:
    """Makes a folder of two Markdown files and a Python file."""

    def make(parent: Path) -> Path:
        folder = parent / "documents"
        folder.mkdir()
        for name, text in (("espresso.md", GUIDE), ("swallows.md", BIRDS), ("temperature.py", CODE)):
            (folder / name).write_text(text)
        return folder

    return make


@pytest.fixture(scope="session")
def airflow() -> Path:
    """Airflow's home, its metadata tables made."""
    (AIRFLOW_HOME / "passwords.json").write_text(json.dumps({APPROVER: PASSWORD}))
    from airflow.utils.db import initdb

    initdb()
    return AIRFLOW_HOME


def pytest_unconfigure() -> None:
    """Airflow's home is made when this file is read, so it goes even where no test was run."""
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)


@pytest.fixture
def installation(airflow: Path, database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Recant's environment as its tasks see it; the DSN of a fresh database."""
    point_at(database, tmp_path, monkeypatch)
    return database


def point_at(dsn: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process, and so its tasks, work on a database; what is kept beside it goes to the folder."""
    monkeypatch.setenv("RECANT_DSN", dsn)
    monkeypatch.setenv("RECANT_HOME", str(folder / "recant"))
    monkeypatch.setenv("RECANT_EMBEDDER", "local")


@pytest.fixture(scope="module")
def new_database(postgres: Any) -> Iterator[Callable[[str], str]]:
    """Clones databases that live as long as the module: takes a template's name, gives a DSN."""
    made: list[str] = []

    def execute(statement: str) -> None:
        with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def clone(template: str) -> str:
        made.append(f"module_{uuid.uuid4().hex[:12]}")
        execute(f"CREATE DATABASE {made[-1]} TEMPLATE {template} STRATEGY file_copy")
        return postgres.dsn(made[-1])

    yield clone
    for name in made:
        execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def on_database(airflow: Path) -> Callable[[str, Path], AbstractContextManager[Any]]:
    """For what a module's tests share: `with on_database(dsn, folder) as kb:`, the environment pointing there."""

    @contextmanager
    def opened(dsn: str, folder: Path) -> Iterator[Any]:
        import recant

        with pytest.MonkeyPatch.context() as patch:
            point_at(dsn, folder, patch)
            with recant.connect() as knowledge_base:
                yield knowledge_base

    return opened


@pytest.fixture
def kb(installation: str):
    """The knowledge base that the tasks work on."""
    import recant

    with recant.connect() as knowledge_base:
        yield knowledge_base


class Run:
    """A finished run of a DAG."""

    def __init__(self, dag_run: Any) -> None:
        self.run_id: str = dag_run.run_id
        self.dag_id: str = dag_run.dag_id
        self.state = str(dag_run.state)
        instances = dag_run.get_task_instances()
        self.states = {(ti.task_id, ti.map_index): str(ti.state) for ti in instances}
        self.labels = {(ti.task_id, ti.map_index): ti.rendered_map_index for ti in instances}
        self.tries = {(ti.task_id, ti.map_index): ti.try_number for ti in instances}

    def state_of(self, task_id: str, map_index: int = -1) -> str:
        """The state that a task ended in."""
        return self.states[task_id, map_index]

    def states_of(self, task_id: str) -> list[str]:
        """Those of a mapped task's instances."""
        return sorted(state for (name, _), state in self.states.items() if name == task_id)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """What a task left for others."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        with create_session() as session:
            found = session.scalar(
                XComModel.get_many(
                    run_id=self.run_id, key=key, task_ids=task_id, dag_ids=self.dag_id, map_indexes=map_index
                )
            )
            return None if found is None else XComModel.deserialize_value(found)

    def announced(self) -> list[tuple[str | None, str]]:
        """Partition key and kind of the asset events of this run."""
        from airflow.models.asset import AssetEvent
        from airflow.utils.session import create_session
        from sqlalchemy import select

        mine = select(AssetEvent).where(AssetEvent.source_run_id == self.run_id)
        with create_session() as session:
            return [(event.partition_key, event.extra["kind"]) for event in session.scalars(mine)]


@pytest.fixture(scope="module")
def run_on(airflow: Path) -> Callable[..., Run]:
    """For what a module's tests share: `run_on(dag_id, conf)`, on the database that the environment names."""
    return run_to_its_end


@pytest.fixture
def run_dag(installation: str) -> Callable[..., Run]:
    """Runs a DAG of the project to its end, in this process. `change` may alter the DAG before."""
    return run_to_its_end


def run_to_its_end(dag_id: str, conf: dict[str, Any], change: Callable[[Any], None] | None = None) -> Run:
    """The same, on the database that the environment names."""
    dag = _dag(dag_id)
    if change:
        change(dag)
    return Run(dag.test(run_conf=conf))


@pytest.fixture(scope="module")
def known_dags(airflow: Path) -> None:
    """The project's DAGs as the DAG processor would have stored them."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

    manager = DagBundlesManager()
    manager.sync_bundles_to_db()
    for bundle in manager.get_all_dag_bundles():
        bundle.initialize()
        bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
        sync_bag_to_db(bag, bundle.name, bundle.version)


@pytest.fixture
def run_started(installation: str) -> Callable[[str, str], Run]:
    """Runs to its end what another DAG has started: `run_started(dag_id, run_id)`."""

    def run(dag_id: str, run_id: str) -> Run:
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            query = select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
            started = Run(session.scalars(query).one())
        return _resume(started)

    return run


@pytest.fixture
def clear(api: Any) -> Callable[..., Run]:
    """Clears tasks of a finished run, as a person does in the user interface, and runs it to its end again."""

    def clear_and_run(run: Run, *task_ids: str) -> Run:
        what = {"dag_run_id": run.run_id, "dry_run": False, "only_failed": False, "include_downstream": True}
        answer = api.post(
            f"/api/v2/dags/{run.dag_id}/clearTaskInstances", json={**what, "task_ids": [*task_ids] or None}
        )
        answer.raise_for_status()
        return _resume(run)

    return clear_and_run


def _dag(dag_id: str) -> Any:
    """A fresh copy of a DAG, as another process would have it."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk.lineage import get_hook_lineage_collector

    get_hook_lineage_collector.cache_clear()
    dag = DagBag(PROJECT / "dags" / f"{dag_id}.py").dags[dag_id]
    for task in dag.tasks:
        _retry_at_once(task)
    return dag


def _resume(run: Run) -> Run:
    """What the scheduler does with a run that was cleared; the loop of `dag.test`, which only starts new ones."""
    from airflow.models.dagrun import DagRun
    from airflow.sdk.definitions.dag import _run_task
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.utils.session import create_session
    from sqlalchemy import select

    dag = _dag(run.dag_id)
    with create_session() as session:
        dag_run = session.scalars(select(DagRun).where(DagRun.run_id == run.run_id)).one()
        dag_run.dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
        dag_run.state = "running"
        while dag_run.state == "running":
            for ti in dag_run.update_state(session=session)[0]:
                ti.try_number += 1
                ti.state = "scheduled"
            session.commit()
            for ti in dag_run.get_task_instances(session=session):
                if ti.state == "scheduled":
                    _run_task(ti=ti, task=dag.task_dict[ti.task_id])
            session.expire_all()
        return Run(dag_run)


def _retry_at_once(task: Any) -> None:
    from datetime import timedelta

    arguments = getattr(task, "partial_kwargs", None)
    if arguments is None:
        task.retry_delay, task.retry_exponential_backoff = timedelta(0), 0
    else:
        arguments |= {"retry_delay": timedelta(0), "retry_exponential_backoff": 0}


@pytest.fixture(scope="session")
def api(airflow: Path):
    """Airflow's REST API in this process, as the user `alice`."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    client = TestClient(create_app(apps="core"))
    answer = client.post("/auth/token", json={"username": APPROVER, "password": PASSWORD})
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


class Person:
    """Someone at the Required Actions page, in a thread: answers the approval of the next run that asks.

    `meanwhile` is done after the question was asked and before it is answered.
    """

    def __init__(self, api: Any, choice: str, meanwhile: Callable[[], Any] = lambda: None) -> None:
        self.api = api
        self.choice = choice
        self.meanwhile = meanwhile
        self.asked: dict[str, Any] = {}
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._attend, daemon=True)

    def __enter__(self) -> Person:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)
        if self.failure:
            raise self.failure

    def _attend(self) -> None:
        try:
            while not self._stop.wait(0.2) and not self.asked:
                self._answer()
        except BaseException as error:
            self.failure = error

    def _answer(self) -> None:
        waiting = self.api.get("/api/v2/dags/~/dagRuns/~/hitlDetails", params={"response_received": False})
        waiting.raise_for_status()
        for detail in waiting.json()["hitl_details"]:
            ti = detail["task_instance"]
            if ti["state"] != "awaiting_input":  # answered while it is being parked, it would stay parked for ever
                continue
            self.meanwhile()
            path = (
                f"/api/v2/dags/{ti['dag_id']}/dagRuns/{ti['dag_run_id']}/taskInstances/{ti['task_id']}/-1/hitlDetails"
            )
            answer = self.api.patch(path, json={"chosen_options": [self.choice], "params_input": {}})
            answer.raise_for_status()
            self.asked = detail


@pytest.fixture
def person(api: Any) -> Callable[..., Person]:
    """Answers with `Approve` or `Reject` while a run goes on: `with person("Approve") as someone:`."""
    return lambda choice, **options: Person(api, choice, **options)


@pytest.fixture(scope="session")
def events() -> Callable[[str], list[dict[str, Any]]]:
    """What Airflow's OpenLineage provider told of a run, in the order told."""

    def told(run_id: str) -> list[dict[str, Any]]:
        every = [json.loads(line) for line in EVENTS.read_text().splitlines()] if EVENTS.exists() else []
        return [e for e in every if e["run"]["facets"].get("airflow", {}).get("dagRun", {}).get("run_id") == run_id]

    return told
