"""evaluate_search: measures are kept, a drop is told of, and too low a one fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow


@pytest.fixture
def queries(kb, documents_in, tmp_path: Path) -> str:
    """Three documents, published; queries about two of them."""
    kb.ingest([str(documents_in(tmp_path))])
    rows = [
        {"query": "when do I descale the machine?", "expected": ["espresso.md"]},
        {"query": "where do swallows nest?", "expected": ["swallows.md"]},
    ]
    place = tmp_path / "queries.jsonl"
    place.write_text("\n".join(map(json.dumps, rows)))
    return str(place)


def test_without_queries_it_is_skipped(run_dag, installation):
    """Neither the form nor the Variable names any."""
    run = run_dag("evaluate_search", {})
    assert {run.state_of(name) for name in ("evaluate", "check_health", "tell", "require")} == {"skipped"}


def test_a_drop_is_told_of(run_dag, kb, queries, tmp_path, monkeypatch):
    """The result names the operations since; the alert fires; below the bound the run fails, and people are told."""
    monkeypatch.setenv("AIRFLOW_VAR_RECANT_JUDGED_QUERIES", queries)
    run = run_dag("evaluate_search", {"k": 1, "fail_under": 0.9})
    assert run.state == "success"
    assert (run.xcom("evaluate")[0]["measures"]["ndcg"], run.xcom("require")) == (1.0, 1.0)
    spam = tmp_path / "spam.md"
    spam.write_text("# Where do swallows nest?\n\nWhere do swallows nest? Swallows nest where they nest.\n")
    operation = kb.ingest([str(spam)], agent="spammer").operation_id
    dropped = run_dag("evaluate_search", {"queries": queries, "k": 1, "fail_under": 0.9})
    (report,) = dropped.xcom("evaluate")
    assert (report["drop"], [one["operation_id"] for one in report["since"]]) == (0.5, [operation])
    assert "search_worse" in [alert["rule"] for alert in dropped.xcom("check_health")["fired"]]
    assert (dropped.state, dropped.state_of("require"), dropped.state_of("tell")) == ("failed", "failed", "success")
    assert dropped.tries["require", -1] == 1
