"""What every DAG file keeps to, and what its form refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def dag_bag(airflow: Path):
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(PROJECT / "dags")


def test_every_dag_file_can_be_imported(dag_bag):
    """No DAG file raises when Airflow parses it."""
    assert dag_bag.import_errors == {}


def test_a_file_is_named_after_its_dag(dag_bag):
    """There is one DAG a file, and the file's name is the DAG's id."""
    assert {Path(dag.fileloc).stem: dag.dag_id for dag in dag_bag.dags.values()} == {
        path.stem: path.stem for path in (PROJECT / "dags").glob("*.py")
    }


def test_every_dag_explains_itself(dag_bag):
    """A description, a page of documentation, tags, an owner, and help on each field of its form."""
    for dag in dag_bag.dags.values():
        assert dag.description
        assert dag.doc_md
        assert "recant" in dag.tags
        assert {task.owner for task in dag.tasks} == {"recant"}
        assert all(param.schema["title"] and param.description for param in dag.params.values())


def test_every_task_is_tried_again(dag_bag):
    """Two retries with a growing delay, all of them over before an operation's lease of 15 minutes is."""
    for dag in dag_bag.dags.values():
        for task in dag.tasks:
            assert task.retries == 2
            assert (task.retries + 1) * task.max_retry_delay.total_seconds() < 900


@pytest.mark.parametrize(
    ("dag_id", "conf", "complaint"),
    [
        ("ingest_documents", {}, "sources"),
        ("ingest_documents", {"sources": []}, "sources"),
        ("ingest_documents", {"sources": ["", ""]}, "sources"),
        ("ingest_documents", {"sources": ["docs/relative.md"]}, "sources"),
        ("ingest_documents", {"sources": ["https://me:secret@example.org/page"]}, "sources"),
        ("ingest_documents", {"sources": ["https://example.org/page?a=1&access_token=5"]}, "sources"),
        ("ingest_documents", {"sources": ["https://example.org/page?X-Amz-Signature=5"]}, "sources"),
        ("ingest_documents", {"sources": ["/docs"], "collection": "No Spaces"}, "collection"),
        ("ingest_documents", {"sources": ["/docs"], "policy": "careless"}, "policy"),
        ("ingest_documents", {"sources": ["/docs"], "agent": ""}, "agent"),
        ("ingest_documents", {"sources": ["/docs"], "based_on": ["docs/relative.md"]}, "based_on"),
        ("ingest_documents", {"sources": ["/docs"], "documents_per_batch": 0}, "documents_per_batch"),
        ("rollback_knowledge", {"operations": ["all"]}, "operations"),
        ("rollback_knowledge", {"operations": [0]}, "operations"),
        ("rollback_knowledge", {"agents": [""]}, "agents"),
        ("rollback_knowledge", {"since": "yesterday"}, "since"),
        ("rollback_knowledge", {"policy": "forgive"}, "policy"),
        ("rollback_knowledge", {"block": "perhaps"}, "block"),
        ("rollback_knowledge", {"approval_timeout_hours": 0}, "approval_timeout_hours"),
        ("reclaim_storage", {"retention_days": -1}, "retention_days"),
        ("reclaim_storage", {"dry_run": "perhaps"}, "dry_run"),
        ("rollback_knowledge", {"plan": "the last one"}, "plan"),
        ("recalculate_quality", {"at": "yesterday"}, "at"),
        ("audit_knowledge", {"suite": "rules.yml"}, "suite"),
        ("audit_knowledge", {"quarantine": "perhaps"}, "quarantine"),
        ("recalculate_quality", {"collection": "No Spaces"}, "collection"),
        ("propose_rollbacks", {"suite": "rules.yml"}, "suite"),
        ("evaluate_search", {"queries": "queries.jsonl"}, "queries"),
        ("evaluate_search", {"modes": []}, "modes"),
        ("evaluate_search", {"modes": ["by luck"]}, "modes"),
        ("evaluate_search", {"k": 0}, "k"),
        ("evaluate_search", {"fail_under": 2}, "fail_under"),
        ("propose_rollbacks", {"collection": "No Spaces"}, "collection"),
        ("propose_rollbacks", {"feedback_window_hours": 0}, "feedback_window_hours"),
        ("propose_rollbacks", {"least_negative": 0}, "least_negative"),
        ("propose_rollbacks", {"least_agents": 0}, "least_agents"),
        ("monitor_health", {"rules": "alerts.yml"}, "rules"),
        ("tend_indexes", {"queries": 0}, "queries"),
        ("tend_indexes", {"least_share": 2}, "least_share"),
        ("backup_knowledge", {"kind": "magic"}, "kind"),
        ("backup_knowledge", {"place": "backups"}, "place"),
        ("monitor_health", {"emails": ["nobody"]}, "emails"),
        ("export_knowledge", {"target": "relative"}, "target"),
        ("export_knowledge", {"tables": ["people"]}, "tables"),
        ("export_knowledge", {"filters": "x"}, "filters"),
        ("export_knowledge", {"columns": {"people": ["age"]}}, "columns"),
        ("export_knowledge", {"compression": "rar"}, "compression"),
        ("export_knowledge", {"rows_per_file": 0}, "rows_per_file"),
    ],
)
def test_a_bad_value_is_refused_before_anything_runs(api, known_dags, dag_id, conf, complaint):
    """Triggering with a value that the form's schema doesn't allow is answered with 400, naming the parameter."""
    answer = api.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"conf": conf, "logical_date": None})
    assert answer.status_code == 400
    assert complaint in answer.json()["detail"]


