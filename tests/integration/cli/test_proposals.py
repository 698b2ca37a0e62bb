"""`audit`, `feedback`, `propose`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.command_line import Run
from tests.integration.library import Library

STRICT = """
name: strict
expectations:
  - name: says_enough
    expectation: expect_column_values_to_be_between
    severity: critical
    arguments: { column: visible_characters, min_value: 20 }
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Wants twenty characters."""
    path = tmp_path / "strict.yml"
    path.write_text(STRICT)
    return path


def published(library: Library) -> int:
    """One document that says enough, and one that doesn't."""
    return library.publish({"a": "A sentence that says something.", "b": "Never."}, agent="rogue")


def test_audit_names_what_fails_and_ends_with_one(recant: Run, library: Library, suite: Path) -> None:
    """By operation and document; with 0 where nothing critical fails."""
    bad = published(library)
    ended = recant("audit", "--collection", "library", "--suite", suite)
    assert ended.code == 1
    assert f"{bad}" in ended.out
    assert "says_enough" in ended.out
    assert "2 documents, 2 chunks, suite strict: 1 of them fail" in ended.out
    found = recant("audit", "--collection", "library", "--suite", suite, "--json")
    assert (found.code, found.document["operations"][0]["documents"][0]["source"]) == (1, "b")
    fine = recant("audit", "--collection", "library")
    assert (fine.code, "nothing critical fails" in fine.out) == (0, True)
    assert recant("audit", "--collection", "nowhere").code == 2


def test_audit_hides_what_fails_where_that_is_asked_for(recant: Run, library: Library, suite: Path) -> None:
    """The rest of its operation stays; it still ends with 1, because something failed."""
    published(library)
    asked = ("audit", "--collection", "library", "--suite", suite)
    ended = recant(*asked, "--quarantine", "--as", "nora", "--json")
    (quarantine,) = ended.document["quarantines"]
    assert (ended.code, library.view().keys()) == (1, {"a"})
    assert recant("show", quarantine, "--json").document["agent"] == "nora"
    assert recant(*asked).code == 0
    assert recant("redo", quarantine).code == 0
    assert "withdrawn" in recant(*asked, "--quarantine").out


def test_feedback_is_given_by_chunk(recant: Run, library: Library) -> None:
    """And is an operation of its own."""
    published(library)
    given = recant("feedback", "1", "incorrect", "--comment", "it lies", "--agent", "ada", "--json").document
    assert (given["verdict"], given["source"]) == ("incorrect", "a")
    shown = recant("show", given["operation_id"], "--json").document
    assert (shown["kind"], shown["agent"]) == ("feedback", "ada")
    assert "helpful, of a, as operation" in recant("feedback", "1", "helpful").out
    assert recant("feedback", "99", "helpful").code == 2
    assert recant("feedback", "1", "brilliant").code == 2


def test_propose_stores_plans_that_rollback_takes(recant: Run, library: Library, suite: Path) -> None:
    """A dry run stores nothing; the plan of a real one is shown, applied by its id, and not proposed again."""
    bad = published(library)
    asked = ("propose", "--collection", "library", "--suite", suite)
    dry = recant(*asked, "--dry-run", "--json").document["proposals"]
    assert [(p["operation_id"], p["plan_id"]) for p in dry] == [(bad, None)]
    assert recant("plan", "list", "--json").document["plans"] == []
    text = recant(*asked, "--as", "auditor").out
    assert "documents that are published fail the suite strict" in text
    assert recant(*asked).out == "Nothing new to propose.\n"
    (plan,) = recant("plan", "list", "--json").document["plans"]
    assert (plan["agent"], plan["plan_id"] in text) == ("auditor", True)
    shown = recant("plan", "show", plan["plan_id"]).out
    assert "Proposed because documents that are published fail the suite strict." in shown
    assert "says_enough" in shown
    assert "`says_enough`" in recant("plan", "show", plan["plan_id"], "--markdown").out
    assert recant("plan", "show", plan["plan_id"], "--json").document["proposal"]["operation_id"] == bad
    assert recant("rollback", "--plan", plan["plan_id"], "--yes").code == 0
    assert set(library.view()) == {"a"}


def test_propose_takes_the_burst_as_it_is_told(recant: Run, library: Library) -> None:
    """One verdict by one agent within an hour, if that is asked for."""
    bad = published(library)
    recant("feedback", "2", "confusing", "--agent", "ada")
    asked = ("propose", "--collection", "library", "--json", "--hours", "1", "--least-agents", "1")
    assert recant(*asked).document["proposals"] == []
    (found,) = recant(*asked, "--least-negative", "1").document["proposals"]
    assert (found["operation_id"], found["evidence"]["causes"], found["evidence"]["givers"]) == (
        bad,
        ["feedback"],
        ["ada"],
    )
