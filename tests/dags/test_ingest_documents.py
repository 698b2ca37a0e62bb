"""ingest_documents: a run is one operation, all of it seen or none of it, however often its tasks are tried."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow

INVISIBLE = "\u200b" * 50
"""Zero-width spaces: a file that isn't empty, and nothing in it to read."""


@pytest.fixture
def folder(documents_in, tmp_path: Path) -> Path:
    """Two Markdown files and a Python file."""
    return documents_in(tmp_path)


@pytest.fixture
def ingest(run_dag, folder: Path):
    """Runs the DAG over the folder, two documents a batch unless told otherwise."""

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


def test_what_a_run_was_made_from_is_on_record(ingest, kb, folder):
    """The form's chunk ids and sources make the run a definite dependent of what they name."""
    first = ingest().xcom("publish")["operation_id"]
    (hit,) = kb.search("coffee", limit=1).hits
    report = ingest(based_on=[str(hit.chunk_id), str(folder / "swallows.md"), ""]).xcom("publish")
    cited = kb.show(report["operation_id"])["based_on"]
    assert sorted(Path(row["source"]).name for row in cited) == ["espresso.md", "swallows.md"]
    assert {row["operation_id"] for row in cited} == {first}


def test_only_what_changed_is_done_again(ingest, kb, folder):
    """A second run finds all unchanged and computes no embedding; what is gone from the folder is found no more."""
    ingest()
    report = ingest().xcom("publish")
    assert (report["documents"], report["unchanged"], report["chunks"], report["embedded"]) == (0, 3, 0, 0)
    assert visible_sources(kb) == {"espresso.md", "swallows.md", "temperature.py"}
    (folder / "swallows.md").unlink()
    assert ingest().xcom("publish")["removed"] == 1
    assert visible_sources(kb) == {"espresso.md", "temperature.py"}


def test_a_listing_without_documents_is_published_without_batches(ingest, kb, tmp_path):
    """The mapped task is skipped, the rest runs, and the report says what could not be listed."""
    (tmp_path / "folder").mkdir()
    run = ingest(sources=[str(tmp_path / "folder"), str(tmp_path / "nowhere")])
    assert run.state == "success"
    assert run.state_of("write_batch") == "skipped"
    assert [r["code"] for r in run.xcom("publish")["rejected"]] == ["empty", "missing"]


def test_a_run_of_nothing_that_exists_fails_and_aborts(ingest, kb, tmp_path):
    """Listing fails at the first attempt, and says what it looked for."""
    run = ingest(sources=[str(tmp_path / "nowhere")])
    assert (run.state, run.state_of("list_batches"), run.state_of("publish")) == ("failed", "failed", "upstream_failed")
    assert kb.log()[0].state == "aborted"
    assert "None of these sources exists" in (kb.log()[0].reason or "")


def test_an_address_that_a_token_opens_is_refused_before_anything_is_kept_of_it(ingest, kb):
    """Also one that the form's pattern doesn't know for one: no operation is opened, and no XCom or row has it."""
    before = kb.log()
    run = ingest(sources=["https://example.org/a?auth=s3cr3t"])
    assert (run.state, run.state_of("open_operation")) == ("failed", "failed")
    assert kb.log() == before


def test_a_failing_gate_aborts_the_run_and_nothing_is_visible(ingest, kb, folder, events):
    """The run ends as failed, the operation as aborted with the gate's reason, at the first attempt.

    Its lineage event says so, and keeps the edge that the start had.
    """
    from airflow.providers.openlineage.utils.selective_enable import enable_lineage

    (folder / "invisible.md").write_text(INVISIBLE)
    run = ingest(lambda dag: enable_lineage(dag.get_task("check_quality")))
    assert run.state == "failed"
    assert (run.state_of("check_quality"), run.tries["check_quality", -1]) == ("failed", 1)
    assert run.state_of("publish") == "upstream_failed"
    operation = kb.operations.get(run.xcom("open_operation")["operation_id"])
    assert operation.state == "aborted"
    assert "check_quality: GateFailed" in operation.reason
    assert visible_sources(kb) == set()
    gate = [e for e in events(run.run_id) if e["job"]["name"].endswith(".check_quality")]
    assert [e["eventType"] for e in gate] == ["START", "FAIL"]
    assert [e["outputs"][0]["name"] for e in gate] == ["recant.recant.knowledge"] * 2


