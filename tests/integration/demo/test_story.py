"""The steps of the demo that need no Airflow, on a real database and real embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recant.demo.narrator import Narrator
from recant.demo.poison import poisoned_records, write_records
from recant.demo.story import QUESTIONS, ROGUE, StepFailed, Story, ask, ask_again, trace, withdraw_leftovers
from recant.oplog import Selector
from recant.settings import read_settings

TEXTS = {
    "install.md": "# Installing\n\nInstall Apache Airflow with pip and the constraints file of its version.\n",
    "secrets.md": "# Secrets\n\nKeep passwords and connections of Airflow in a secrets backend.\n",
    "vectors.md": "# Vectors\n\nWith pgvector PostgreSQL searches for similar vectors.\n",
}


@pytest.fixture
def story(capsys: pytest.CaptureFixture[str], database: str, tmp_path: Path) -> Story:
    """A story with something to ask about."""
    environment = {"RECANT_HOME": str(tmp_path / "home"), "RECANT_DSN": database, "RECANT_EMBEDDER": "local"}
    told = Story(read_settings(environment), Narrator())
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text, "utf-8")
    with told.kb() as kb:
        kb.ingest([str(tmp_path / name) for name in TEXTS], agent="librarian")
    return told


def poison(story: Story, run: str) -> int:
    """What the rogue agent's DAG run would have written."""
    victims = [(hit["source"], hit["title"]) for hit in story.before[0]["hits"][:1]]
    path = write_records(story.settings.home / "demo" / "corrections.jsonl", poisoned_records(victims))
    with story.kb() as kb:
        return kb.ingest([str(path)], agent=ROGUE, session=story.session, run=run).operation_id


def test_before_poison_rollback_and_after(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    """The blast radius is that of the run, and after its rollback every question is answered as before."""
    ask(story)
    assert "Install Apache Airflow with pip" in capsys.readouterr().out
    story.rogue_run, story.rogue_operation = "run-1", poison(story, "run-1")
    found = trace(story)
    assert (found["agents"], found["revived"]["document"]) == ([ROGUE], 1)
    with pytest.raises(StepFailed, match="not what they were"):
        story.report.story["certificate"] = {"verified": False}
        ask_again(story)
    with story.kb() as kb:
        report = kb.rollback(Selector(runs=("run-1",)))
    story.report.story["certificate"] = report.to_dict()["certificate"]
    assert ask_again(story)["identical"] is True
    json.dumps(story.report.to_dict())


def test_what_an_interrupted_demo_left_is_taken_back(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the demo's own sessions; somebody else's agent of that name is left alone."""
    ask(story)
    left = poison(story, "run-1")
    with story.kb() as kb:
        others = kb.ingest([str(story.settings.home.parent / "vectors.md")], agent=ROGUE, session="mine").operation_id
    withdraw_leftovers(story)
    assert f"[{left}]" in capsys.readouterr().out
    with story.kb() as kb:
        states = {o.operation_id: o.state for o in kb.log(Selector(agents=(ROGUE,)))}
    assert states == {left: "reverted", others: "published"}
    withdraw_leftovers(story)
    assert capsys.readouterr().out == ""


def test_a_run_that_reached_nothing_fails_the_step(story: Story) -> None:
    """The blast radius of an operation that revives nothing is not the demo's."""
    ask(story)
    with story.kb() as kb:
        [first] = kb.log()
        story.rogue_operation = first.operation_id
        story.rogue_run = first.lineage_run_id
    with pytest.raises(StepFailed, match="no document that would come back"):
        trace(story)


def test_a_question_without_an_answer_fails_the_step(story: Story) -> None:
    """Nothing is visible: nothing is found, and the step says so."""
    with story.kb() as kb:
        kb.rollback(Selector(agents=("librarian",)))
    with pytest.raises(StepFailed, match="not answered"):
        ask(story)
    assert len(QUESTIONS) == len(story.before)
