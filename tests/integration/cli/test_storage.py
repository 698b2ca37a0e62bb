"""`tag`, `erase`, `reclaim`, and positions by name wherever one is asked for."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.integration.cli.command_line import Run
from tests.integration.library import Library

HERE = ("--collection", "library")


def test_a_tag_is_added_listed_and_removed(recant: Run, library: Library) -> None:
    """With who made it; the list names the horizon."""
    library.publish({"a": "one"})
    added = recant("tag", "add", "v1.0", "-m", "as shipped", "--as", "nora", "--json").document
    assert (added["name"], added["position"], added["created_by"], added["message"]) == (
        "v1.0",
        1,
        "nora",
        "as shipped",
    )
    assert recant("tag", "add", "start", "--at", "0").out == "start is position 0.\n"
    listed = recant("tag", "list", "--json").document
    assert [tag["name"] for tag in listed["tags"]] == ["start", "v1.0"]
    assert listed["horizon"] == {"position": 0, "moved_at": None, "operation_id": None}
    assert "as shipped" in recant("tag", "list").out
    assert recant("tag", "remove", "v1.0", "--json").document == {"name": "v1.0", "removed": True}
    assert "no tag any more" in recant("tag", "remove", "start").out
    assert "No tag yet" in recant("tag", "list").out


def test_what_can_not_be_a_tag_is_a_usage_error(recant: Run, library: Library) -> None:
    """And one that is gone; a name that is taken is refused."""
    library.publish({"a": "one"})
    recant("tag", "add", "here")
    for words in (["add", "2h"], ["add", "x", "--at", "9"], ["remove", "nosuch"], ["add", "x", "--at", "nosuch"]):
        assert recant("tag", *words).code == 2
    assert recant("tag", "add", "here", "--at", "0").code == 1


def test_restore_takes_a_tag(recant: Run, library: Library) -> None:
    """As it takes positions and times."""
    library.publish({"a": "one"})
    recant("tag", "add", "good")
    library.publish({"a": "two"})
    assert recant("restore", *HERE, "--to", "good").code == 0
    assert library.view() == {"a": "one"}
    wrong = recant("restore", *HERE, "--to", "bad")
    assert (wrong.code, "nor a tag" in wrong.err) == (2, True)


def test_a_time_without_a_zone_is_remarked_on(recant: Run, library: Library) -> None:
    """Digits are a position, whatever else they could mean."""
    library.publish({"a": "one"})
    assert "UTC" in recant("tag", "add", "then", "--at", "2020-01-01").err
    assert recant("tag", "add", "now", "--at", "0s").err == ""
    assert recant("tag", "add", "number", "--at", "20200101").code == 2


def test_erase_needs_a_reason_and_a_yes(recant: Run, library: Library) -> None:
    """Then it destroys, says what stays, and says so when asked again."""
    library.publish({"a": "secret", "b": "other"})
    assert recant("erase", "a", *HERE, "--yes").code == 2
    unasked = recant("erase", "a", *HERE, "-m", "asked for")
    assert (unasked.code, "--yes" in unasked.err, library.view()) == (2, True, {"a": "secret", "b": "other"})
    done = recant("erase", "a", *HERE, "-m", "asked for", "--yes")
    assert (done.code, "What stays" in done.out, "chunks" in done.out) == (0, True, True)
    assert library.view() == {"b": "other"}
    again = recant("erase", "a", *HERE, "-m", "asked for", "--yes", "--json").document
    assert (again["applied"], again["operation_id"], again["versions"]) == (False, 2, 0)
    assert recant("erase", "nosuch", *HERE, "-m", "x", "--yes").code == 2
    shown = recant("show", "2", "--json").document
    assert (shown["kind"], shown["message"], shown["undoable_until"]) == ("erase", "asked for", None)
    assert recant("redo", "2").code == 2
    assert recant("rollback", "--operation", "2", "--yes").code == 2


def test_erase_asks_on_a_terminal(recant: Run, library: Library, monkeypatch) -> None:
    """Anything but yes changes nothing."""
    library.publish({"a": "secret"})
    monkeypatch.setattr("recant.cli.storage.sys.stdin.isatty", lambda: True, raising=False)
    for answer, left in ((False, {"a": "secret"}), (True, {})):
        monkeypatch.setattr("recant.cli.storage.typer.confirm", lambda *asked, answer=answer, **options: answer)
        assert recant("erase", "a", *HERE, "-m", "asked for").code == (0 if answer else 2)
        assert library.view() == left


def test_reclaim_frees_and_says_so(recant: Run, library: Library) -> None:
    """By days, position, tag or time; a dry run first; then what is before the horizon is refused."""
    for text in ("one", "two", "three"):
        library.publish({"a": text})
    recant("tag", "add", "latest")
    dry = recant("reclaim", "--horizon", "latest", "--dry-run", "--json").document
    assert (dry["dry_run"], dry["asked"], dry["versions"], dry["operation_id"]) == (True, 3, 2, None)
    assert "nothing to reclaim" in recant("reclaim").out
    done = recant("reclaim", "--older-than", "0", "--as", "janitor")
    assert (done.code, "2 versions" in done.out) == (0, True)
    operation = recant("log", "--kind", "reclaim", "--json").document["operations"][0]
    assert (operation["agent"], operation["counts"]) == ("janitor", {"versions": 2, "chunks": 2})
    refused = recant("restore", *HERE, "--to", "1", "--json")
    assert (refused.code, refused.document["error"]["type"]) == (1, "PastHorizon")
    assert refused.document["error"]["details"]["horizon"] == 3
    assert "before 3" in recant("tag", "list").out
    assert recant("status", "--json").document["database"]["horizon"] == 3
    assert "horizon is 3" in recant("status").out
    assert recant("reclaim", "--older-than", "1", "--horizon", "1").code == 2


def test_the_log_says_until_when_an_operation_can_be_undone(recant: Run, library: Library, monkeypatch) -> None:
    """The retention on top of its publishing; no limit where the position before it is tagged, or nothing is ever freed."""
    library.publish({"a": "one"})
    library.publish({"a": "two"})
    recant("tag", "add", "first", "--at", "1")
    second, first = recant("log", "--json").document["operations"]
    published = datetime.fromisoformat(first["published_at"])
    assert datetime.fromisoformat(first["undoable_until"]) == published + timedelta(days=90)
    assert second["undoable_until"] is None
    assert "undoable until" in recant("show", "1").out
    monkeypatch.setenv("RECANT_RETENTION_DAYS", "7")
    assert datetime.fromisoformat(recant("show", "1", "--json").document["undoable_until"]) == published + timedelta(
        days=7
    )
    monkeypatch.setenv("RECANT_RETENTION_DAYS", "forever")
    assert recant("show", "1", "--json").document["undoable_until"] is None
    recant("tag", "remove", "first")
    recant("reclaim", "--older-than", "0")
    late = recant("show", "2", "--json").document
    assert late["undoable_until"] == recant("show", "3", "--json").document["published_at"]


def test_retention_rules_are_set_listed_and_taken_away(recant: Run, library: Library) -> None:
    """And a reclaim, dry or not, tells what each of them comes to."""
    for text in ("one", "two"):
        library.publish({"a": text})
    assert "kept for ever" not in recant("retention", "list").out
    done = recant("retention", "set", *HERE, "--history-days", "0", "--expire-days", "9", "--as", "nora", "-m", "law")
    assert (done.code, "the rule of library, all others is set" in done.out) == (0, True)
    recant("retention", "set", *HERE, "--class", "public", "--history-days", "7")
    listed = recant("retention", "list", "--json").document
    assert next((r["classification"], r["history_days"], r["expire_days"], r["agent"]) for r in listed["rules"]) == (
        "",
        0,
        9,
        "nora",
    )
    assert "all others" in recant("retention", "list", *HERE).out
    with library.database.connection() as connection:
        connection.execute("RESET ROLE")
        connection.execute("UPDATE recant.operation SET closed_at = closed_at - interval '10 days'")
    dry = recant("reclaim", "--dry-run")
    assert all(said in dry.out for said in ("Expired:", "By rule:", "would be retired", "9 d"))
    report = recant("reclaim", "--json").document
    assert [(r["collection"], r["classification"], r["versions"]) for r in report["rules"]] == [
        (None, "", 0), ("library", "", 2), ("library", "public", 0)
    ]  # fmt: skip
    assert report["expired"][0]["sources"] == ["a"]
    gone = recant("retention", "unset", *HERE, "--class", "public", "--json").document
    assert gone["removed"]
    assert recant("retention", "unset", *HERE, "--class", "public").code == 2
    assert recant("retention", "set", *HERE, "--class", "secret", "--history-days", "1").code == 2