@pytest.mark.parametrize(
    ("dag_id", "conf"),
    [
        (
            "ingest_documents",
            {"sources": ["/data/docs", "~/notes/**/*.md", "dist:*", "https://example.org/?at=@me&turkey=1"]},
        ),
        ("ingest_documents", {"sources": ["/data/docs", "", ""], "based_on": ["12", "/data/docs/a.md", ""]}),
        ("bootstrap_knowledge", {}),
        ("reclaim_storage", {}),
        ("reclaim_storage", {"retention_days": 30, "dry_run": True}),
        ("rollback_knowledge", {"runs": ["manual__2026-11-20", ""], "operations": [12], "agents": []}),
        ("rollback_knowledge", {"plan": "0192f0c1-0000-7000-8000-000000000000"}),
        ("recalculate_quality", {}),
        ("audit_knowledge", {"collection": "docs", "suite": "/etc/recant/rules.yml", "quarantine": True}),
        ("recalculate_quality", {"collection": "docs", "at": "2026-11-20T08:00:00Z"}),
        ("propose_rollbacks", {}),
        ("tend_indexes", {}),
        ("backup_knowledge", {"kind": "physical", "place": "/mnt/backups", "keep": 3}),
        ("evaluate_search", {"queries": "/data/queries.jsonl", "modes": ["semantic"], "fail_under": 0.5}),
        (
            "monitor_health",
            {"emails": ["ops@example.org", ""], "slack_channel": "#ops", "rules": "/etc/recant/alerts.yml"},
        ),
        ("export_knowledge", {}),
        (
            "export_knowledge",
            {"target": "/x", "collection": "*", "filters": {"a": ["b"]}, "columns": {"chunks": ["text"]}},
        ),
        ("refresh_exports", {}),
        ("propose_rollbacks", {"suite": "/etc/recant/rules.yml", "collection": "docs", "least_negative": 3}),
        ("rollback_knowledge", {"runs": ["manual__2026-11-20"], "since": "2026-11-20T08:00:00Z", "policy": "cascade"}),
    ],
)
def test_what_the_forms_ask_for_is_accepted(api, known_dags, dag_id, conf):
    """A run can be triggered with what the form's help describes."""
    answer = api.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"conf": conf, "logical_date": None})
    assert answer.status_code == 200, answer.text
    api.delete(f"/api/v2/dags/{dag_id}/dagRuns/{answer.json()['dag_run_id']}").raise_for_status()


def test_the_reference_names_every_dag_parameter_and_task(dag_bag):
    """docs/reference/dags.md leaves none out."""
    page = (PROJECT / "docs/reference/dags.md").read_text("utf-8")
    for dag in dag_bag.dags.values():
        assert f"## {dag.dag_id}" in page
        assert [name for name in [*dag.params, *dag.task_ids] if f"`{name}`" not in page] == []


def test_the_reference_names_every_operator_and_what_it_takes(dag_bag):
    """docs/reference/operators.md leaves none out, of those that the DAGs use."""
    page = (PROJECT / "docs/reference/operators.md").read_text("utf-8")
    tasks = [task for dag in dag_bag.dags.values() for task in dag.tasks]
    assert [task.task_type for task in tasks if f"| `{task.task_type}` |" not in page] == []
    own = {field for task in tasks for field in task.template_fields} - {"subject", "body"}
    assert [field for field in own if f"`{field}`" not in page] == []
