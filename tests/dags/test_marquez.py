"""One graph in a real Marquez: the events of Airflow's own provider, and ours, about one run of a DAG."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from recant.lineage.relay import deliver_pending
from tests.marquez_server import Marquez

pytestmark = [pytest.mark.airflow, pytest.mark.marquez, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def collection() -> str:
    """A collection that nobody else has."""
    return f"notes-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def kb(new_database, migrated_template: str, on_database, tmp_path_factory: pytest.TempPathFactory, marquez: Marquez):
    """The knowledge base that the run writes to."""
    with on_database(new_database(migrated_template), tmp_path_factory.mktemp("home")) as knowledge_base:
        yield knowledge_base


@pytest.fixture(scope="module")
def folder(documents_in, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Markdown files and a Python file."""
    return documents_in(tmp_path_factory.mktemp("told"))


@pytest.fixture(scope="module")
def run(kb, run_on, folder: Path, collection: str, events, marquez: Marquez):
    """A run of ingest_documents that Airflow told Marquez of, and then we."""
    from airflow.providers.openlineage.utils.selective_enable import enable_lineage

    conf = {"sources": [str(folder)], "collection": collection, "documents_per_batch": 2, "agent": "barista"}
    ended = run_on("ingest_documents", conf, enable_lineage)
    for event in events(ended.run_id):
        assert marquez.post(json.dumps(event).encode()) == 201
    settings = replace(kb.settings, marquez_url=marquez.url)
    assert deliver_pending(kb.database, settings)["marquez"] == 2
    return ended


def test_the_operation_stands_under_the_task_that_opened_it(run, kb, collection: str, marquez: Marquez) -> None:
    """Its job has the task's name in front, its run the task's run as parent, and both are known to Marquez."""
    (operation,) = kb.operations.find()
    name = f"ingest_documents.open_operation.ingest.{collection}"
    ours = {found["id"]: found for found in marquez.runs("recant", name)}[operation.lineage_run_id]
    parent = ours["facets"]["parent"]
    tasks = {found["id"] for found in marquez.runs("recant", "ingest_documents.open_operation")}
    assert parent["run"]["runId"] in tasks
    assert parent["root"]["run"]["runId"] == operation.context["root_run_id"]


def test_tasks_and_the_operation_meet_at_the_same_datasets(
    run, folder: Path, collection: str, marquez: Marquez
) -> None:
    """The folder and the collection have one node each, with edges to Airflow's tasks and to our operation."""
    dataset = f"dataset:postgres://recant:recant.recant.{collection}"
    graph = {node["id"]: node for node in marquez.get("lineage", nodeId=dataset, depth=1)["graph"]}
    writers = {edge["origin"] for edge in graph[dataset]["inEdges"]}
    assert writers >= {
        "job:recant:ingest_documents.write_batch",
        "job:recant:ingest_documents.publish",
        f"job:recant:ingest_documents.open_operation.ingest.{collection}",
    }
    source = f"dataset:file:{folder}"
    graph = {node["id"]: node for node in marquez.get("lineage", nodeId=source, depth=1)["graph"]}
    readers = {edge["destination"] for edge in graph[source]["outEdges"]}
    assert readers >= {
        "job:recant:ingest_documents.list_batches",
        f"job:recant:ingest_documents.open_operation.ingest.{collection}",
    }


def test_a_second_telling_doubles_nothing(run, kb, events, collection: str, marquez: Marquez) -> None:
    """Both histories once more: as many runs of each job as before."""
    jobs = [e["job"]["name"] for e in events(run.run_id)] + [f"ingest_documents.open_operation.ingest.{collection}"]
    before = {job: len(marquez.runs("recant", job)) for job in jobs}
    for event in events(run.run_id):
        assert marquez.post(json.dumps(event).encode()) == 201
    kb.deliveries.replay(everything=True, destination="marquez")
    assert deliver_pending(kb.database, replace(kb.settings, marquez_url=marquez.url))["marquez"] == 2
    assert {job: len(marquez.runs("recant", job)) for job in jobs} == before
