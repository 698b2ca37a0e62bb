"""rollback_knowledge: nothing is taken back unless a person has approved what the plan says."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow

QUESTION = "how often should the machine be descaled?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the agents ingest."""
    return tmp_path_factory.mktemp("documents")


@pytest.fixture(scope="module")
def history(new_database, migrated_template: str, on_database, folder: Path, tmp_path_factory) -> dict:
    """A database with the librarian's document, its replacement and an addition by `rogue`; what search answered."""
    dsn = new_database(migrated_template)
    with on_database(dsn, tmp_path_factory.mktemp("home")) as kb:
        (folder / "descaling.md").write_text(
            "# Descaling\n\nDescale the machine every three months with citric acid.\n"
        )
        kb.ingest([str(folder)], agent="librarian")
        before = hits(kb)
        (folder / "descaling.md").write_text("# Descaling\n\nNever descale the machine. Scale makes it stronger.\n")
        (folder / "warranty.md").write_text("# Warranty\n\nThe warranty ends when the machine is descaled.\n")
        report = kb.ingest([str(folder)], agent="rogue`](http://evil.example)", session="night", run="rogue-run")
        return {"dsn": dsn, "rogue": report.operation_id, "before": before, "after": hits(kb)}


@pytest.fixture
def installation(history: dict, new_database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A copy of that database for each test."""
    dsn = new_database(history["dsn"].rpartition("/")[2])
    monkeypatch.setenv("RECANT_DSN", dsn)
    monkeypatch.setenv("RECANT_HOME", str(tmp_path / "recant"))
    monkeypatch.setenv("RECANT_EMBEDDER", "local")
    return dsn


def hits(kb) -> list[tuple]:
    """What a search answers with, without its duration."""
    return [(h.chunk_id, h.score, h.text, h.operation_id) for h in kb.search(QUESTION, limit=5).hits]


def test_an_approved_rollback_restores_the_answers(run_dag, person, api, kb, history):
    """Search answers as before, the certificate is verified, and the log says who asked and who approved."""
    assert history["before"] != history["after"]
    with person("Approve"):
        run = run_dag("rollback_knowledge", {"runs": ["rogue-run", ""], "agent": "auditor", "message": "lies"})
    assert run.state == "success"
    assert hits(kb) == history["before"]
    certificate = run.xcom("verify_rollback")
    assert certificate["verified"]
    assert certificate["approved_by"] == "alice"
    stored = kb.rollbacks.load_plan(run.xcom("plan_rollback")["plan_id"])
    assert (stored.state, stored.approved_by) == ("verified", "alice")
    assert stored.certificate | {"files": certificate["files"]} == certificate
    files = {ending: Path(path) for ending, path in certificate["files"].items()}
    assert json.loads(files["json"].read_text()) == stored.certificate
    assert "verified." in files["md"].read_text()
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o600}
    assert {path.stem for path in files.values()} == {str(stored.applied_as)}
    links = api.get(f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/apply_rollback/links").json()
    assert links["extra_links"]["Operation"].endswith("/tasks/apply_rollback/asset_events")
    operation = kb.operations.get(run.xcom("apply_rollback")["rollback_operation_id"])
    assert (operation.kind, operation.agent, operation.message) == ("rollback", "auditor", "lies")
    assert (operation.run_id, operation.context["task_id"]) == (run.run_id, "apply_rollback")
    assert run.announced() == [(str(operation.operation_id), "rollback")]


def test_an_approved_rollback_that_blocks_keeps_it_out(run_dag, person, kb, history, folder):
    """Whoever approves sees what is blocked; the next ingest of the same folder leaves it out."""
    with person("Approve") as someone:
        run = run_dag("rollback_knowledge", {"runs": ["rogue-run"], "block": True, "message": "lies"})
    assert run.state == "success"
    assert "**Blocks 2 contents** from then on" in someone.asked["body"]
    report = kb.ingest([str(folder)])
    assert (report.documents, [r["code"] for r in report.rejected]) == (0, ["blocked", "blocked"])
    assert hits(kb) == history["before"]


def test_a_rejected_rollback_changes_nothing(run_dag, person, api, kb, history):
    """After Reject the run ends well, nothing is withdrawn, and the log has no new entry."""
    position = kb.position()
    with person("Reject"):
        run = run_dag("rollback_knowledge", {"operations": [history["rogue"]]})
    assert (run.state, run.state_of("apply_rollback"), run.state_of("verify_rollback")) == (
        "success",
        "skipped",
        "skipped",
    )
    assert (kb.position(), hits(kb)) == (position, history["after"])
    links = api.get(f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/plan_rollback/links").json()
    assert links["extra_links"]["Approval"].endswith("/tasks/approve_rollback/required_actions")


def test_what_is_approved_is_shown_before(run_dag, person, kb, history):
    """The question names operations, agents, sessions, records and documents; an agent's name can't become a link.

    The plan can be applied for as long as the answer may take.
    """
    conf = {"sessions": ["night"], "message": "it lies about the warranty", "approval_timeout_hours": 200}
    with person("Reject") as someone:
        run = run_dag("rollback_knowledge", conf)
    plan = kb.rollbacks.load_plan(run.xcom("plan_rollback")["plan_id"])
    assert plan.expires_at - plan.created_at > timedelta(hours=223)
    assert someone.asked["subject"] == "Roll back 1 operation?"
    body = someone.asked["body"]
    for shown in (
        f"**Withdraws 1 operation**: {history['rogue']}.",
        "Reason given: `it lies about the warranty`",
        "`night`",
        "2 document",
        "1 document",
        "warranty.md",
    ):
        assert shown in body
    assert "`rogue'](http://evil.example)`" in body
    assert "[" not in body.replace("`rogue'](http://evil.example)`", "")


def test_an_approval_that_nobody_gives_in_time_counts_as_rejected(run_dag, api, kb, history):
    """When the hours are over, Airflow's scheduler answers with the default, and nothing is withdrawn."""
    over = threading.Event()
    clock = threading.Thread(target=sweep_until, args=(over,))
    clock.start()
    try:
        run = run_dag(
            "rollback_knowledge", {"agents": ["librarian"], "policy": "cascade", "approval_timeout_hours": 1e-5}
        )
    finally:
        over.set()
        clock.join()
    assert (run.state, run.state_of("apply_rollback")) == ("success", "skipped")
    path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/approve_rollback/-1/hitlDetails"
    answer = api.get(path).json()
    assert (answer["chosen_options"], answer["responded_by_user"]) == (["Reject"], None)
    assert hits(kb) == history["after"]


def sweep_until(over: threading.Event) -> None:
    """What Airflow's scheduler does twice a minute, four times a second."""
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.utils.session import create_session

    runner = SchedulerJobRunner(Job())
    while not over.wait(0.25):
        with create_session() as session:
            runner.check_awaiting_input_timeouts(session=session)


def test_nothing_to_withdraw_ends_well_and_asks_nobody(run_dag, kb, history):
    """A selector that matches nothing ends the run as a success, without an approval."""
    run = run_dag("rollback_knowledge", {"agents": ["nobody-at-all"]})
    assert (run.state, run.state_of("plan_rollback")) == ("success", "success")
    assert {run.state_of(f"{task}_rollback") for task in ("approve", "apply", "verify")} == {"skipped"}


def test_dependents_stop_the_plan_with_a_report(run_dag, person, kb, folder, history, capfd):
    """Under refuse, the first attempt fails and its log shows who built on it; under cascade they are taken back, too."""
    kb.ingest([str(folder)], agent="reader")
    run = run_dag("rollback_knowledge", {"runs": ["rogue-run"]})
    assert (run.state, run.tries["plan_rollback", -1]) == ("failed", 1)
    log = capfd.readouterr().out
    assert "affirmed from" in log
    assert "`reader`" in log
    with person("Approve"):
        run = run_dag("rollback_knowledge", {"runs": ["rogue-run"], "policy": "cascade"})
    assert len(run.xcom("apply_rollback")["withdrawn"]) == 2
    assert hits(kb) == history["before"]


def test_a_plan_that_is_no_longer_true_is_not_applied(run_dag, person, kb, folder, history):
    """Somebody builds on it while the approval is awaited: apply fails at the first attempt and changes nothing."""
    with person("Approve", meanwhile=lambda: kb.ingest([str(folder)], agent="reader")):
        run = run_dag("rollback_knowledge", {"runs": ["rogue-run"]})
    assert (run.state, run.state_of("apply_rollback"), run.tries["apply_rollback", -1]) == ("failed", "failed", 1)
    assert "PlanStale" in run.xcom("apply_rollback", "failure")
    assert hits(kb) == history["after"]


def test_an_apply_that_is_tried_again_after_it_went_through_is_a_success(run_dag, person, kb, history, monkeypatch):
    """A worker lost right after applying costs nothing: the retry finds it done, and the same rollback is verified."""
    from recant.rollback import Rollback

    whole = Rollback.apply

    def apply(self, plan, attribution):
        report = whole(self, plan, attribution)
        if report.applied:
            raise ConnectionError("the worker is gone")
        return report

    monkeypatch.setattr(Rollback, "apply", apply)
    with person("Approve"):
        run = run_dag("rollback_knowledge", {"runs": ["rogue-run"]})
    assert (run.state, run.tries["apply_rollback", -1]) == ("success", 2)
    assert run.xcom("verify_rollback")["verified"]
    assert len([o for o in kb.operations.find() if o.kind == "rollback"]) == 1
    assert len(run.announced()) == 1


def test_an_unknown_operation_is_no_reason_to_try_again(run_dag, kb):
    """A mistake in the form fails at the first attempt."""
    run = run_dag("rollback_knowledge", {"operations": [987654]})
    assert (run.state, run.tries["plan_rollback", -1]) == ("failed", 1)
    assert "UnknownOperation" in run.xcom("plan_rollback", "failure")


def test_a_selector_without_conditions_is_refused(run_dag, kb):
    """An empty form never means everything."""
    run = run_dag("rollback_knowledge", {})
    assert (run.state, run.tries["plan_rollback", -1]) == ("failed", 1)
    assert "EmptySelector" in run.xcom("plan_rollback", "failure")
