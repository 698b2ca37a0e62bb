"""A real Marquez is told everything: what it then knows, and what it makes of failures, repetitions and haste."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

import recant
from recant.ingestion.request import IngestRequest
from recant.lineage import Deliveries, collection_dataset, lineage_status
from recant.lineage.courier import Courier
from recant.lineage.destinations import MarquezDestination
from recant.lineage.naming import marquez_place
from recant.lineage.outbox import attach_destination
from recant.lineage.relay import deliver_pending
from recant.oplog import Attribution, Dataset, OperationLog
from recant.settings import Settings, read_settings
from recant.store import Database
from tests.benchmarks.synthetic_log import SyntheticLog
from tests.conftest import throwaway_database
from tests.integration.lineage.test_every_kind import do_everything
from tests.marquez_server import Marquez

pytestmark = [pytest.mark.marquez, pytest.mark.timeout(600)]
STATES = {"COMPLETE": "COMPLETED", "FAIL": "FAILED", "ABORT": "ABORTED"}


@dataclass(frozen=True)
class Told:
    """A history that Marquez was given, under names of its own."""

    kb: recant.KnowledgeBase
    settings: Settings
    folder: Path
    delivered: int

    @property
    def namespace(self) -> str:
        """Of its jobs."""
        return self.settings.lineage_namespace

    @property
    def collection(self) -> tuple[str, str]:
        """The collection's dataset."""
        return collection_dataset(self.settings, "knowledge")

    def events(self) -> list[dict[str, Any]]:
        """All that was delivered."""
        return [json.loads(line) for line in self.kb.deliveries.export()]

    def last(self, kind: str) -> dict[str, Any]:
        """The last event of a kind of operation."""
        return [e for e in self.events() if e["run"]["facets"]["recant_operation"]["kind"] == kind][-1]


def own_names(home: Path, marquez: Marquez) -> Settings:
    """Settings whose jobs and datasets nobody else has."""
    namespace = f"recant_test_{uuid.uuid4().hex[:12]}"
    settings = read_settings({"RECANT_AGENT": "librarian", "RECANT_LINEAGE_NAMESPACE": namespace})
    return replace(settings, home=home, embedder="local", marquez_url=marquez.url)


@pytest.fixture(scope="module")
def told(marquez: Marquez, postgres: Any, migrated_template: str, tmp_path_factory: Any) -> Iterator[Told]:
    """Every kind of operation, done once and delivered."""
    place = tmp_path_factory.mktemp("told")
    for dsn in throwaway_database(postgres, template=migrated_template):
        settings = replace(own_names(place / "home", marquez), dsn=dsn)
        with recant.connect(settings=settings) as kb:
            do_everything(kb, place)
            delivered = deliver_pending(kb.database, settings)["marquez"]
            yield Told(kb, settings, place / "docs", delivered)


@pytest.fixture
def log(database: str) -> Iterator[OperationLog]:
    """An empty log."""
    with Database(database) as opened:
        yield OperationLog(opened)


def write(log: OperationLog, settings: Settings, name: str, source: str = "/srv/docs", *, ends: str = "publish") -> int:
    """An operation that reads a folder and writes a collection, without any content."""
    datasets = [Dataset("input", "file", source), Dataset("output", *collection_dataset(settings, name))]
    with log.database.transaction() as connection:
        connection.execute("SELECT ensure_collection(%s, 'test-model', 'digest', 3, true)", [name])
    operation = log.open("ingest", Attribution("alice"), collection=name, datasets=datasets)
    log.finish_batch(log.begin_batch(operation, "0001"), {"documents": 1, "chunks": 3})
    if ends == "publish":
        log.publish(operation)
    else:
        log.abort(operation, ends, failed=True)
    return operation


def drain(log: OperationLog, settings: Settings, *, connections: int) -> int:
    """Delivers all that is owed to Marquez, over so many connections. Returns the number of events."""
    assert settings.marquez_url
    destination = MarquezDestination(settings.marquez_url, connections=connections)
    name = attach_destination(log.database, destination.name, destination.identity)
    try:
        return Courier(log.database, destination, settings.lineage_namespace, Event(), known_as=name).deliver()
    finally:
        destination.close()


def test_every_event_is_accepted(told: Told) -> None:
    """None is refused, none is left."""
    (status,) = [row for row in lineage_status(told.kb.database) if row["destination"] == "marquez"]
    assert (status["delivered"], status["pending"], status["dead"]) == (len(told.events()), 0, 0)
    assert told.delivered == len(told.events())


