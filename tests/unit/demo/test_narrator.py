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
    with Narrator().tasks_of(told=["opened"]) as watch:
        watch(tasks(opened="success", listing="running", write=None))
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


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Narrator:
    """A narrator whose console believes it is a terminal."""
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    return Narrator()


def test_on_a_terminal_there_are_bars_and_colours(capsys: pytest.CaptureFixture[str], terminal: Narrator) -> None:
    """A bar a task that has begun; mapped tasks are counted."""
    with terminal.tasks_of() as watch:
        watch(tasks(listing="success", write=None))
        watch(tasks(listing="success", write=["success", "running"]))
        watch(tasks(listing="success", write=["success", "success"]))
    terminal.heading(1, 8, "Everything comes up")
    out = capsys.readouterr().out
    assert "listing" in out
    assert "2/2" in out
    assert "\x1b[1;36m1/8" in out


def test_on_a_terminal_markdown_is_rendered(capsys: pytest.CaptureFixture[str], terminal: Narrator) -> None:
    """Its marks are gone; in a pipe they stay."""
    terminal.markdown("**Withdraws** `2`\x1b[2J")
    assert "**" not in (shown := capsys.readouterr().out)
    assert "\x1b[2J" not in shown


def test_in_a_pipe_markdown_stays(capsys: pytest.CaptureFixture[str]) -> None:
    """As it was written."""
    Narrator().markdown("**Withdraws** `2`")
    assert capsys.readouterr().out == "**Withdraws** `2`\n"


def test_a_long_source_is_shown_by_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    """The end tells more than the beginning."""
    hit = {"rank": 1, "score": 0.5, "operation_id": 1, "source": "/very" * 30 + "/end.md", "text": "t"}
    Narrator().hits([hit])
    assert "…" in (out := capsys.readouterr().out)
    assert "/end.md" in out
    assert "/very" * 20 not in out
