"""ingest_documents: a run is one operation, all of it seen or none of it, however often its tasks are tried."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow

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
PICTURE = base64.b64encode(bytes(range(256)) * 90).decode()
"""One word of 30,000 letters: a single unknown token to the model, and no text to find."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two Markdown files and a Python file."""
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "espresso.md").write_text(GUIDE)
    (documents / "swallows.md").write_text(BIRDS)
    (documents / "temperature.py").write_text(CODE)
    return documents


@pytest.fixture
def ingest(run_dag, folder: Path):
    """Runs the DAG over the folder, one document a batch unless told otherwise."""

    def run(change=None, **conf):
        return run_dag("ingest_documents", {"sources": [str(folder)], "documents_per_batch": 2, **conf}, change)

    return run


def visible_sources(kb) -> set[str]:
    """Names of all documents that a search can find."""
    if not kb.collections():
        return set()
    return {Path(hit.source).name for hit in kb.search("coffee, birds, temperature", limit=50).hits}


def rows(kb, operation_id: int) -> dict[str, int]:
    """What the tables hold of an operation, seen or not."""
    with kb.database.transaction() as connection:
        counted = connection.execute(
            "SELECT (SELECT count(*) FROM version JOIN document_version USING (version_id) WHERE operation_id = %(id)s) AS documents,"
            " (SELECT count(*) FROM version JOIN chunk USING (version_id) WHERE operation_id = %(id)s) AS chunks",
            {"id": operation_id},
        ).fetchone()
    return dict(counted)


def test_a_run_publishes_its_documents_as_one_operation(ingest, kb, folder):
    """What the folder holds is found by search afterwards, under one operation with the attribution that was given."""
    run = ingest(agent="barista", session="s-1", message="first load")
    assert run.state == "success"
    report = run.xcom("publish")
    assert (report["documents"], report["rejected"]) == (3, [])
    best = kb.search("how often to remove limescale", limit=1).hits[0]
    assert (Path(best.source).name, best.operation_id) == ("espresso.md", report["operation_id"])
    operation = kb.operations.get(report["operation_id"])
    assert (operation.agent, operation.session, operation.message) == ("barista", "s-1", "first load")
    assert operation.run_id == run.run_id
    assert len(kb.operations.find()) == 1


def test_the_operation_knows_the_task_that_opened_it(ingest, kb):
    """Its context names DAG, run and task, and an OpenLineage parent and root that are real run ids."""
    run = ingest()
    context = kb.operations.get(run.xcom("publish")["operation_id"]).context
    assert (context["dag_id"], context["dag_run_id"], context["task_id"]) == (
        "ingest_documents",
        run.run_id,
        "open_operation",
    )
    assert (context["parent_job_name"], context["root_job_name"]) == (
        "ingest_documents.open_operation",
        "ingest_documents",
    )
    assert context["parent_job_namespace"] == "recant"
    assert uuid.UUID(context["parent_run_id"]) != uuid.UUID(context["root_run_id"])


def test_batches_are_tasks_with_a_name(ingest):
    """Three documents, two a batch: two mapped tasks, each with its share in an XCom of its own."""
    run = ingest()
    assert [run.state_of("write_batch", index) for index in (0, 1)] == ["success", "success"]
    assert [len(run.xcom("list_batches", f"batch-{number}")) for number in (0, 1)] == [2, 1]
    assert [run.xcom("write_batch", map_index=index)["documents"] for index in (0, 1)] == [2, 1]
    assert run.labels["write_batch", 1] == "batch-1: 1 documents"


def test_a_second_run_finds_all_unchanged(ingest, kb):
    """Nothing is written and no embedding computed when the sources are as they were."""
    ingest()
    report = ingest().xcom("publish")
    assert (report["documents"], report["unchanged"], report["chunks"], report["embedded"]) == (0, 3, 0, 0)
    assert visible_sources(kb) == {"espresso.md", "swallows.md", "temperature.py"}


def test_a_document_that_is_gone_is_retired(ingest, kb, folder):
    """What was deleted from the folder is no longer found after the next run."""
    ingest()
    (folder / "swallows.md").unlink()
    assert ingest().xcom("publish")["removed"] == 1
    assert visible_sources(kb) == {"espresso.md", "temperature.py"}


def test_a_listing_without_documents_is_published_without_batches(ingest, kb, tmp_path):
    """The mapped task is skipped, the rest runs, and the report says what could not be listed."""
    run = ingest(sources=[str(tmp_path / "nowhere")])
    assert run.state == "success"
    assert run.state_of("write_batch") == "skipped"
    assert [r["code"] for r in run.xcom("publish")["rejected"]] == ["missing"]


def test_publishing_announces_a_partition_named_by_the_operation(ingest):
    """The run leaves one asset event, whose partition key is the operation's id."""
    run = ingest()
    assert run.announced() == [(str(run.xcom("publish")["operation_id"]), "ingest")]


