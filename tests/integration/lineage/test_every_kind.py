"""Every kind of operation there is, done through the library with the real model, and what its two events say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import recant
from recant.export import ExportRequest
from recant.ingestion.request import IngestRequest
from recant.lineage.relay import deliver_pending
from recant.oplog import Selector
from recant.settings import read_settings
from tests.integration.lineage.lineage_writers import lines
from tests.openlineage_reader import read_event

ENDS = {"COMPLETE", "ABORT", "FAIL"}


@pytest.fixture(scope="module")
def story(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[recant.KnowledgeBase]:
    """A knowledge base in which everything was done once."""
    place = tmp_path_factory.mktemp("story")
    settings = replace(
        read_settings({"RECANT_AGENT": "librarian"}), home=place / "home", dsn=module_database, embedder="local"
    )
    with recant.connect(settings=settings) as kb:
        do_everything(kb, place)
        yield kb


def do_everything(kb: recant.KnowledgeBase, place: Path) -> None:
    """Ingest, feedback, quarantine, release, rollback of a part and of all, redo, restore, a failure, erase, reclaim."""
    docs = place / "docs"
    docs.mkdir()
    (docs / "backup.md").write_text("# Backups\n\nBackups are taken every night and kept for thirty days.\n")
    (docs / "coffee.md").write_text("# Coffee\n\nThe machine is on the second floor.\n")
    first = kb.ingest([str(docs)], run="first")
    chunk = kb.search("when are backups taken?").hits[0].chunk_id
    kb.submit_feedback(chunk, "helpful", agent="reader")
    (docs / "backup.md").write_text("# Backups\n\nNobody takes backups any more, and nobody ever will.\n")
    second = kb.ingest([str(docs)], run="second", agent="intern").operation_id
    kb.archives.create(place / "archive.h5", kb.attribution())
    kb.archives.restore(place / "archive.h5", kb.attribution(), collection="copy")
    kb.exports.write(ExportRequest(str(place / "export")), kb.attribution())
    kb.quality.recalculate(kb.attribution())
    kb.quarantine(Selector(operations=(second,)))
    kb.release(Selector(operations=(second,)))
    plan = kb.plan_rollback(Selector(operations=(second,)), agent="planner")
    kb.rollbacks.approve(plan.plan_id, "approver")
    withdrawn = kb.rollback(plan_id=plan.plan_id)
    kb.redo(withdrawn.rollback_operation_id)
    kb.restore(first.position)
    failing = kb.ingestion.open(IngestRequest((str(docs),), "knowledge"), kb.attribution(run="bad"))
    kb.ingestion.abort(failing, "the gate failed", failed=True)
    kb.storage.erase(str(docs / "coffee.md"), kb.attribution(message="asked for"))
    kb.storage.reclaim(kb.attribution(), horizon=kb.position())


@pytest.fixture(scope="module")
def events(story: recant.KnowledgeBase) -> list[dict[str, Any]]:
    """All of its events, as they are exported."""
    return [json.loads(line) for line in story.deliveries.export()]


def facet(event: dict[str, Any], name: str = "recant_operation") -> dict[str, Any]:
    """A run facet."""
    return event["run"]["facets"].get(name)  # type: ignore[no-any-return]


def last(events: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The last event of a kind."""
    return [event for event in events if facet(event)["kind"] == kind][-1]


def test_every_event_is_openlineage(events: list[dict[str, Any]]) -> None:
    """As OpenLineage's own classes have it, which refuse anything else."""
    assert [read_event(event) for event in events]


def test_every_kind_of_operation_is_a_run(story: recant.KnowledgeBase, events: list[dict[str, Any]]) -> None:
    """Each operation has a START, then one end, with the same job, inputs and outputs."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        runs.setdefault(event["run"]["runId"], []).append(event)
    assert len(runs) == len(story.log(limit=1000))
    for start, end in runs.values():
        assert (start["eventType"], end["eventType"] in ENDS) == ("START", True)
        assert start["job"]["name"] == end["job"]["name"]
        for side in ("inputs", "outputs"):
            assert [d["name"] for d in start[side]] == [d["name"] for d in end[side]], end["job"]["name"]
        assert end["outputs"], end["job"]["name"]
        assert end["inputs"] or facet(end)["kind"] in ("erase", "reclaim"), end["job"]["name"]
    kinds = {facet(event)["kind"] for event in events}
    assert kinds >= {"archive", "restore_archive", "export", "recalculate_quality"}
    assert kinds >= {"ingest", "feedback", "quarantine", "release", "rollback", "redo", "restore", "erase", "reclaim"}


def test_what_a_rollback_did_is_told(story: recant.KnowledgeBase, events: list[dict[str, Any]]) -> None:
    """Whom it withdrew, by which plan, who planned and approved it, and what was at stake."""
    rollback = facet(last(events, "rollback"), "recant_rollback")
    (second,) = story.log(Selector(runs=("second",)))
    assert rollback["withdrawn"] == [{"operation_id": second.operation_id, "run_id": second.lineage_run_id}]
    assert (rollback["planned_by"], rollback["approved_by"], rollback["policy"]) == ("planner", "approver", "refuse")
    radius = facet(last(events, "rollback"), "recant_blast_radius")
    assert (radius["operations"], radius["agents"]) == ({"selected": 1}, ["intern"])
    assert radius["records"]["document"] == 1
    assert radius["datasets"]


def test_columns_of_files_are_told_with_where_they_come_from(events: list[dict[str, Any]]) -> None:
    """Of an archive, of an export, and of what was restored; each end is a column that its dataset has."""
    for kind in ("archive", "export", "restore_archive"):
        event = last(events, kind)
        ((output,), inputs) = event["outputs"], {d["name"]: d for d in event["inputs"]}
        columns = output["facets"]["columnLineage"]["fields"]
        assert columns.keys() <= {f["name"] for f in output["facets"]["schema"]["fields"]}
        for source in (source for column in columns.values() for source in column["inputFields"]):
            schema = inputs[source["name"]]["facets"]["schema"]
            assert source["field"] in {f["name"] for f in schema["fields"]}
        assert {"archive": "chunks.text", "export": "chunks.text", "restore_archive": "text"}[kind] in columns


def test_only_its_first_operation_creates_a_collection(events: list[dict[str, Any]]) -> None:
    """An ingest, or a restore from an archive; and none of what comes after it."""
    created = [e["job"]["name"] for e in events for d in e["outputs"] if "lifecycleStateChange" in d["facets"]]
    assert created == ["ingest.knowledge", "restore_archive.copy"]


def test_a_history_that_is_told_late_is_told_the_same(
    story: recant.KnowledgeBase, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    """What the relay delivers after everything has happened equals what an export says at any other time."""
    settings = replace(story.settings, home=tmp_path)
    assert deliver_pending(story.database, settings)["file"] == len(events)
    assert lines(settings) == events
