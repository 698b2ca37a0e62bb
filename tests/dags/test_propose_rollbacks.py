"""propose_rollbacks: what shouldn't be published is put before a person, with the evidence, by rollback_knowledge."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow

STRICT = """
name: house_rules
expectations:
  - name: says_enough
    expectation: expect_column_values_to_be_between
    severity: critical
    arguments: { column: visible_characters, min_value: 30 }
"""
QUESTION = "how often should the machine be descaled?"


@pytest.fixture
def suite(tmp_path: Path) -> str:
    """Stricter than the gate."""
    path = tmp_path / "house_rules.yml"
    path.write_text(STRICT)
    return str(path)


@pytest.fixture
def folder(kb, tmp_path: Path) -> Path:
    """Two documents, both published; one of them says too little for the house rules."""
    place = tmp_path / "documents"
    place.mkdir()
    (place / "descaling.md").write_text("# Descaling\n\nDescale the machine every three months with citric acid.\n")
    (place / "warranty.md").write_text("# Warranty\n\nNone.\n")
    kb.ingest([str(place)], agent="rogue")
    return place


def sources(kb) -> list[str]:
    """What a search finds."""
    return sorted(Path(hit.source).name for hit in kb.search(QUESTION, limit=5).hits)


def test_what_fails_is_asked_about_and_taken_back_when_approved(
    run_dag, run_started, known_dags, person, kb, folder, suite
):
    """The question shows document, expectation and plan; approved, that document alone is gone, and it is certified."""
    found = run_dag("propose_rollbacks", {"suite": suite})
    assert (found.state, found.states_of("ask")) == ("success", ["success"])
    (waiting,) = found.xcom("find")
    assert sources(kb) == ["descaling.md", "warranty.md"]
    with person("Approve") as someone:
        run = run_started("rollback_knowledge", f"proposal__{waiting['plan_id']}")
    assert run.state == "success"
    assert sources(kb) == ["descaling.md"]
    assert run.xcom("verify_rollback")["verified"]
    assert someone.asked["subject"] == "Roll back 1 document?"
    for shown in ("`says_enough`", "`house_rules`", "warranty.md", "Nobody asked for this"):
        assert shown in someone.asked["body"]
    operation = kb.operations.get(run.xcom("apply_rollback")["rollback_operation_id"])
    assert operation.agent == "auditor"
    assert operation.message.startswith("proposed because documents that are published fail")


def test_the_same_is_not_asked_twice(run_dag, known_dags, kb, folder, suite):
    """While the question is open, the next run finds its run there and skips it."""
    first = run_dag("propose_rollbacks", {"suite": suite})
    second = run_dag("propose_rollbacks", {"suite": suite})
    assert (second.state, second.states_of("ask")) == ("success", ["skipped"])
    assert second.xcom("find") == first.xcom("find")
    assert len(kb.rollbacks.plans.find()) == 1


def test_a_rejected_proposal_is_closed(run_dag, run_started, known_dags, person, kb, folder, suite):
    """The plan is aborted in the person's name, nothing is changed, and the next run asks nobody."""
    (waiting,) = run_dag("propose_rollbacks", {"suite": suite}).xcom("find")
    with person("Reject"):
        run = run_started("rollback_knowledge", f"proposal__{waiting['plan_id']}")
    assert (run.state, run.state_of("apply_rollback")) == ("success", "skipped")
    plan = kb.rollbacks.plans.get(waiting["plan_id"])
    assert (plan.state, plan.aborted_by) == ("aborted", "alice")
    assert sources(kb) == ["descaling.md", "warranty.md"]
    again = run_dag("propose_rollbacks", {"suite": suite})
    assert (again.state, again.xcom("find")) == ("success", [])


def test_an_installation_may_hide_at_once(run_dag, run_started, known_dags, person, kb, folder, suite, monkeypatch):
    """Under RECANT_AUTO_ROLLBACK=quarantine it is hidden before anybody answers; a person's no shows it again."""
    monkeypatch.setenv("RECANT_AUTO_ROLLBACK", "quarantine")
    (waiting,) = run_dag("propose_rollbacks", {"suite": suite}).xcom("find")
    assert sources(kb) == ["descaling.md"]
    with person("Reject") as someone:
        run_started("rollback_knowledge", f"proposal__{waiting['plan_id']}")
    assert "rejecting shows it again" in someone.asked["body"]
    assert sources(kb) == ["descaling.md", "warranty.md"]


def test_nothing_to_propose_ends_well_and_asks_nobody(run_dag, kb, folder):
    """By the gate's own suite all is well."""
    run = run_dag("propose_rollbacks", {})
    assert (run.state, run.xcom("find")) == ("success", [])
    assert run.states_of("ask") == ["skipped"]


def test_a_suite_that_is_not_there_is_no_reason_to_try_again(run_dag, kb, folder):
    """A mistake in the form fails at the first attempt."""
    run = run_dag("propose_rollbacks", {"suite": "/nowhere/suite.yml"})
    assert (run.state, run.tries["find", -1]) == ("failed", 1)
    assert "BadSuite" in run.xcom("find", "failure")


def test_conditions_beside_a_stored_plan_are_refused(run_dag, kb, folder):
    """A plan says itself what is taken back."""
    plan = kb.plan_rollback(_everything_of("rogue"))
    run = run_dag("rollback_knowledge", {"plan": plan.plan_id, "agents": ["rogue"]})
    assert run.state == "failed"
    assert "UsageError" in run.xcom("plan_rollback", "failure")


def _everything_of(agent: str):
    from recant import Selector

    return Selector(agents=(agent,))
