"""How the story is told in a pipe."""

from __future__ import annotations

import pytest

from recant.demo.airflow_client import TaskState
from recant.demo.narrator import Narrator


def tasks(**states: str | list[str | None] | None) -> list[TaskState]:
    """Task instances by name; a list is a mapped task."""
    found = []
    for name, state in states.items():
        mapped = isinstance(state, list)
        for index, one in enumerate(state if isinstance(state, list) else [state]):
            found.append(TaskState(name, index if mapped else -1, one, 1))
    return found


def test_a_task_is_told_when_it_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    """Once each; mapped tasks are counted."""
    with Narrator().tasks_of("ingest_documents") as watch:
        watch(tasks(listing="running", write=None))
        watch(tasks(listing="success", write=["running", None]))
        watch(tasks(listing="success", write=["success", "running"]))
        watch(tasks(listing="success", write=["success", "failed"]))
        watch(tasks(listing="success", write=["success", "failed"]))
    lines = [line.split(" s  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["listing: success", "write 1 of 2: success", "write 2 of 2: failed, success"]


def test_a_heading_counts_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    """Which step, of how many, and its name; no escape sequences in a pipe."""
    Narrator().heading(3, 8, "A question")
    out = capsys.readouterr().out
    assert "3/8  A question" in out
    assert "\x1b" not in out


def test_poison_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    """A hit of a marked operation carries a skull, another one doesn't."""
    hit = {"rank": 1, "score": 0.5, "operation_id": 1, "source": "s", "text": "good\ntext"}
    Narrator().hits([hit, hit | {"rank": 2, "operation_id": 2, "text": "bad"}], marked=[2])
    lines = capsys.readouterr().out.splitlines()
    assert "good text" in lines[1]
    assert "☠" not in lines[1]
    assert "☠ bad" in lines[2]


def test_steps_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A line each, with the seconds since the beginning."""
    with Narrator().steps_of("Starting …") as progress:
        progress("PostgreSQL listens on 127.0.0.1:5432")
    assert capsys.readouterr().out.endswith("s  PostgreSQL listens on 127.0.0.1:5432\n")
