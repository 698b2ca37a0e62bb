"""recalculate_quality: scores of the collection, as an operation of the DAG's run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

import recant
from recant.scores import Policy
from recant.settings import read_settings
from tests.integration.library import Library

pytestmark = pytest.mark.airflow


@pytest.fixture
def kb(installation: str) -> Iterator[recant.KnowledgeBase]:
    """A document that says of itself that it is old, where documents age."""
    with recant.connect(settings=replace(read_settings({"RECANT_COLLECTION": "library"}), dsn=installation)) as kb:
        library = Library(kb.database)
        target = library.begin(operation := library.open())
        with kb.database.transaction() as connection:
            row = replace(library.row("a", "one", None), attributes={"updated_at": "2001-01-01"})
            library.corpus.append(connection, target, [row])
        library.log.finish_batch(target.batch_id, {})
        library.log.publish(operation)
        kb.quality.set_policy(Policy("", 365, floor=20), kb.attribution())
        yield kb


def test_scores_are_recalculated_by_a_run(run_dag, kb):
    """As an operation of that run, with its task, agent and message, and as of a time where one is given."""
    run = run_dag("recalculate_quality", {"collection": "library", "agent": "nora", "message": "nightly"})
    assert run.state == "success"
    report = run.xcom("recalculate_quality")
    assert (report["scored"], report["changed"]) == (1, 1)
    assert kb.quality.show(1).score == 20
    operation = kb.operations.get(report["operation_id"])
    assert (operation.kind, operation.agent, operation.message) == ("recalculate_quality", "nora", "nightly")
    assert (operation.run_id, operation.context["task_id"]) == (run.run_id, "recalculate_quality")
    again = run_dag("recalculate_quality", {"collection": "library", "at": "2002-01-01T00:00:00Z"})
    assert (again.xcom("recalculate_quality")["at"], kb.quality.show(1).score) == ("2002-01-01T00:00:00+00:00", 35)


def test_a_collection_that_is_not_there_fails_at_once(run_dag, kb):
    """Trying again can't help."""
    assert run_dag("recalculate_quality", {"collection": "elsewhere"}).state == "failed"
