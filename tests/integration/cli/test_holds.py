"""`quarantine`, `release`, `restore`, and the policies that leave something standing."""

from __future__ import annotations

from tests.integration.cli.command_line import Run
from tests.integration.library import Library


def test_quarantine_hides_and_release_shows_again(recant: Run, library: Library) -> None:
    """At once, without asking, with a certificate each."""
    library.publish({"a": "one"}, agent="alice")
    suspect = library.publish({"a": "two"}, agent="rogue")
    hidden = recant("quarantine", "--agent", "rogue", "--as", "carol", "--json").document
    assert (hidden["kind"], hidden["withdrawn"], hidden["applied"]) == ("quarantine", [suspect], True)
    assert library.view() == {"a": "one"}
    assert recant("log", "--agent", "rogue", "--json").document["operations"][0]["state"] == "quarantined"
    shown = recant("release", "--agent", "rogue", "--json").document
    assert (shown["bring_back"], shown["certificate"]["verified"]) == ([suspect], True)
    assert library.view() == {"a": "two"}
    again = recant("release", "--agent", "rogue")
    assert (again.code, "None of it is quarantined" in again.out) == (0, True)


def test_a_release_over_a_later_write_ends_with_one(recant: Run, library: Library) -> None:
    """--force shows it all the same, below the later write."""
    library.publish({"a": "suspect"}, agent="rogue")
    recant("quarantine", "--agent", "rogue")
    library.publish({"a": "since"}, agent="alice")
    assert recant("release", "--agent", "rogue").code == 1
    assert recant("release", "--agent", "rogue", "--force").code == 0
    assert library.view() == {"a": "since"}


def test_restore_takes_a_position_or_a_time(recant: Run, library: Library) -> None:
    """A time means the last position by then; without a zone it is taken as UTC, and said so."""
    library.publish({"a": "one"})
    second = library.publish({"a": "two"})
    then = library.log.get(second).published_at
    done = recant("restore", "--collection", "library", "--to", "1", "--json").document
    assert (done["kind"], done["withdrawn"]) == ("restore", [second])
    assert library.view() == {"a": "one"}
    moment = then.astimezone().isoformat()
    assert recant("restore", "--collection", "library", "--to", moment, "--json").document["bring_back"] == [second]
    assert library.view() == {"a": "two"}
    zoneless = recant("restore", "--collection", "library", "--to", "2020-01-01")
    assert "UTC" in zoneless.err
    assert library.view() == {}


def test_what_can_not_be_understood_is_a_usage_error(recant: Run, library: Library) -> None:
    """No selector, a position out of range, neither a position nor a time."""
    library.publish({"a": "one"})
    assert recant("quarantine").code == 2
    assert recant("release").code == 2
    for to in ("99", "-1", "whenever"):
        assert recant("restore", "--collection", "library", f"--to={to}").code == 2


def test_policies_that_leave_something_say_what(recant: Run, library: Library) -> None:
    """safe_only keeps what others built on, force leaves the dependents."""
    base = library.publish({"a": "base"}, agent="rogue")
    loose = library.publish({"b": "loose"}, agent="rogue")
    nightly = library.open("nightly")
    library.affirm(nightly, "a")
    library.log.publish(nightly)
    safe = recant("rollback", "--agent", "rogue", "--policy", "safe_only", "--dry-run")
    assert "selected, but kept" in safe.out
    plan = recant("rollback", "--agent", "rogue", "--policy", "safe_only", "--dry-run", "--json").document
    assert (plan["withdraw"], plan["kept"], plan["left"]) == ([loose], [base], [nightly])
    forced = recant("rollback", "--operation", str(base), "--policy", "force", "--yes", "--json").document
    assert (forced["withdrawn"], forced["left"]) == ([base], [nightly])
