"""`session open|limit|list|show|merge|discard`, `ingest --hold`, and leases in `log` and `show`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.integration.cli.command_line import Run
from tests.integration.cli.test_undo import Typed
from tests.integration.library import Library

SESSION_KEYS = {
    "name", "registered", "state", "mode", "agent", "agents", "message", "opened_at", "expires_at", "closed_at", "max_records",
    "max_operations", "records", "operations", "open_operations", "lease_until",
}  # fmt: skip


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with a document."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    (folder / "cats.md").write_text("# Cats\n\nCats sleep most of the day and hunt mice at night.\n", "utf-8")
    return folder


def hold(library: Library, documents: dict[str, str | None], session: str = "s") -> int:
    operation = library.open(session=session)
    library.write(operation, documents)
    library.log.hold(operation)
    return operation


def test_a_session_from_opening_to_merge(recant: Run, shelf: Path) -> None:
    """Open, ingest, search, show, merge: each says what it did."""
    opened = recant("session", "open", "trial", "--explore", "--max-records", "5", "--expires-in", "2h", "-m", "a try")
    assert 'Session "trial" is open (exploration): 0 of 5 records, until 2' in opened.out
    report = recant("ingest", shelf, "--session", "trial", "--json").document
    assert (report["position"], report["held"]) == (None, True)
    assert recant("search", "feline", "--json").document["hits"] == []
    assert len(recant("search", "feline", "--session", "trial", "--json").document["hits"]) == 1
    shown = recant("session", "show", "trial").out
    assert "a merge publishes" in shown
    assert "1 of 5 records" in shown
    merged = recant("session", "merge", "trial")
    assert 'Session "trial": 1 operation is published.' in merged.out
    assert len(recant("search", "feline", "--json").document["hits"]) == 1
    again = recant("session", "merge", "trial")
    assert (again.code, "was merged before" in again.out) == (0, True)
    refused = recant("ingest", shelf, "--session", "trial")
    assert (refused.code, "takes no more writes" in refused.err) == (1, True)


def test_a_held_ingest_as_text(recant: Run, shelf: Path) -> None:
    """It says that it is held, and until when; --hold-for says how long, and holds too."""
    assert "is held for its session, at most until" in recant("ingest", shelf, "--session", "s", "--hold").out
    assert recant("ingest", shelf, "--session", "s", "--hold-for", "30d", "--json").document["held"] is True


def test_sessions_as_json(recant: Run, library: Library) -> None:
    """Opening, list, show, merge and discard, each one document."""
    opened = recant("session", "open", "s", "--max-operations", "3", "--json").document
    assert opened.keys() == SESSION_KEYS
    assert (opened["agent"], opened["state"], opened["max_operations"]) == ("tester", "open", 3)
    first = hold(library, {"a": "one"})
    (listed,) = recant("session", "list", "--json").document["sessions"]
    assert (listed["open_operations"], listed["records"], listed["agents"]) == (1, 1, ["alice"])
    shown = recant("session", "show", "s", "--json").document
    assert shown.keys() == SESSION_KEYS | {"would_publish", "obstacles", "history", "changes"}
    assert (shown["would_publish"], shown["obstacles"], shown["history"][0]["held"]) == ([first], [], True)
    merged = recant("session", "merge", "s", "--json").document
    assert merged["published"] == [{"operation_id": first, "position": 1}]
    assert (merged["session"], merged["outcome"], merged["applied"], merged["aborted"]) == ("s", "merged", True, [])
    discarded = recant("session", "discard", "s", "--yes", "--json").document
    assert (discarded["applied"], discarded["outcome"]) == (False, "discarded")


def test_other_limits(recant: Run, library: Library) -> None:
    """As JSON and as text; `show` tells who gave them."""
    recant("session", "open", "s", "--max-records", "3", "--expires-in", "2h")
    found = recant(
        "session", "limit", "s", "--max-records", "9", "--no-limit", "time", "-m", "too tight", "--json"
    ).document
    assert (found["max_records"], found["expires_at"]) == (9, None)
    assert "0 of 2 operations" in recant("session", "limit", "s", "--max-operations", "2", "--agent", "nora").out
    shown = recant("session", "show", "s").out
    assert "too tight" in shown
    assert "nora" in shown
    assert "max_records 3 → 9" in shown
    assert recant("session", "limit", "s").code == 2


def test_the_list_as_text(recant: Run, library: Library) -> None:
    """What is open in it, by whom, since when, and how much of its limits is used."""
    assert "No session is open" in recant("session", "list").out
    assert recant("session", "list", "--all").out == "No session.\n"
    recant("session", "open", "s", "--max-records", "5", "--max-operations", "2")
    hold(library, {"a": "one"})
    lines = recant("session", "list").out.splitlines()
    assert lines[0].split()[:4] == ["session", "state", "mode", "agents"]
    assert lines[1].split()[:6] == ["s", "open", "normal", "alice", "1", "1"]
    assert "1 of 5 records, 1 of 2 operations" in lines[1]


def test_discarding_asks_first(recant: Run, library: Library) -> None:
    """Without a terminal to ask on it wants --yes; then everything open is aborted, with the reason."""
    operation = hold(library, {"a": "one"})
    refused = recant("session", "discard", "s")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert library.view(session="s") == {"a": "one"}
    done = recant("session", "discard", "s", "--yes", "-m", "nonsense")
    assert 'Session "s": 1 operation is aborted.' in done.out
    assert (library.log.get(operation).state, library.log.get(operation).reason) == ("aborted", "nonsense")


def test_at_a_terminal_discarding_shows_what_would_go(
    recant: Run, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A no changes nothing; a yes aborts it; with nothing open nothing is asked."""
    operation = hold(library, {"a": "one"})
    monkeypatch.setattr(sys, "stdin", Typed("n\n"))
    refused = recant("session", "discard", "s")
    assert (refused.code, "session s" in refused.err, "nothing was changed" in refused.err) == (2, True, True)
    assert library.log.get(operation).state == "open"
    monkeypatch.setattr(sys, "stdin", Typed("y\n"))
    assert recant("session", "discard", "s").code == 0
    assert library.log.get(operation).state == "aborted"
    monkeypatch.setattr(sys, "stdin", Typed(""))
    assert 'Nothing is open in session "s".' in recant("session", "discard", "s").out


