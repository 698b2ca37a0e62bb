"""`blast-radius`, `rollback`, `redo`, `verify`."""

from __future__ import annotations

import io
import sys

import pytest

from recant.corpus import find_cited
from recant.search import Searcher
from tests.integration.cli.command_line import Run
from tests.integration.library import Library


class Typed(io.StringIO):
    """A terminal at which somebody types this."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def dependents(library: Library) -> tuple[int, int]:
    """Bob affirms what alice wrote."""
    first = library.publish({"a": "one"}, agent="alice", session="s1")
    second = library.open(agent="bob")
    library.affirm(second, "a")
    library.log.publish(second)
    return first, second


def test_blast_radius_names_who_is_affected(recant: Run, library: Library) -> None:
    """Selected and dependent operations, agents, sessions, records."""
    first, second = dependents(library)
    found = recant("blast-radius", "--agent", "alice", "--json").document
    named = [(o["operation_id"], o["relation"], o["certainty"]) for o in found["operations"]]
    assert named == [(first, "selected", "definite"), (second, "affirmed", "definite")]
    assert (found["agents"], found["sessions"]) == (["alice", "bob"], ["s1"])
    assert found["records"]["document"] == 1
    assert {"artifacts", "datasets"} <= found.keys()
    text = recant("blast-radius", "--operation", str(first)).out
    assert "affirmed" in text
    assert "1 document" in text


def read_then_written(library: Library) -> tuple[int, int]:
    """Bob's session is shown what alice wrote, and writes."""
    first = library.publish({"a": "one"}, agent="alice")
    searcher = Searcher(library.database, library.model.vector)
    searcher.search("what is there?", collection="library", session="bob's", agent="bob")
    return first, library.publish({"b": "two"}, agent="bob", session="bob's")


def test_who_read_it_and_then_wrote_is_listed_apart(recant: Run, library: Library) -> None:
    """With the search as evidence; left alone by a rollback, and said so."""
    first, second = read_then_written(library)
    found = recant("blast-radius", "--operation", str(first), "--json").document
    assert (found["agents"], found["possible_agents"], found["possible_sessions"]) == (["alice"], ["bob"], ["bob's"])
    assert [s["query"] for s in found["operations"][1]["evidence"]] == ["what is there?"]
    text = recant("blast-radius", "--operation", str(first)).out
    assert text.index("alice") < text.index("may have been built on it") < text.index("what is there?")
    assert f"{second}: left alone" in recant("rollback", "--operation", str(first), "--dry-run").out
    assert recant("rollback", "--operation", str(first), "--yes", "--json").document["withdraw"] == [first]


def test_possible_dependents_count_when_included(recant: Run, library: Library) -> None:
    """Refused because of them; cascade takes them; the plan says that they counted."""
    first, second = read_then_written(library)
    asked = ("rollback", "--operation", str(first), "--include-possible")
    refused = recant(*asked, "--yes")
    assert (refused.code, refused.out) == (1, "")
    assert "may have been" in refused.err
    assert f"{second}: counted" in recant(*asked, "--dry-run", "--policy", "cascade").out
    made = recant(*asked, "--dry-run", "--policy", "cascade", "--possible-hops", "2", "--json").document
    assert (made["withdraw"], made["include_possible"], made["possible_hops"]) == ([first, second], True, 2)
    assert recant("rollback", "--plan", made["plan_id"], "--yes", "--json").document["withdrawn"] == [first, second]


def test_touching_lists_who_wrote_or_built_on_a_document(recant: Run, library: Library) -> None:
    """Its writers, those who left it alone because it was there already, those who named it; not who only read it."""
    first, _ = dependents(library)
    citing = library.open(agent="carol")
    target = library.begin(citing, "based-on")
    with library.database.transaction() as connection:
        library.corpus.cite(connection, target, find_cited(connection, "library", {"a": ["a"]}))
    library.log.finish_batch(target.batch_id, {})
    library.log.publish(citing)
    library.publish({"b": "x"}, agent="dave")
    found = recant("log", "--touching", "a", "--json").document["operations"]
    assert [o["agent"] for o in found] == ["carol", "bob", "alice"]
    assert recant("rollback", "--touching", "a", "--yes", "--json").document["withdrawn"] == [first, first + 1, citing]


@pytest.mark.parametrize("command", ["blast-radius", "rollback"])
def test_no_selector_is_a_usage_error(recant: Run, command: str) -> None:
    """It says which flags there are, as JSON too."""
    ended = recant(command)
    assert (ended.code, ended.out) == (2, "")
    assert "--operation --run --agent" in ended.err
    as_json = recant(command, "--json")
    assert as_json.code == 2
    assert as_json.document["error"]["type"] == "EmptySelector"


