"""`lineage status`, `lineage replay`, `lineage export`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from recant.lineage.relay import deliver_pending
from recant.oplog import Attribution, OperationLog
from recant.settings import Settings, read_settings
from recant.store import Database
from tests.integration.cli.command_line import Run
from tests.integration.lineage.lineage_collector import Collector


@pytest.fixture
def log(database: str) -> Iterator[OperationLog]:
    """The log that the command line looks at."""
    with Database(database) as opened:
        yield OperationLog(opened)


@pytest.fixture
def operation(log: OperationLog) -> int:
    """One that was opened and called off: two events."""
    opened = log.open("ingest", Attribution("alice", run_id="nightly"))
    log.abort(opened, "called off")
    return opened


def settings(log: OperationLog, tmp_path: Path, marquez_url: str | None) -> Settings:
    """Of an installation of the test's own."""
    return replace(read_settings({"RECANT_HOME": str(tmp_path / "home")}), marquez_url=marquez_url)


def test_what_is_owed_and_refused_is_shown(recant: Run, log: OperationLog, operation: int, tmp_path: Path) -> None:
    """Counts and the reason for people and for programs; a dead event can be delivered again, and then is."""
    with Collector(lambda event, attempt: 422 if event["eventType"] == "ABORT" and attempt == 1 else 201) as collector:
        configured = settings(log, tmp_path, collector.url)
        deliver_pending(log.database, configured)
        shown = recant("lineage", "status").out
        assert "422 Unprocessable Entity" in shown
        assert "The relay isn't running" in shown
        status = recant("lineage", "status", "--json").document
        assert [(d["operation_id"], d["event_type"]) for d in status["dead"]] == [(operation, "ABORT")]
        assert [(d["destination"], d["dead"]) for d in status["destinations"]] == [("file", 0), ("marquez", 1)]

        assert recant("lineage", "replay", "--dead").out == "Owed anew: 1 events to marquez.\n"
        deliver_pending(log.database, configured)
        assert recant("lineage", "status", "--json").document["dead"] == []
        assert recant("lineage", "replay", "--dead").out == "No such events.\n"
        again = recant("lineage", "replay", "--run", "nightly", "--to", "file", "--json")
        assert again.document == {"owed": {"file": 2}}


def test_a_replay_needs_to_know_of_what(recant: Run, operation: int) -> None:
    """Without a choice, or to nobody: exit code 2."""
    assert recant("lineage", "replay").code == 2
    refused = recant("lineage", "replay", "--all", "--to", "nowhere")
    assert (refused.code, "nowhere" in refused.err) == (2, True)


def test_without_marquez_the_status_says_so(recant: Run, log: OperationLog, operation: int, tmp_path: Path) -> None:
    """In one line, with what to do about it."""
    deliver_pending(log.database, settings(log, tmp_path, None))
    assert "No Marquez is attached" in recant("lineage", "status").out


def test_events_are_exported_as_lines(recant: Run, operation: int, tmp_path: Path) -> None:
    """To a file that isn't there yet, or to standard output."""
    file = tmp_path / "events.ndjson"
    assert recant("lineage", "export", file, "--json").document == {"events": 2, "file": str(file)}
    assert [json.loads(line)["eventType"] for line in file.read_bytes().splitlines()] == ["START", "ABORT"]
    assert recant("lineage", "export", file).code == 2
    assert recant("lineage", "export", "-").out == file.read_text()
    assert recant("lineage", "export", tmp_path / "some", "--run", "nightly").out.startswith("2 events in ")
    assert recant("lineage", "export", tmp_path / "none", "--operation", "999").out.startswith("0 events in ")
