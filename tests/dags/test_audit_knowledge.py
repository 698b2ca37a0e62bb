"""audit_knowledge: says what fails of what is published, and hides it where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recant.store import Database
from tests.integration.library import Library

pytestmark = pytest.mark.airflow
STRICT = """
name: strict
expectations:
  - name: says_enough
    expectation: expect_column_values_to_be_between
    severity: critical
    arguments: { column: visible_characters, min_value: 20 }
"""


@pytest.fixture
def library(installation: str, tmp_path: Path) -> Iterator[Library]:
    """A document that says enough, and one that doesn't."""
    (tmp_path / "strict.yml").write_text(STRICT)
    with Database(installation) as db:
        library = Library(db)
        library.publish({"a": "A sentence that says something.", "b": "Never."}, agent="rogue")
        yield library


@pytest.fixture
def audit(run_dag):
    """Runs the DAG. Without its deadline: `dag.test` stores that as a definition where a run looks for its id."""

    def run(conf, change=lambda dag: None):
        def changed(dag) -> None:
            dag.deadline = None
            change(dag)

        return run_dag("audit_knowledge", conf, changed)

    return run


def test_what_fails_is_named_and_then_hidden(audit, library: Library, tmp_path: Path):
    """Without quarantine the run fails at the first attempt and changes nothing; with it the document is gone, and it ends well."""
    given = {"collection": "library", "suite": str(tmp_path / "strict.yml")}
    run = audit(given)
    assert (run.state, run.tries["audit", -1]) == ("failed", 1)
    summary = run.xcom("audit")
    assert [(f["operation_id"], f["source"], f["expectations"]) for f in summary["failing"]] == [
        (1, "b", ["says_enough"])
    ]
    assert (summary["success"], summary["quarantines"], len(library.view())) == (False, [], 2)
    hidden = audit(given | {"quarantine": True, "agent": "nora"})
    assert hidden.state == "success"
    (quarantine,) = hidden.xcom("audit")["quarantines"]
    operation = library.log.get(quarantine)
    assert (operation.kind, operation.agent, operation.run_id) == ("quarantine", "nora", hidden.run_id)
    assert library.view().keys() == {"a"}
    assert audit(given).xcom("audit")["success"] is True


def test_an_audit_leaves_history_pages_and_lineage(audit, library: Library, events, api, kb, tmp_path: Path):
    """The result is in the history, its page is served to whoever is logged in, the task links to it, and a failed run's
    lineage has every expectation."""

    def watched(dag) -> None:
        from airflow.providers.openlineage.utils.selective_enable import enable_lineage

        enable_lineage(dag)

    run = audit({"collection": "library", "suite": str(tmp_path / "strict.yml")}, watched)
    summary = run.xcom("audit")
    entry = kb.audits.get(summary["audit_id"])
    assert (entry.run_id, entry.success, entry.failing_documents) == (run.run_id, False, 1)
    assert entry.failing_rows["says_enough"][0]["source"] == "b"
    address = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/audit/links"
    link = api.get(address).json()["extra_links"]["Data Docs"]
    page = api.get(link.removeprefix("http://127.0.0.1:8080"))
    assert (page.status_code, "says_enough" in page.text, "https://" in page.text) == (200, True, False)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    stranger = api.get(link.removeprefix("http://127.0.0.1:8080"), headers={"Authorization": "Bearer wrong"})
    assert stranger.status_code in (401, 403)
    outside = api.get("/recant/data-docs/..%2F..%2Fsecrets")
    assert outside.status_code == 404
    ended = [event for event in events(run.run_id) if event["eventType"] == "FAIL" and event["inputs"]]
    (dataset,) = ended[-1]["inputs"]
    told = dataset["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (dataset["name"], [(one["name"], one["success"]) for one in told]) == (
        "recant.recant.library",
        [("says_enough", False)],
    )
    assert dataset["facets"]["version"]["datasetVersion"] == "1"