def test_rollback_takes_back_and_certifies(recant: Run, library: Library) -> None:
    """What was superseded is seen again; the report is the plan and more."""
    library.publish({"a": "one"}, agent="alice")
    second = library.publish({"a": "two", "b": "new"}, agent="bob")
    ended = recant("rollback", "--agent", "bob", "--yes", "--json", "--message", "wrong", "--as", "carol")
    report = ended.document
    assert ended.code == 0
    assert (report["applied"], report["withdrawn"], report["policy"]) == (True, [second], "refuse")
    assert report["revived"]["document"] == 1
    assert report["certificate"]["verified"] is True
    assert {"digest_before", "digest_after"} <= report["certificate"].keys()
    assert {"operations", "agents", "sessions", "records", "artifacts", "datasets"} <= report.keys()
    assert library.view() == {"a": "one"}
    undone = recant("show", str(report["rollback_operation_id"]), "--json").document
    assert (undone["agent"], undone["message"]) == ("carol", "wrong")


def test_rollback_as_text(recant: Run, library: Library) -> None:
    """What was done, and the certificate."""
    library.publish({"a": "one"}, agent="alice")
    text = recant("rollback", "--agent", "alice", "--yes").out
    assert "withdrawn" in text
    assert "verified" in text


def test_what_others_built_on_is_refused_with_the_report(recant: Run, library: Library) -> None:
    """Exit code 1, nothing changed, and the whole blast radius, as JSON too."""
    first, second = dependents(library)
    ended = recant("rollback", "--operation", str(first), "--yes")
    assert (ended.code, ended.out) == (1, "")
    assert "--policy cascade" in ended.err
    assert "affirmed" in ended.err
    error = recant("rollback", "--operation", str(first), "--yes", "--json").document["error"]
    assert error["type"] == "HasDependents"
    assert [o["operation_id"] for o in error["details"]["blast_radius"]["operations"]] == [first, second]
    assert library.view() == {"a": "one"}


def test_cascade_takes_the_dependents_too(recant: Run, library: Library) -> None:
    """Both are withdrawn."""
    first, second = dependents(library)
    report = recant("rollback", "--operation", str(first), "--policy", "cascade", "--yes", "--json").document
    assert report["withdrawn"] == [first, second]


def test_without_a_terminal_it_asks_for_yes(recant: Run, library: Library) -> None:
    """A script that forgot --yes changes nothing."""
    library.publish({"a": "one"}, agent="alice")
    ended = recant("rollback", "--agent", "alice")
    assert ended.code == 2
    assert "--yes" in ended.err
    assert library.view() == {"a": "one"}


@pytest.mark.parametrize(("typed", "code", "left"), [("y\n", 0, {}), ("n\n", 2, {"a": "one"}), ("", 130, {"a": "one"})])
def test_on_a_terminal_it_shows_the_plan_and_asks(
    recant: Run, library: Library, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, left: dict[str, str]
) -> None:
    """Yes applies and is recorded as the approval; no, or no answer, changes nothing."""
    library.publish({"a": "one"}, agent="alice")
    monkeypatch.setattr(sys, "stdin", Typed(typed))
    ended = recant("rollback", "--agent", "alice", "--json")
    assert ended.code == code
    assert "withdraws" in ended.err
    assert "Withdraw 1 operation?" in ended.err
    assert library.view() == left
    if code == 0:
        assert ended.document["certificate"]["approved_by"] == "tester"


def test_a_dry_run_can_be_applied_by_its_plan(recant: Run, library: Library) -> None:
    """`--dry-run` stores the plan and changes nothing; `--plan` applies that one."""
    operation = library.publish({"a": "one"}, agent="alice")
    plan = recant("rollback", "--agent", "alice", "--dry-run", "--json").document
    assert plan["withdraw"] == [operation]
    assert library.view() == {"a": "one"}
    assert "refuse" in recant("rollback", "--agent", "alice", "--dry-run").out
    assert recant("rollback", "--plan", plan["plan_id"], "--yes", "--json").document["withdrawn"] == [operation]
    assert library.view() == {}
    mixed = recant("rollback", "--plan", plan["plan_id"], "--agent", "alice", "--yes")
    assert mixed.code == 2


def test_a_plan_that_no_longer_holds_is_refused(recant: Run, library: Library) -> None:
    """Another operation of the same agent came after the plan: nothing is changed."""
    library.publish({"a": "one"}, agent="alice")
    plan = recant("rollback", "--agent", "alice", "--dry-run", "--json").document
    library.publish({"b": "two"}, agent="alice")
    ended = recant("rollback", "--plan", plan["plan_id"], "--yes", "--json")
    assert ended.code == 1
    assert ended.document["error"]["type"] == "PlanStale"
    assert library.view() == {"a": "one", "b": "two"}


