"""`plan list`, `show`, `approve`, `abort`, `continue`."""

from __future__ import annotations

import sys

import psycopg
import pytest

from recant.rollback import Rollback
from tests.integration.cli.command_line import Run
from tests.integration.cli.test_undo import Typed
from tests.integration.library import Library


@pytest.fixture
def stored(recant: Run, library: Library) -> str:
    """The id of a plan for what alice wrote."""
    library.publish({"a": "one"}, agent="alice")
    return str(recant("rollback", "--agent", "alice", "--dry-run", "--json").document["plan_id"])


def expire(database: str) -> None:
    """Turns the clock on, for every plan."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("UPDATE recant.rollback_plan SET expires_at = now() - interval '1 s'")


def test_plans_are_listed_with_their_state(recant: Run, stored: str, database: str) -> None:
    """As a table and as a document; one state only, where asked for."""
    (listed,) = recant("plan", "list", "--json").document["plans"]
    assert (listed["plan_id"], listed["state"], listed["withdraws"]) == (stored, "open", 1)
    assert listed["created_at"] < listed["expires_at"]
    assert stored in recant("plan", "list").out
    assert recant("plan", "list", "--state", "verified", "--json").document == {"plans": []}
    assert "No such plan" in recant("plan", "list", "--state", "verified").out
    expire(database)
    assert "expired" in recant("plan", "list", "--state", "expired").out


def test_a_plan_is_shown_whole(recant: Run, stored: str, library: Library) -> None:
    """What it does, until when, how old its answer is; as text, JSON or Markdown."""
    library.publish({"b": "two"})
    shown = recant("plan", "show", stored).out
    for part in ("withdraws", "worked out at", "position 1; the log is at 2 now", "can be applied until"):
        assert part in shown
    document = recant("plan", "show", stored, "--json").document
    assert (document["state"], document["log_position"], document["certificate"]) == ("open", 2, None)
    assert recant("plan", "show", stored, "--markdown").out.startswith(f"## Rollback plan `{stored}`: open\n")
    assert recant("plan", "show", stored, "--markdown", "--json").code == 2


def test_an_approved_plan_is_continued_without_asking(recant: Run, stored: str, library: Library) -> None:
    """The approval names the person, the certificate too, and `show` has both."""
    assert "approved by nora" in recant("plan", "approve", stored, "--by", "nora").out
    ended = recant("plan", "continue", stored, "--as", "carol", "-m", "wrong", "--json")
    report = ended.document
    assert (ended.code, report["applied"], report["state"]) == (0, True, "verified")
    assert report["certificate"]["approved_by"] == "nora"
    assert library.view() == {}
    undone = recant("show", str(report["rollback_operation_id"]), "--json").document
    assert (undone["agent"], undone["message"]) == ("carol", "wrong")
    shown = recant("plan", "show", stored)
    for part in ("by nora", f"operation {report['rollback_operation_id']}", "digest after"):
        assert part in shown.out
    assert "### Certificate" in recant("plan", "show", stored, "--markdown").out
    again = recant("plan", "continue", stored)
    assert (again.code, "nothing left to do" in again.out) == (0, True)
    assert "was applied before" in recant("plan", "approve", stored).out


def test_continue_verifies_what_was_applied(recant: Run, stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that applied it was ended before the certificate."""
    with monkeypatch.context() as patch:
        patch.setattr(Rollback, "verify", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert recant("rollback", "--plan", stored, "--yes").code == 130
    assert recant("plan", "show", stored, "--json").document["state"] == "applied"
    report = recant("plan", "continue", stored, "--json").document
    assert (report["applied"], report["state"], report["certificate"]["verified"]) == (False, "verified", True)


def test_an_open_plan_is_not_continued(recant: Run, stored: str, library: Library) -> None:
    """It says that nobody has approved it."""
    ended = recant("plan", "continue", stored)
    assert (ended.code, "Nobody has approved" in ended.err) == (1, True)
    assert library.view() == {"a": "one"}


def test_an_aborted_plan_can_not_be_applied(recant: Run, stored: str, library: Library) -> None:
    """The refusal says who aborted it and why; whoever runs the command is named by default."""
    assert (
        recant("plan", "abort", stored, "-m", "it was right").out
        == f"Plan {stored}: aborted by tester (it was right).\n"
    )
    refused = recant("rollback", "--plan", stored, "--yes", "--json")
    assert (refused.code, refused.document["error"]["type"]) == (1, "PlanClosed")
    assert "aborted by tester (it was right)" in refused.document["error"]["message"]
    assert library.view() == {"a": "one"}
    assert recant("plan", "abort", stored, "--json").document["abort_reason"] == "it was right"


def test_an_applied_plan_is_not_aborted(recant: Run, stored: str) -> None:
    """The refusal names the redo."""
    done = recant("rollback", "--plan", stored, "--yes", "--json").document["rollback_operation_id"]
    refused = recant("plan", "abort", stored)
    assert (refused.code, f"recant redo {done}" in refused.err) == (1, True)


def test_an_expired_plan_is_refused_with_what_to_do(recant: Run, stored: str, database: str, library: Library) -> None:
    """Whichever way it is applied."""
    recant("plan", "approve", stored)
    expire(database)
    for command in (["rollback", "--plan", stored, "--yes"], ["plan", "continue", stored], ["plan", "approve", stored]):
        ended = recant(*command)
        assert ended.code == 1
        assert "expired at" in ended.err
        assert "Make a new plan" in ended.err
    assert library.view() == {"a": "one"}


@pytest.mark.parametrize(("approved", "asks"), [(False, True), (True, False)])
def test_rollback_asks_about_a_plan_that_nobody_approved(
    recant: Run, stored: str, library: Library, monkeypatch: pytest.MonkeyPatch, approved: bool, asks: bool
) -> None:
    """An approved one is applied without asking; without a terminal an open one needs --yes."""
    if approved:
        recant("plan", "approve", stored, "--by", "nora")
    else:
        assert recant("rollback", "--plan", stored).code == 2
        monkeypatch.setattr(sys, "stdin", Typed("y\n"))
    ended = recant("rollback", "--plan", stored, "--json")
    assert (ended.code, "Withdraw 1 operation?" in ended.err) == (0, asks)
    assert ended.document["certificate"]["approved_by"] == ("nora" if approved else "tester")
    assert library.view() == {}


def test_an_unknown_plan_is_a_usage_error(recant: Run) -> None:
    """Another database's id is named as one; what is no id at all is told apart."""
    for command in ("show", "approve", "abort", "continue"):
        elsewhere = recant("plan", command, "0192f0c1-0000-7000-8000-000000000000")
        assert (elsewhere.code, "another database" in elsewhere.err) == (2, True)
        assert "no plan's id" in recant("plan", command, "nonsense").err