def test_quarantine_leaves_the_bad_document_out(ingest, kb, folder):
    """Under the policy quarantine the rest is published, and the report names what was left out."""
    (folder / "invisible.md").write_text(INVISIBLE)
    run = ingest(policy="quarantine")
    assert run.state == "success"
    assert [Path(r["source"]).name for r in run.xcom("publish")["rejected"]] == ["invisible.md"]
    assert visible_sources(kb) == {"espresso.md", "swallows.md", "temperature.py"}


def test_in_an_exploring_session_a_run_is_held(ingest, kb):
    """It ends well with its operation open, seen in the session only; the merge publishes it."""
    kb.sessions.open("trial", agent="ada", explore=True)
    run = ingest(session="trial")
    assert run.state == "success"
    report = run.xcom("publish")
    assert (report["position"], report["held"], report["documents"]) == (None, True, 3)
    assert visible_sources(kb) == set()
    assert run.announced() == []
    assert len({hit.source for hit in kb.search("coffee", session="trial", limit=50).hits}) == 3
    assert [operation for operation, _ in kb.sessions.merge("trial").published] == [report["operation_id"]]
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


@pytest.fixture
def failed(ingest) -> object:
    """A run whose second batch could not be written."""
    from recant_airflow.operators.ingestion import KnowledgeBaseIngestBatchOperator

    whole = KnowledgeBaseIngestBatchOperator.work

    def work(self, knowledge_base, context):
        if context["ti"].map_index == 1:
            raise OSError("no route to the embedder")
        return whole(self, knowledge_base, context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KnowledgeBaseIngestBatchOperator, "work", work)
        run = ingest()
    assert run.state == "failed"
    return run


def test_a_failed_run_that_is_cleared_as_a_whole_starts_over(failed, clear, kb):
    """It opens a new operation, with the same run id, and publishes it."""
    run = clear(failed)
    assert run.state == "success"
    assert [(o.state, o.run_id) for o in kb.operations.find()] == [("published", run.run_id), ("aborted", run.run_id)]
    assert visible_sources(kb) == {"espresso.md", "swallows.md", "temperature.py"}


def test_clearing_a_part_of_a_failed_run_never_publishes_a_part(failed, clear, kb):
    """The cleared batch finds its operation aborted and fails at once; what was opened anew is aborted as well."""
    run = clear(failed, "write_batch")
    assert run.state == "failed"
    assert "OperationClosed" in run.xcom("write_batch", "failure", map_index=1)
    assert [o.state for o in kb.operations.find()] == ["aborted", "aborted"]
    assert visible_sources(kb) == set()


def test_a_run_that_a_person_marks_as_failed_is_aborted(ingest, api, kb, monkeypatch):
    """Marked while the gate is at work: nothing after it runs but the teardown, which aborts the operation."""
    from recant_airflow.operators.ingestion import KnowledgeBaseGateOperator

    def work(self, knowledge_base, context):
        ti = context["ti"]
        marked = api.patch(f"/api/v2/dags/{ti.dag_id}/dagRuns/{ti.run_id}", json={"state": "failed"})
        marked.raise_for_status()

    monkeypatch.setattr(KnowledgeBaseGateOperator, "work", work)
    run = ingest()
    assert run.state == "failed"
    assert (run.state_of("publish"), run.state_of("abort_unpublished")) == ("skipped", "failed")
    assert [o.state for o in kb.operations.find()] == ["aborted"]
    assert visible_sources(kb) == set()
