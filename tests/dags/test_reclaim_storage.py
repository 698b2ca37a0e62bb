"""reclaim_storage: what is past the retention goes, and the log says who freed it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recant.oplog import Attribution
from recant.settings import read_settings
from recant.storage import RetentionRule, Storage
from recant.store import Database
from tests.integration.library import Library

pytestmark = pytest.mark.airflow


@pytest.fixture
def library(installation: str) -> Iterator[Library]:
    """A document in two versions, in the database that the tasks work on."""
    with Database(installation) as db:
        library = Library(db)
        library.publish({"a": "one"})
        library.publish({"a": "two"})
        yield library


def texts(library: Library) -> list[str]:
    with library.database.transaction() as connection:
        return [row["text"] for row in connection.execute("SELECT text FROM chunk ORDER BY id")]


def test_what_is_past_the_retention_is_freed(run_dag, library: Library):
    """As an operation of the DAG's run, with its task, agent and message."""
    run = run_dag("reclaim_storage", {"retention_days": 0, "agent": "janitor", "message": "the disk is full"})
    assert run.state == "success"
    report = run.xcom("reclaim_storage")
    assert (report["versions"], report["chunks"], report["horizon"], report["dry_run"]) == (1, 1, 2, False)
    assert texts(library) == ["two"]
    operation = library.log.get(report["operation_id"])
    assert (operation.kind, operation.agent, operation.message) == ("reclaim", "janitor", "the disk is full")
    assert (operation.run_id, operation.context["task_id"]) == (run.run_id, "reclaim_storage")


def test_a_dry_run_changes_nothing(run_dag, library: Library):
    """The report is the same, the log has no new entry."""
    run = run_dag("reclaim_storage", {"retention_days": 0, "dry_run": True})
    report = run.xcom("reclaim_storage")
    assert (report["versions"], report["dry_run"], report["operation_id"]) == (1, True, None)
    assert (texts(library), library.log.position()) == (["one", "two"], 2)


def test_without_a_parameter_the_installation_says_how_long(run_dag, library: Library, monkeypatch):
    """90 days by default: all of this is younger. Kept for ever, the task is skipped."""
    run = run_dag("reclaim_storage", {})
    assert (run.state, run.xcom("reclaim_storage")["versions"]) == ("success", 0)
    monkeypatch.setenv("RECANT_RETENTION_DAYS", "forever")
    assert run_dag("reclaim_storage", {}).state_of("reclaim_storage") == "skipped"
    assert texts(library) == ["one", "two"]


def test_retention_rules_count_even_where_all_else_is_kept(run_dag, library: Library, monkeypatch):
    """What has expired is retired, unless the parameter says not to; the report tells by which rule."""
    monkeypatch.setenv("RECANT_RETENTION_DAYS", "forever")
    with library.database.connection() as connection:
        connection.execute("RESET ROLE")
        connection.execute("UPDATE recant.operation SET closed_at = closed_at - interval '10 days'")
    storage = Storage(library.database, read_settings({"RECANT_COLLECTION": library.name}))
    storage.retention.set(RetentionRule(history_days=0, expire_days=5), Attribution("nora"))
    kept = run_dag("reclaim_storage", {"expiry": False}).xcom("reclaim_storage")
    assert (kept["expired"], [rule["versions"] for rule in kept["rules"]], texts(library)) == ([], [0, 1], ["two"])
    report = run_dag("reclaim_storage", {}).xcom("reclaim_storage")
    assert [(e["documents"], e["sources"]) for e in report["expired"]] == [(1, ["a"])]
    assert library.view() == {}
