"""reembed_collection: built, compared, approved where that is wanted, changed over; and taken back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recant.oplog import Selector
from tests.shorter_model import shorter_model

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A good one; and one of a single dimension, which knows two answers to any question."""
    folder = tmp_path_factory.mktemp("models")
    return shorter_model(folder, dimensions=128), shorter_model(folder, dimensions=1, layers=1)


@pytest.fixture
def queries(installation, models, monkeypatch, documents_in, tmp_path: Path) -> str:
    """Three documents, published by the default model; a query about each."""
    import recant

    monkeypatch.setenv("RECANT_MODELS", ",".join(map(str, models)))
    with recant.connect() as kb:
        kb.ingest([str(documents_in(tmp_path))])
    rows = [
        {"query": "when do I descale the machine?", "expected": ["espresso.md"]},
        {"query": "where do swallows nest?", "expected": ["swallows.md"]},
        {"query": "convert degrees Celsius to Fahrenheit", "expected": ["temperature.py"]},
    ]
    place = tmp_path / "queries.jsonl"
    place.write_text("\n".join(map(json.dumps, rows)))
    return str(place)


def test_a_collection_changes_over_and_back(run_dag, api, person, queries, models, installation):
    """Whoever is asked sees the measures; the operation keeps them, is in lineage, and a rollback ends it."""
    import recant

    with person("Approve") as someone:
        run = run_dag("reembed_collection", {"model": models[0].name, "queries": queries, "ask": True, "max_drop": 0.1})
    assert run.state == "success"
    measured = run.xcom("evaluate")
    assert (
        "| ndcg | {:.4f} | {:.4f} |".format(measured["before"]["ndcg"], measured["after"]["ndcg"])
        in someone.asked["body"]
    )
    done = run.xcom("switch")
    assert (done["previous_model"], done["dimensions"]) == ("sentence-transformers/all-MiniLM-L6-v2", 128)
    assert run.xcom("build")["embedded"] == run.xcom("build")["texts"] > 0
    with recant.connect() as kb:
        operation = kb.operations.get(done["operation_id"])
        assert (operation.kind, operation.run_id) == ("reembed", run.run_id)
        assert operation.parameters["evaluation"] == measured
        assert kb.collections()[0].model == models[0].name
        kb.rollback(Selector(operations=(operation.operation_id,)))
        assert kb.collections()[0].dimensions == 384


def test_a_model_that_finds_less_is_not_taken(run_dag, queries, models):
    """The evaluation fails the run at once; searches stay as they were, and nobody is asked."""
    import recant

    run = run_dag("reembed_collection", {"model": models[1].name, "queries": queries})
    assert (run.state, run.state_of("evaluate"), run.state_of("switch")) == ("failed", "failed", "upstream_failed")
    assert run.tries["evaluate", -1] == 1
    with recant.connect() as kb:
        assert kb.collections()[0].dimensions == 384
        assert [o.kind for o in kb.log()] == ["ingest"]


def test_without_queries_and_questions_it_goes_through(run_dag, queries, models):
    """Nothing is compared, nobody is asked."""
    run = run_dag("reembed_collection", {"model": models[1].name, "soak_days": 0})
    assert run.state == "success"
    assert (run.xcom("evaluate"), run.xcom("switch")["evaluation"]) == (None, None)