def test_every_job_and_run_is_known(told: Told, marquez: Marquez) -> None:
    """By the names and ids that our events gave them, with the state that they ended in."""
    ends = [event for event in told.events() if event["eventType"] != "START"]
    assert set(marquez.jobs(told.namespace)) == {event["job"]["name"] for event in ends}
    known = {run["id"]: run for job in marquez.jobs(told.namespace) for run in marquez.runs(told.namespace, job)}
    assert {(r, run["state"]) for r, run in known.items()} == {
        (event["run"]["runId"], STATES[event["eventType"]]) for event in ends
    }


def test_the_facets_of_a_run_are_known(told: Told, marquez: Marquez) -> None:
    """Ours and the standard's, word for word."""
    for event in told.events():
        if event["eventType"] == "START":
            continue
        (found,) = [
            run for run in marquez.runs(told.namespace, event["job"]["name"]) if run["id"] == event["run"]["runId"]
        ]
        for name, facet in event["run"]["facets"].items():
            assert found["facets"][name] == facet


def test_the_collection_is_a_dataset_with_versions(told: Told, marquez: Marquez) -> None:
    """Its columns are ours; every operation that wrote it left a version, the first of them by creating it."""
    dataset = marquez.get("namespaces", told.collection[0], "datasets", told.collection[1])
    (declared,) = told.last("ingest")["outputs"]
    assert [f["name"] for f in dataset["fields"]] == [f["name"] for f in declared["facets"]["schema"]["fields"]]
    wrote = {
        e["run"]["runId"]: e["run"]["facets"]["recant_operation"].get("position")
        for e in told.events()
        if told.collection[1] in [output["name"] for output in e["outputs"]]
    }
    versions = marquez.versions(*told.collection)
    made_by = [version["createdByRun"] for version in versions]  # none: of a reader that was told of before any writer
    assert {run["id"] for run in made_by if run} == wrote.keys()
    assert [v["lifecycleState"] for v in versions if v["lifecycleState"]] == ["CREATE"]
    positions = {v["facets"]["version"]["datasetVersion"] for v in versions if "version" in v["facets"]}
    assert positions == {str(position) for position in wrote.values() if position}


def test_what_the_gate_found_is_beside_the_data(told: Told, marquez: Marquez) -> None:
    """Quality assertions and the number of chunks are facets of the version that they are about."""
    found = [v["facets"] for v in marquez.versions(*told.collection) if "dataQualityAssertions" in v["facets"]]
    assert len(found) == 2
    assert all(a["success"] for facets in found for a in facets["dataQualityAssertions"]["assertions"])


def test_the_folder_is_a_dataset(told: Told, marquez: Marquez) -> None:
    """In the namespace of files, under its path, read by the ingest."""
    assert marquez.get("namespaces", "file", "datasets", str(told.folder))["name"] == str(told.folder)
    assert marquez.edges(told.namespace)["ingest.knowledge"] == ([str(told.folder)], [told.collection[1]])


def test_a_rollback_is_a_run(told: Told, marquez: Marquez) -> None:
    """It says which run it withdrew, who approved it, and what was at stake; the withdrawn run is still there."""
    (rollback,) = marquez.runs(told.namespace, "rollback")
    facet = rollback["facets"]["recant_rollback"]
    assert (facet["planned_by"], facet["approved_by"]) == ("planner", "approver")
    withdrawn = {run["id"]: run for run in marquez.runs(told.namespace, "ingest.knowledge")}[
        facet["withdrawn"][0]["run_id"]
    ]
    assert withdrawn["state"] == "COMPLETED"
    assert rollback["facets"]["recant_blast_radius"]["agents"] == ["intern"]
    assert marquez.edges(told.namespace)["rollback"][1] == [told.collection[1]]


def test_where_columns_come_from_is_known(told: Told, marquez: Marquez) -> None:
    """Of an export's texts: the collection's; of what was restored: the archive's, and through it the collection's."""
    export, restored = told.last("export")["outputs"][0], told.last("restore_archive")["outputs"][0]

    def found(dataset: dict[str, Any], column: str) -> set[str]:
        field = f"datasetField:{dataset['namespace']}:{dataset['name']}:{column}"
        graph = marquez.get("column-lineage", nodeId=field, depth=10)["graph"]
        return {node["id"] for node in graph} - {field}

    text = "datasetField:" + ":".join((*told.collection, "text"))
    archived = f"datasetField:file:{told.folder.parent / 'archive.h5'}:chunks.text"
    assert text in found(export, "chunks.text")
    assert found(restored, "text") >= {archived, text}


