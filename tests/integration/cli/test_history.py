"""`log`, `show`, `collections`, `status`, `migrate`, `lineage status`."""

from __future__ import annotations

import pytest

from tests.integration.cli.command_line import Run
from tests.integration.library import Library

LOG_KEYS = {
    "operation_id", "position", "kind", "agent", "session", "run_id", "state", "published_at", "message", "counts",
}  # fmt: skip


def test_an_empty_log_says_so(recant: Run) -> None:
    """No operation is no error."""
    assert recant("log").out == "No such operation.\n"
    assert recant("log", "--json").document == {"operations": []}


def test_the_log_as_json(recant: Run, library: Library) -> None:
    """Newest first, each with what is promised of it."""
    first = library.publish({"a": "one"}, agent="alice", run_id="run-1")
    library.publish({"b": "two"}, agent="bob", session="s")
    ended = recant("log", "--json")
    operations = ended.document["operations"]
    assert ended.code == 0
    assert [o["agent"] for o in operations] == ["bob", "alice"]
    assert operations[0].keys() >= LOG_KEYS
    assert (
        operations[1] | {"operation_id": first, "position": 1, "run_id": "run-1", "state": "published"} == operations[1]
    )


def test_the_log_as_text(recant: Run, library: Library) -> None:
    """A line an operation under a line of headings."""
    library.publish({"a": "one"}, agent="alice")
    lines = recant("log").out.splitlines()
    assert lines[0].split() == ["op", "position", "state", "kind", "agent", "session", "run", "when", "what"]
    assert lines[1].split()[2:5] == ["published", "ingest", "alice"]
    assert len(lines) == 2


def test_selectors_narrow_the_log(recant: Run, library: Library) -> None:
    """The same flags as everywhere."""
    library.publish({"a": "one"}, agent="alice", run_id="r1")
    second = library.publish({"b": "two"}, agent="bob", session="s")

    def found(*flags: str) -> list[str]:
        return [o["agent"] for o in recant("log", "--json", *flags).document["operations"]]

    assert found("--agent", "alice") == ["alice"]
    assert found("--agent", "alice", "--agent", "bob") == ["bob", "alice"]
    assert found("--agent", "alice", "--session", "s") == []
    assert found("--run", "r1") == ["alice"]
    assert found("--operation", str(second)) == ["bob"]
    assert found("--source", "a") == ["alice"]
    assert found("--collection", "library", "--since", "1h") == ["bob", "alice"]
    assert found("--until", "1h") == []
    assert found("--limit", "1") == ["bob"]


def test_a_time_without_a_zone_is_remarked_upon(recant: Run) -> None:
    """Standard error says what it was taken as; standard output stays one document."""
    ended = recant("log", "--json", "--since", "2026-01-01")
    assert "--since: taken as 2026-01-01T00:00:00+00:00 (UTC)" in ended.err
    assert ended.document == {"operations": []}


def test_show_tells_everything_of_one_operation(recant: Run, library: Library) -> None:
    """The operation, and what is known beside it."""
    operation = library.publish({"a": "one"}, agent="alice")
    found = recant("show", str(operation), "--json").document
    assert found["operation_id"] == operation
    assert {"rejected", "quality_checks", "datasets", "verdicts", "visibility_history"} <= found.keys()
    text = recant("show", str(operation)).out
    assert f"operation {operation}" in text
    assert "alice" in text


def test_an_unknown_operation_is_a_usage_error(recant: Run) -> None:
    """The message says how to find one."""
    ended = recant("show", "99")
    assert (ended.code, ended.out) == (2, "")
    assert "no operation 99" in ended.err
    assert "recant log" in ended.err


def test_collections_are_listed(recant: Run, library: Library) -> None:
    """By name, with their model."""
    assert "No collection yet" in recant("collections").out
    assert library.collection.name == "library"
    found = recant("collections", "--json").document["collections"]
    assert [(c["name"], c["dimensions"]) for c in found] == [("library", 4)]
    assert "library" in recant("collections").out


def test_status_tells_whether_the_database_answers(recant: Run, library: Library) -> None:
    """With a database of one's own the parts may all be stopped, and the log is still there."""
    library.publish({"a": "one"})
    found = recant("status", "--json")
    assert found.code == 0
    assert found.document["database"] == {
        "reachable": True,
        "position": 1,
        "horizon": 0,
        "problem": None,
        "servers": [],
    }
    assert found.document["parts"]["postgres"]["running"] is False
    assert "The log is at position 1." in recant("status").out


def test_migrate_on_a_migrated_database_does_nothing(recant: Run) -> None:
    """And `--check` finds nothing missing."""
    assert recant("migrate", "--json").document == {"applied": []}
    assert recant("migrate", "--check").out == "The schema is up to date.\n"


def test_migrate_makes_the_schema(recant: Run, empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a schema `--check` ends with 1, other commands say what to do, and `migrate` does it."""
    monkeypatch.setenv("RECANT_DSN", empty_database)
    missing = recant("migrate", "--check", "--json")
    assert missing.code == 1
    assert missing.document["pending"][0] == "0001_roles.sql"
    refused = recant("log")
    assert refused.code == 3
    assert "recant migrate" in refused.err
    assert recant("migrate", "--json").document["applied"] == missing.document["pending"]
    assert recant("log").code == 0


def test_lineage_status_without_a_relay(recant: Run) -> None:
    """No destination is no error."""
    nothing = {"relay": {"running": False}, "destinations": [], "dead": []}
    assert recant("lineage", "status", "--json").document == nothing
    assert "No destination yet" in recant("lineage", "status").out