def test_a_failing_gate_aborts_the_run_and_nothing_is_visible(ingest, kb, folder):
    """The run ends as failed, the operation as aborted with the gate's reason, at the first attempt."""
    (folder / "picture.md").write_text(f"# A picture\n\n{PICTURE}\n")
    run = ingest()
    assert run.state == "failed"
    assert (run.state_of("check_quality"), run.tries["check_quality", -1]) == ("failed", 1)
    assert run.state_of("publish") == "upstream_failed"
    operation = kb.operations.get(run.xcom("open_operation")["operation_id"])
    assert operation.state == "aborted"
    assert "check_quality: GateFailed" in operation.reason
    assert visible_sources(kb) == set()


def test_quarantine_leaves_the_bad_document_out(ingest, kb, folder):
    """Under the policy quarantine the rest is published, and the report names what was left out."""
    (folder / "picture.md").write_text(f"# A picture\n\n{PICTURE}\n")
    run = ingest(policy="quarantine")
    assert run.state == "success"
    assert [Path(r["source"]).name for r in run.xcom("publish")["rejected"]] == ["picture.md"]
    assert visible_sources(kb) == {"espresso.md", "swallows.md", "temperature.py"}


KILLED_WRITER = """
import json, os, signal, sys
import recant
from recant.ingestion.request import IngestRequest
from recant.oplog import OperationLog

operation_id, key, items = json.loads(sys.argv[1])
OperationLog.finish_batch = lambda *anything: os.kill(os.getpid(), signal.SIGKILL)
with recant.connect() as kb:
    request = IngestRequest.from_dict(kb.operations.get(operation_id).parameters["request"])
    kb.ingestion.write_batch(operation_id, key, items, request)
"""


def kill_first_attempt(monkeypatch, kb) -> list[dict]:
    """The first attempt at each batch is made by a process that is killed when its rows are in; returns what it left."""
    from recant_airflow.operators.ingestion import KnowledgeBaseIngestBatchOperator

    whole, left = KnowledgeBaseIngestBatchOperator.work, []

    def work(self, knowledge_base, context):
        if context["ti"].try_number > 1:
            return whole(self, knowledge_base, context)
        key = self.batch["key"]
        items = context["ti"].xcom_pull(task_ids="list_batches", key=key, map_indexes=None)
        told = json.dumps([self.operation_id, key, items])
        killed = subprocess.run([sys.executable, "-c", KILLED_WRITER, told], check=False)
        left.append({"returncode": killed.returncode, **rows(kb, self.operation_id)})
        raise ConnectionError("the worker is gone")

    monkeypatch.setattr(KnowledgeBaseIngestBatchOperator, "work", work)
    return left


def test_a_batch_whose_worker_was_killed_is_written_once(ingest, kb, monkeypatch):
    """The rows of the killed attempt are replaced by those of the retry."""
    left = kill_first_attempt(monkeypatch, kb)
    run = ingest(documents_per_batch=10)
    assert [(x["returncode"], x["documents"]) for x in left] == [(-9, 3)]
    assert (run.state, run.tries["write_batch", 0]) == ("success", 2)
    report = run.xcom("publish")
    assert rows(kb, report["operation_id"]) == {"documents": 3, "chunks": report["chunks"]}
    assert report["documents"] == 3
    assert kb.verify().ok


def test_a_run_whose_batch_keeps_failing_is_aborted(ingest, kb, monkeypatch):
    """After the last retry the operation is aborted, with what the batch said, and its run fails."""
    from recant_airflow.operators.ingestion import KnowledgeBaseIngestBatchOperator

    def work(self, knowledge_base, context):
        raise OSError("no route to the embedder")

    monkeypatch.setattr(KnowledgeBaseIngestBatchOperator, "work", work)
    run = ingest(documents_per_batch=10)
    assert (run.state, run.tries["write_batch", 0]) == ("failed", 3)
    operation = kb.operations.get(run.xcom("open_operation")["operation_id"])
    assert (operation.state, operation.reason) == ("aborted", "write_batch: OSError: no route to the embedder")
    assert visible_sources(kb) == set()


def test_a_publish_that_is_tried_again_after_it_went_through_is_a_success(ingest, kb, monkeypatch):
    """A worker lost right after publishing costs nothing: the retry finds the operation published, and says so."""
    from recant.ingestion.pipeline import Ingestion

    whole = Ingestion.publish

    def publish(self, operation_id):
        whole(self, operation_id)
        raise ConnectionError("the worker is gone")

    monkeypatch.setattr(Ingestion, "publish", publish)
    run = ingest()
    assert (run.state, run.tries["publish", -1]) == ("success", 2)
    assert run.xcom("publish")["documents"] == 3
    assert [o.state for o in kb.operations.find()] == ["published"]
    assert len(run.announced()) == 1


def test_an_operation_is_opened_once_however_often_the_task_is_tried(ingest, kb, monkeypatch):
    """A retry of the first task finds the operation that the lost attempt opened."""
    from recant.ingestion.pipeline import Ingestion

    whole, calls = Ingestion.open, []

    def open_and_fail(self, *arguments, **options):
        calls.append(whole(self, *arguments, **options))
        if len(calls) == 1:
            raise ConnectionError("the worker is gone")
        return calls[-1]

    monkeypatch.setattr(Ingestion, "open", open_and_fail)
    run = ingest()
    assert run.state == "success"
    assert len(calls) == 2
    assert len({*calls}) == len(kb.operations.find()) == 1