def test_what_a_run_was_built_on_is_known(told: Told, marquez: Marquez) -> None:
    """Each run that was built on another says on which, and Marquez has that run."""
    said = [e for e in told.events() if "recant_dependencies" in e["run"]["facets"]]
    assert said
    known = {run["id"]: run for job in marquez.jobs(told.namespace) for run in marquez.runs(told.namespace, job)}
    for event in said:
        facet = known[event["run"]["runId"]]["facets"]["recant_dependencies"]
        assert facet == event["run"]["facets"]["recant_dependencies"]
        assert {each["run_id"] for each in facet["built_on"]} <= known.keys()


def test_what_was_built_on_thousands_is_told_in_parts(
    log: OperationLog, marquez: Marquez, database: str, tmp_path: Path
) -> None:
    """RUNNING events go before the end: the run ends as it did, with its edges, and has one version of its output."""
    settings = own_names(tmp_path, marquez)
    with log.database.transaction() as connection:
        row = connection.execute("SELECT (ensure_collection('docs', 'test-model', 'digest', 3, true)).*").fetchone()
    assert row
    with Database(database, role="postgres").connection() as superuser:
        SyntheticLog(operations=2500, careless=1).fill(superuser, row["collection_id"])
        datasets = [Dataset("input", "file", "/srv/docs"), Dataset("output", *collection_dataset(settings, "docs"))]
        operation = log.open("summarise", Attribution("alice"), collection="docs", datasets=datasets)
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(
            "INSERT INTO dependency (operation_id, batch_id, input_operation_id, input_version_id, class) "
            "SELECT %s, 1, n, n, 'derived' FROM generate_series(1, 2500) n",
            [operation],
        )
    log.publish(operation)
    assert drain(log, settings, connections=4) == 4
    (run,) = marquez.runs(settings.lineage_namespace, "summarise.docs")
    assert (run["state"], run["facets"]["recant_dependencies"]["total"]) == ("COMPLETED", 2500)
    assert run["facets"]["recant_dependencies"]["first"] == 2001
    assert marquez.edges(settings.lineage_namespace)["summarise.docs"] == (["/srv/docs"], ["recant.recant.docs"])


def test_the_edges_of_a_failed_run_stay(told: Told, marquez: Marquez) -> None:
    """The last ingest failed; in Marquez' graph the job still reads the folder and writes the collection."""
    latest = marquez.runs(told.namespace, "ingest.knowledge")[0]
    assert (latest["state"], latest["facets"]["errorMessage"]["message"]) == ("FAILED", "the gate failed")
    job = f"job:{told.namespace}:ingest.knowledge"
    graph = {node["id"]: node for node in marquez.get("lineage", nodeId=job, depth=1)["graph"]}
    assert [e["origin"] for e in graph[job]["inEdges"]] == [f"dataset:file:{told.folder}"]
    assert [e["destination"] for e in graph[job]["outEdges"]] == ["dataset:" + ":".join(told.collection)]


def test_its_official_client_finds_everything(told: Told, marquez: Marquez, monkeypatch: pytest.MonkeyPatch) -> None:
    """marquez-python: namespace, jobs, runs, dataset and versions."""
    own_place = str(read_settings({}).project_root / ".venv" / "marquez-client")
    monkeypatch.setattr(sys, "path", [*sys.path, own_place])
    client_module = pytest.importorskip("marquez_client", reason="`make test-marquez` installs marquez-python")
    client = client_module.MarquezClient(url=marquez_place(marquez.url))
    jobs = {job["name"] for job in client.list_jobs(told.namespace, limit=100)["jobs"]}
    assert jobs == {event["job"]["name"] for event in told.events()}
    (rollback,) = client.list_job_runs(told.namespace, "rollback")["runs"]
    run = client.get_job_run(rollback["id"])
    assert (run["state"], "recant_rollback" in run["facets"]) == ("COMPLETED", True)
    dataset = client.get_dataset(*told.collection)
    assert dataset["fields"][-1]["type"] == "halfvec(384)"
    versions = client.list_dataset_versions(*told.collection, limit=100)["versions"]
    assert len(versions) == len(marquez.versions(*told.collection))


def test_a_second_delivery_doubles_nothing(told: Told, marquez: Marquez) -> None:
    """The whole history once more: the same jobs, runs, versions and edges as before."""

    def state() -> dict[str, Any]:
        runs = {job: sorted(r["id"] for r in marquez.runs(told.namespace, job)) for job in marquez.jobs(told.namespace)}
        versions = sorted(version["version"] for version in marquez.versions(*told.collection))
        return {"runs": runs, "versions": versions, "edges": marquez.edges(told.namespace)}

    before = state()
    owed = Deliveries(told.kb.database, told.settings).replay(everything=True, destination="marquez")
    assert owed == {"marquez": told.delivered}
    assert deliver_pending(told.kb.database, told.settings)["marquez"] == told.delivered
    assert state() == before


