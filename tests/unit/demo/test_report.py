"""demo-report.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recant.demo import story as stories
from recant.demo.narrator import Narrator
from recant.demo.report import DemoReport, Step
from recant.demo.story import STEPS, Story, tell
from recant.errors import DatabaseUnreachable
from recant.settings import read_settings


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """A story that nothing was told of yet."""
    return Story(read_settings({"RECANT_HOME": str(tmp_path)}), Narrator())


def told(monkeypatch: pytest.MonkeyPatch, story: Story, *endings: BaseException | dict[str, object]) -> DemoReport:
    """The report of a story whose steps end so."""

    def step(ending: BaseException | dict[str, object]) -> object:
        def do(_: Story) -> dict[str, object]:
            if isinstance(ending, BaseException):
                raise ending
            return ending

        return do

    monkeypatch.setattr(stories, "STEPS", tuple((f"step {n}", step(e)) for n, e in enumerate(endings, start=1)))
    return tell(story)


def test_there_is_a_step_for_each_promise() -> None:
    """Eight steps, each with a name of its own."""
    assert len(STEPS) == 8
    assert len({name for name, _ in STEPS}) == 8


def test_all_steps_held(monkeypatch: pytest.MonkeyPatch, story: Story, tmp_path: Path) -> None:
    """Each has name, ok and seconds, and what it found out; the whole is ok."""
    report = told(monkeypatch, story, {"documents": 3}, {})
    path = tmp_path / "demo-report.json"
    report.write(path)
    written = json.loads(path.read_text("utf-8"))
    assert written["ok"] is True
    assert [(s["name"], s["ok"]) for s in written["steps"]] == [("step 1", True), ("step 2", True)]
    assert written["steps"][0]["documents"] == 3
    assert all(isinstance(s["seconds"], float) for s in written["steps"])
    assert written["versions"]["apache-airflow"].startswith("3.")


def test_after_a_failed_step_the_rest_is_skipped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, story: Story
) -> None:
    """The failure is said and written down, what follows is not tried, and the whole is not ok."""
    report = told(monkeypatch, story, {}, DatabaseUnreachable("nobody there"), {})
    steps = report.to_dict()["steps"]
    assert not report.ok
    assert [(s["ok"], s.get("skipped", False)) for s in steps] == [(True, False), (False, False), (False, True)]
    assert steps[1]["error"] == "DatabaseUnreachable: nobody there"
    out = capsys.readouterr().out
    assert "✘ nobody there" in out
    assert "step 3" not in out


def test_an_interrupted_story_is_not_ok(monkeypatch: pytest.MonkeyPatch, story: Story) -> None:
    """Ctrl-C ends it; the report knows at which step."""
    with pytest.raises(KeyboardInterrupt):
        told(monkeypatch, story, {}, KeyboardInterrupt(), {})
    steps = story.report.to_dict()["steps"]
    assert not story.report.ok
    assert [(s["ok"], s.get("skipped", False)) for s in steps] == [(True, False), (False, False), (False, True)]
    assert steps[1]["error"] == "KeyboardInterrupt"


def test_no_step_is_not_ok() -> None:
    """A report of nothing promises nothing."""
    assert not DemoReport().ok
    assert DemoReport([Step("a", ok=True)]).ok
