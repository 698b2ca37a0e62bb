"""What a run of ingest_documents leaves behind: one operation, and who and what it came from."""

from __future__ import annotations

import uuid
from pathlib import Path
from urllib.parse import quote

import pytest

pytestmark = pytest.mark.airflow

COLLECTION = ("postgres://recant", "recant.recant.notes")


@pytest.fixture(scope="module")
def folder(documents_in, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Markdown files and a Python file."""
    return documents_in(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def kb(new_database, migrated_template: str, on_database, tmp_path_factory: pytest.TempPathFactory):
    """The knowledge base that the run writes to."""
    with on_database(new_database(migrated_template), tmp_path_factory.mktemp("home")) as knowledge_base:
        yield knowledge_base


@pytest.fixture(scope="module")
def run(kb, run_on, folder: Path):
    """The run that all tests here look at, two documents a batch."""
    from airflow.providers.openlineage.utils.selective_enable import enable_lineage

    conf = {"sources": [str(folder)], "collection": "notes", "documents_per_batch": 2}
    conf |= {"agent": "barista", "session": "s-1", "message": "first load"}
    return run_on("ingest_documents", conf, enable_lineage)


def test_what_the_folder_holds_is_found(run, kb):
    """Search finds the documents, under the operation that the report names, and nothing was left out."""
    assert run.state == "success"
    report = run.xcom("publish")
    assert (report["documents"], report["rejected"]) == (3, [])
    best = kb.search("how often to remove limescale", collection="notes", limit=1).hits[0]
    assert (Path(best.source).name, best.operation_id) == ("espresso.md", report["operation_id"])


def test_a_run_is_one_operation_with_the_attribution_given(run, kb):
    """Agent, session and message are those of the form, the run is the DAG's."""
    (operation,) = kb.operations.find()
    assert (operation.agent, operation.session, operation.message) == ("barista", "s-1", "first load")
    assert (operation.run_id, operation.state) == (run.run_id, "published")


def test_the_operation_knows_the_task_that_opened_it(run, kb):
    """Its context names DAG, run and task, and an OpenLineage parent and root that are real run ids."""
    context = kb.operations.find()[0].context
    assert (context["dag_id"], context["task_id"]) == ("ingest_documents", "open_operation")
    assert context["dag_run_id"] == run.run_id
    assert context["parent_job_name"] == "ingest_documents.open_operation"
    assert (context["parent_job_namespace"], context["root_job_name"]) == ("recant", "ingest_documents")
    assert uuid.UUID(context["parent_run_id"]) != uuid.UUID(context["root_run_id"])


def test_the_operations_parent_is_the_run_that_airflow_told_of(run, kb, events):
    """The parent's id is the run id in the provider's event about the task, so that both meet in one graph."""
    told = {e["run"]["runId"] for e in events(run.run_id) if e["job"]["name"] == "ingest_documents.open_operation"}
    assert told == {kb.operations.find()[0].context["parent_run_id"]}


@pytest.mark.parametrize("task", ["open_operation", "list_batches", "write_batch/1", "publish", "abort_unpublished"])
def test_every_task_that_writes_links_to_its_operation(run, api, kb, task: str):
    """To the page of the asset events of the task that announced it, whose partition key is the operation's id."""
    path, _, index = task.partition("/")
    address = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{path}/links"
    links = api.get(address, params={"map_index": index or -1}).json()["extra_links"]
    shown = f"/dags/ingest_documents/runs/{quote(run.run_id, safe='')}/tasks/publish/asset_events"
    assert links == {"Operation": f"http://127.0.0.1:8080{shown}"}
    of_the_task = {"source_dag_id": run.dag_id, "source_run_id": run.run_id, "source_task_id": "publish"}
    (event,) = api.get("/api/v2/assets/events", params=of_the_task).json()["asset_events"]
    assert event["partition_key"] == str(kb.operations.find()[0].operation_id)
    assert event["extra"]["position"] == 1


def test_batches_are_tasks_with_a_name(run):
    """Three documents, two a batch: two mapped tasks, each with its share in an XCom of its own."""
    assert [run.state_of("write_batch", index) for index in (0, 1)] == ["success", "success"]
    assert [len(run.xcom("list_batches", f"batch-{number}")) for number in (0, 1)] == [2, 1]
    assert [run.xcom("write_batch", map_index=index)["documents"] for index in (0, 1)] == [2, 1]
    assert run.labels["write_batch", 1] == "batch-1: 1 documents"


def test_publishing_announces_a_partition_named_by_the_operation(run):
    """The run leaves one asset event, whose partition key is the operation's id."""
    assert run.announced() == [(str(run.xcom("publish")["operation_id"]), "ingest")]


def test_tasks_report_the_operations_datasets_at_the_start_and_at_the_end(run, events, folder):
    """Reading and writing tasks name the folder and the collection, in the words of the operation's own events."""
    told = {(e["job"]["name"].partition(".")[2], e["eventType"]): e for e in events(run.run_id)}
    for kind in ("START", "COMPLETE"):
        assert names(told["list_batches", kind]["inputs"]) == [("file", str(folder))]
        assert names(told["write_batch", kind]["inputs"]) == [("file", str(folder))]
        assert names(told["write_batch", kind]["outputs"]) == [COLLECTION]
        assert names(told["publish", kind]["outputs"]) == [COLLECTION]


def test_what_was_published_is_a_version_of_the_dataset(run, events):
    """The dataset's version is the position in the log, its statistics count the chunks and documents written."""
    (published,) = [
        e for e in events(run.run_id) if e["job"]["name"].endswith(".publish") and e["eventType"] == "COMPLETE"
    ]
    (collection,) = published["outputs"]
    report = run.xcom("publish")
    assert collection["facets"]["version"]["datasetVersion"] == str(report["position"])
    statistics = collection["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["fileCount"]) == (report["chunks"], 3)


def names(datasets: list[dict]) -> list[tuple[str, str]]:
    """Namespace and name of each."""
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]