def test_a_refused_merge_ends_with_one(recant: Run, library: Library) -> None:
    """It names the document; `session show` names all of them."""
    library.publish({"a": "base"})
    stale = hold(library, {"a": "tried"})
    library.publish({"a": "since"})
    refused = recant("session", "merge", "s", "--json")
    assert (refused.code, refused.document["error"]["type"]) == (1, "WriteConflict")
    assert refused.document["error"]["details"]["operation_id"] == stale
    shown = recant("session", "show", "s").out
    assert "what stands in the way of a merge" in shown
    assert f'operation {stale} wrote document "a" over operation 1, but the head is now operation 3' in shown


def test_a_limit_ends_with_one(recant: Run, shelf: Path) -> None:
    """And says how much is allowed and used."""
    recant("session", "open", "s", "--max-operations", "1")
    recant("ingest", shelf, "--session", "s")
    refused = recant("ingest", shelf, "--session", "s", "--json")
    assert (refused.code, refused.document["error"]["type"]) == (1, "LimitExceeded")
    assert refused.document["error"]["details"] == {"session": "s", "limit": "operations", "allowed": 1, "used": 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["session", "show", "nobody"], 'session "nobody"'),
        (["session", "merge", "nobody"], "session list --all"),
        (["session", "discard", "nobody", "--yes"], "nobody"),
        (["session", "open", ""], "between 1 and 200"),
        (["session", "open", "a\nb"], "printable"),
        (["session", "open", "s", "--max-records", "0"], "max_records"),
        (["session", "open", "s", "--max-operations", "-3"], "max_operations"),
        (["session", "open", "s", "--expires-in", "0s"], "expires_in"),
        (["session", "open", "s", "--expires-in", "-2h"], "no length of time"),
        (["session", "open", "s", "--expires-in", "2026-01-01"], "no length of time"),
        (["session", "open", "s", "--expires-in", "99999999999w"], "too long"),
        (["session", "list", "--limit", "0"], "limit"),
        (["ingest", "/tmp", "--hold"], "name the session"),
        (["ingest", "/tmp", "--session", "s", "--hold-for", "soon"], "no length of time"),
    ],
)
def test_what_can_not_be_is_a_usage_error(recant: Run, arguments: list[str], words: str) -> None:
    """Exit code 2 and a line that says what is wrong; nothing is opened."""
    ended = recant(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert recant("session", "list", "--json").document == {"sessions": []}


def test_the_log_shows_leases_of_open_operations(recant: Run, library: Library) -> None:
    """Until when, whether it is held, and whether it has run out; `show` tells the same."""
    held = hold(library, {"a": "one"})
    at_work = library.open()
    late = library.open(lease_seconds=-60.0)
    published = library.publish({"b": "two"})
    by_id = {o["operation_id"]: o for o in recant("log", "--json").document["operations"]}
    assert [by_id[o]["held"] for o in (held, at_work, late, published)] == [True, False, False, False]
    assert [by_id[o]["lease_expired"] for o in (held, at_work, late, published)] == [False, False, True, False]
    assert by_id[published]["lease_until"] is None
    lines = recant("log").out.splitlines()
    assert "lease ran out 2" in lines[2]
    assert "lease until 2" in lines[3]
    assert "held until 2" in lines[4]
    text = recant("show", str(late)).out
    assert "lease until" in text
    assert "lease expired" in text