def test_taking_back_twice_says_so(recant: Run, library: Library) -> None:
    """The second rollback is no error and no operation."""
    library.publish({"a": "one"}, agent="alice")
    recant("rollback", "--agent", "alice", "--yes")
    again = recant("rollback", "--agent", "alice", "--yes", "--json")
    assert again.code == 0
    assert (again.document["applied"], again.document["withdrawn"]) == (False, [])
    assert "already" in again.document["message"]
    assert "already" in recant("rollback", "--agent", "alice", "--yes").out


def test_redo_brings_it_back(recant: Run, library: Library) -> None:
    """A redo of the rollback shows what it hid, where it was."""
    library.publish({"a": "one"}, agent="alice")
    undone = recant("rollback", "--agent", "alice", "--yes", "--json").document
    ended = recant("redo", str(undone["rollback_operation_id"]), "--json", "--message", "it was right")
    assert ended.code == 0
    assert ended.document["applied"] is True
    assert library.view() == {"a": "one"}
    kinds = [o["kind"] for o in recant("log", "--json").document["operations"]]
    assert kinds == ["redo", "rollback", "ingest"]


def test_verify_holds_after_all_of_it(recant: Run, library: Library) -> None:
    """Every check is ok, and the exit code says so."""
    library.publish({"a": "one"}, agent="alice")
    recant("rollback", "--agent", "alice", "--yes")
    ended = recant("verify", "--json")
    assert ended.code == 0
    assert ended.document["ok"] is True
    assert all(check["ok"] for check in ended.document["checks"])
    assert "all of it holds" in recant("verify").out


def test_verify_ends_with_1_when_something_was_tampered_with(recant: Run, library: Library) -> None:
    """A change behind the log's back is found and named."""
    operation = library.publish({"a": "one"}, agent="alice")
    with library.database.connection() as connection:
        connection.execute("RESET ROLE")
        connection.execute("UPDATE operation SET agent = 'mallory' WHERE id = %s", [operation])
    ended = recant("verify")
    assert ended.code == 1
    assert "failed" in ended.out


def test_rollback_of_one_document(recant: Run, library: Library) -> None:
    """The plan names the document and the operation; the rest of the operation stays; a redo brings it back."""
    library.publish({"a": "old"}, agent="alice")
    second = library.publish({"a": "wrong", "b": "good"}, agent="bob")
    shown = recant("rollback", "--source", "a", "--agent", "bob", "--dry-run").out
    assert f"a of {second}" in shown
    report = recant("rollback", "--source", "a", "--agent", "bob", "--yes", "--json").document
    assert report["applied"]
    assert report["certificate"]["withdrawn_records"][0]["source"] == "a"
    assert library.view() == {"a": "old", "b": "good"}
    assert recant("show", str(second), "--json").document["withheld"][0]["source"] == "a"
    recant("redo", str(report["rollback_operation_id"]))
    assert library.view() == {"a": "wrong", "b": "good"}


@pytest.mark.parametrize(("text", "positions"), [("2..3", (2, 3)), ("3..", (3, 4)), ("..1", (1, 1)), ("2", (2, 2))])
def test_positions_select(recant: Run, library: Library, text: str, positions: tuple[int, int]) -> None:
    """Both ends are included, either may be left out, and one position is a range of its own."""
    for number in range(4):
        library.publish({f"d{number}": "x"})
    found = recant("rollback", "--positions", text, "--dry-run", "--json").document
    assert found["withdraw"] == list(range(positions[0], positions[1] + 1))


@pytest.mark.parametrize("text", ["", "..", "x", "1..x", "-1..2", "3..2"])
def test_a_bad_range_is_a_usage_error(recant: Run, text: str) -> None:
    """Nothing is selected by it."""
    assert recant("rollback", "--positions", text, "--dry-run").code == 2


def test_everything_has_to_be_said(recant: Run, library: Library) -> None:
    """And nothing but a collection beside it."""
    library.publish({"a": "1"})
    library.publish({"b": "2"})
    assert recant("rollback", "--all", "--agent", "x", "--dry-run").code == 2
    assert recant("rollback", "--all", "--yes").code == 0
    assert library.view() == {}


def test_a_path_names_its_document(recant: Run, library: Library, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to where the command is given, whether the file is still there or not."""
    library.publish({str(tmp_path / "gone.md"): "x", "other": "y"})
    monkeypatch.chdir(tmp_path)
    plan = recant("rollback", "--source", "./gone.md", "--dry-run", "--json").document
    assert [record["source"] for record in plan["withdraw_records"]] == [str(tmp_path / "gone.md")]