def test_a_retried_task_doubles_nothing(told: Told, marquez: Marquez) -> None:
    """A task that opens its operation again gets the same one: one run, one version more."""
    before = len(marquez.runs(told.namespace, "ingest.knowledge"))
    request, who = IngestRequest((str(told.folder),), "knowledge"), told.kb.attribution(run="retried")
    opened = {told.kb.ingestion.open(request, who, open_key="try-1") for _ in range(3)}
    (operation,) = opened
    for _ in range(2):
        (batch,) = told.kb.ingestion.list_batches(operation, request)
        told.kb.ingestion.write_batch(operation, "0001", batch, request)
    told.kb.ingestion.publish(operation)
    deliver_pending(told.kb.database, told.settings)
    after = marquez.runs(told.namespace, "ingest.knowledge")
    assert len(after) == before + 1
    assert after[0]["state"] == "COMPLETED"


def test_a_replay_gives_the_graph_of_the_day(
    marquez: Marquez, postgres: Any, migrated_template: str, tmp_path: Path
) -> None:
    """Sources that changed from run to run, failures between: told late over four connections, each job ends as it did live."""
    graphs = []
    for live in (True, False):
        settings = own_names(tmp_path, marquez)
        for dsn in throwaway_database(postgres, template=migrated_template):
            with Database(dsn) as database:
                log, told = OperationLog(database), 0
                for number in range(12):
                    ends = "publish" if number % 5 else "no luck"
                    write(log, settings, f"shelf-{number % 3}", f"/srv/{number}", ends=ends)
                    told += drain(log, settings, connections=1) if live else 0
                assert told + drain(log, settings, connections=4) == 24
        graphs.append(marquez.edges(settings.lineage_namespace))
    assert graphs[0] == graphs[1]
    assert graphs[0]["ingest.shelf-2"] == (["/srv/11"], ["recant.recant.shelf-2"])


def test_what_marquez_refuses_is_set_aside(log: OperationLog, marquez: Marquez, tmp_path: Path) -> None:
    """An event without a run is 422, one that is no JSON 400 or 500: the answers that our collector gives as well."""
    assert marquez.post(b"{}") in (400, 422)
    assert marquez.post(b"no json") in (400, 500)
    write(log, own_names(tmp_path, marquez), "docs")
    event = next(iter(Deliveries(log.database, own_names(tmp_path, marquez)).export()))
    assert marquez.post(event) == 201


def test_it_is_drained_at_the_rate_that_it_takes(
    marquez: Marquez, postgres: Any, migrated_template: str, tmp_path: Path, record_property: Any, capsys: Any
) -> None:
    """Over one connection, and over four: everything arrives; how fast is said."""
    rates = {}
    for connections in (1, 4):
        for dsn in throwaway_database(postgres, template=migrated_template):
            with Database(dsn) as database:
                settings, log = own_names(tmp_path, marquez), OperationLog(database)
                for number in range(100):
                    write(log, settings, f"shelf-{number % 5}")
                begun = time.perf_counter()
                assert drain(log, settings, connections=connections) == 200
                rates[connections] = 200 / (time.perf_counter() - begun)
                runs = sum(len(marquez.runs(settings.lineage_namespace, f"ingest.shelf-{n}")) for n in range(5))
                assert runs == 100
        record_property(f"events_per_second_{connections}", round(rates[connections], 1))
    with capsys.disabled():
        print("  drained at " + ", ".join(f"{rate:.1f} events/s ({n} connections)" for n, rate in rates.items()))


def test_one_that_dies_midway_loses_nothing(log: OperationLog, marquez: Marquez, tmp_path: Path) -> None:
    """Stopped and started while events are sent: all of them arrive, each run as it ended."""
    if marquez.restart is None:
        pytest.skip("needs a Marquez of the test's own: MARQUEZ_JAR")
    settings = own_names(tmp_path, marquez)
    operations = [write(log, settings, f"shelf-{number % 2}") for number in range(60)]
    restarting = Thread(target=marquez.restart)
    restarting.start()
    delivered, deadline = 0, time.monotonic() + 240
    while delivered < 120 and time.monotonic() < deadline:
        delivered += drain(log, settings, connections=4)
        with log.database.transaction() as connection:
            connection.execute("UPDATE lineage_delivery SET next_attempt_at = now() WHERE state = 'pending'")
    restarting.join()
    assert [row["dead"] for row in lineage_status(log.database)] == [0]
    known = [run for n in range(2) for run in marquez.runs(settings.lineage_namespace, f"ingest.shelf-{n}")]
    assert [run["state"] for run in known] == ["COMPLETED"] * len(operations)
