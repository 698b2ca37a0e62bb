"""`quality …`, and quality in `search`."""

from __future__ import annotations

import pytest

from tests.integration.cli.command_line import Run
from tests.integration.library import Library


@pytest.fixture
def recant(recant: Run, library: Library, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Two documents in the collection that is meant when none is named."""
    monkeypatch.setenv("RECANT_COLLECTION", "library")
    library.publish({"a": "one", "b": "two"})
    return recant


def test_a_score_is_shown_with_its_parts(recant: Run) -> None:
    """What is stored, who said what, and what it holds for."""
    recant("feedback", "1", "incorrect", "--agent", "ada")
    found = recant("quality", "show", "1", "--json").document
    assert (found["score"], found["feedback"], found["base"], found["source"]) == (40, -10, 50, "a")
    assert [word["given_by"] for word in found["words"]] == ["ada"]
    shown = recant("quality", "show", "1").out
    assert "a, chunk 0: 40.0" in shown
    assert "ada" in shown
    assert "-10.0" in shown
    assert recant("quality", "show", "99").code == 2


def test_scores_are_recalculated_and_checked(recant: Run) -> None:
    """As an operation, at a time that has been."""
    done = recant("quality", "recalculate", "--as", "nora", "-m", "by hand", "--json").document
    assert (done["scored"], done["changed"], done["collection"]) == (0, 0, "library")
    operation = recant("show", done["operation_id"], "--json").document
    assert (operation["kind"], operation["agent"], operation["message"]) == ("recalculate_quality", "nora", "by hand")
    assert "0 scores changed" in recant("quality", "recalculate", "--at", "1h").out
    assert "of " in recant("quality", "show", "2").out
    assert recant("quality", "recalculate", "--at", "2999-01-01").code == 2
    assert recant("quality", "recalculate", "--at", "tomorrow week").code == 2
    assert "is what the log says" in recant("quality", "check").out


def test_a_damaged_score_is_named(recant: Run, library: Library) -> None:
    """With exit code 1."""
    recant("feedback", "1", "incorrect")
    with library.database.connection() as connection:
        connection.execute("RESET ROLE")
        connection.execute("UPDATE recant.chunk_quality SET score = 99")
    found = recant("quality", "check", "--json")
    assert (found.code, found.document["disagreements"]) == (1, [{"chunk_id": 1, "stored": 99.0, "expected": 40.0}])
    assert "99" in recant("quality", "check").out


def test_policies_are_set_listed_and_taken_away(recant: Run) -> None:
    """By doc_type or for all; each an operation that can be rolled back."""
    assert "nothing ages" in recant("quality", "policy", "list").out
    change = recant(
        "quality", "policy", "set", "--half-life", "180d", "--grace", "30d", "--floor", "20", "--json"
    ).document
    assert (change["what"], change["key"], change["removed"]) == ("policy", "", False)
    assert "policy of law set" in recant("quality", "policy", "set", "--never", "--doc-type", "law").out
    listed = recant("quality", "policy", "list").out
    assert "180 d" in listed
    assert "never" in listed
    found = recant("quality", "policy", "list", "--json").document["policies"]
    assert [(p["doc_type"], p["half_life_days"], p["grace_days"], p["floor"]) for p in found] == [
        ("", 180, 30, 20),
        ("law", None, 0, 25),
    ]
    assert "policy of law taken away" in recant("quality", "policy", "unset", "--doc-type", "law").out
    assert recant("rollback", "--operation", change["operation_id"], "--yes").code == 0
    assert recant("quality", "policy", "list", "--json").document == {"policies": []}
    assert recant("quality", "policy", "set").code == 2
    assert recant("quality", "policy", "set", "--never", "--half-life", "1d").code == 2
    assert recant("quality", "policy", "unset").code == 2


def test_documents_are_pinned(recant: Run) -> None:
    """At a score, or only kept from ageing."""
    assert "Nothing is pinned" in recant("quality", "pins").out
    assert "pin of a set" in recant("quality", "pin", "a", "--score", "90").out
    recant("quality", "pin", "b")
    assert recant("quality", "show", "1", "--json").document["pinned"] is True
    assert "pinned at that score" in recant("quality", "show", "1").out
    listed = recant("quality", "pins").out
    assert "90.0" in listed
    assert "doesn't age" in listed
    assert [p["score"] for p in recant("quality", "pins", "--json").document["pins"]] == [90, None]
    assert recant("quality", "unpin", "a", "--json").document["removed"] is True
    assert recant("quality", "unpin", "a").code == 2
