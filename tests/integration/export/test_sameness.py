"""Exports and the log: as of a position, after a rollback, kept up."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from recant import Selector
from recant.errors import PastHorizon, UnknownCollection, UsageError
from recant.export import TABLES, ExportRequest
from tests.integration.library import Library


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


def manifest(folder: Path) -> dict:
    found = json.loads((folder / "manifest.json").read_bytes())
    for moving in ("operation_id", "position", "created_at"):
        del found[moving]
    return found


SEEN = ("documents", "chunks", "scores", "feedback", "dependencies")


def chunk_of(kb, source: str) -> int:
    with kb.database.transaction() as connection:
        row = connection.execute(
            "SELECT max(c.id) AS id FROM record r JOIN version v ON v.record_id = r.id JOIN chunk c USING (version_id) WHERE r.key = %s",
            [source],
        ).fetchone()
    return int(row["id"])


def undo(kb, operation_id: int):
    return kb.rollback(Selector(operations=(operation_id,)), policy="cascade")


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_after_a_rollback_a_refreshed_export_is_as_if_it_had_never_happened(
    kb, library: Library, export, target, format
):
    """Byte for byte, but for the manifest's operation, position and time; until then it is marked as stale."""
    library.publish({"a": "one", "b": "two"})
    kb.submit_feedback(chunk_of(kb, "a"), "helpful", comment="=thanks", agent="ada")
    export(tables=SEEN, format=format, vectors=True, target=str(target.parent / "never"))
    bad = library.publish({"a": "poisoned", "c": "=poison"}, agent="rogue")
    export(tables=SEEN, format=format, vectors=True)
    assert files(target) != files(target.parent / "never")
    assert kb.exports.refresh(kb.attribution(), only_stale=True) == []
    rolled_back = undo(kb, bad)
    assert [(Path(e.path).name, e.state) for e in kb.exports.find()] == [("export", "stale"), ("never", "current")]
    (done,) = kb.exports.refresh(kb.attribution(agent="airflow"), only_stale=True)
    assert (done.target, done.reason, done.error) == (str(target), "stale", None)
    assert files(target) == files(target.parent / "never")
    assert manifest(target) == manifest(target.parent / "never")
    assert {e.state for e in kb.exports.find()} == {"current"}
    kb.redo(rolled_back.rollback_operation_id)
    assert [e.state for e in kb.exports.find()] == ["stale", "current"]


def test_an_export_as_of_a_position_is_what_was_exported_then(kb, library: Library, export, target):
    """All tables, the log among them: to the byte."""
    library.publish({"a": "one", "b": "two"})
    library.publish({"b": None})
    kb.submit_feedback(chunk_of(kb, "a"), "outdated", agent="ada")
    position = kb.position()
    export(tables=tuple(TABLES))
    then = files(target)
    bad = library.publish({"a": "later"})
    undo(kb, bad)
    export(tables=tuple(TABLES), as_of=position, target=str(target.parent / "as of"))
    assert files(target.parent / "as of") == then
    undo(kb, 1)
    export(tables=tuple(TABLES), as_of=position, target=str(target.parent / "as of"))
    assert files(target.parent / "as of") == then


def test_the_log_says_what_was_taken_back(kb, library: Library, export, target):
    """Reverted, quarantined, published; a rollback is in the log of the collection that it was about, and in no other's."""
    bad, odd = library.publish({"a": "one"}), library.publish({"b": "two"})
    undo(kb, bad)
    kb.quarantine(Selector(operations=(odd,)))
    columns = {"operations": ("kind", "state")}
    export(tables=("operations",), columns=columns)
    lines = (target / "operations.csv").read_text().split("\n")[1:-1]
    assert [line.strip() for line in lines] == [
        "ingest,reverted", "ingest,quarantined", "rollback,published", "quarantine,published",
    ]  # fmt: skip
    other = Library(kb.database, name="other")
    other.publish({"x": "far"})
    export(tables=("operations",), columns=columns, collection="other")
    assert (target / "operations.csv").read_text().split()[1:] == ["ingest,published"]


def test_as_of_exports_stay_as_asked_for_until_something_is_erased(kb, library: Library, export, target):
    """A rollback doesn't change what was seen then; erasing changes what may be kept of it."""
    bad = library.publish({"a": "one", "b": "two"})
    library.publish({"a": "three"})
    export(as_of=1)
    undo(kb, bad)
    assert kb.exports.refresh(kb.attribution()) == []
    kb.storage.erase("b", kb.attribution(message="asked to"), collection="library")
    (done,) = kb.exports.refresh(kb.attribution(), only_stale=True)
    assert done.reason == "erased"
    assert b"two" not in (target / "chunks.csv").read_bytes()


def test_who_follows_is_kept_up_with_what_is_published(kb, library: Library, export, target):
    """Others are left at their position; an export's own publishing is no reason to make it again."""
    library.publish({"a": "one"})
    export(follow=True)
    export(target=str(target.parent / "still"))
    assert kb.exports.refresh(kb.attribution()) == []
    library.publish({"b": "two"})
    (dry,) = kb.exports.refresh(kb.attribution(), dry_run=True)
    assert (dry.reason, dry.report) == ("behind", None)
    assert kb.exports.refresh(kb.attribution(), only_stale=True) == []
    (done,) = kb.exports.refresh(kb.attribution())
    assert (done.target, done.report.rows) == (str(target), {"documents": 2, "chunks": 2})
    assert kb.exports.refresh(kb.attribution()) == []


def test_a_folder_that_is_not_what_the_log_says_is_made_again(kb, library: Library, export, target):
    """Such as one that was put in place and then not published. One that somebody removed stays away."""
    library.publish({"a": "one"})
    export()
    wanted = files(target)
    (target / "manifest.json").write_text((target / "manifest.json").read_text() + "\n")
    (done,) = kb.exports.refresh(kb.attribution(), only_stale=True)
    assert (done.reason, files(target)) == ("adrift", wanted)
    target.rename(target.parent / "moved")
    assert kb.exports.refresh(kb.attribution()) == []


def test_one_that_fails_does_not_keep_the_others_from_being_made(kb, library: Library, export, target):
    """Its error is in the answer, and the old files stay."""
    bad = library.publish({"a": "one"})
    library.publish({"b": "two"})
    export(target=str(target.parent / "first"))
    export()
    (target.parent / "first" / "mine.txt").write_text("")
    undo(kb, bad)
    first, second = kb.exports.refresh(kb.attribution())
    assert (first.report, "mine.txt" in first.error, second.error) == (None, True, None)


def test_an_export_is_an_operation_with_files_in_its_lineage(kb, library: Library, export, target):
    """Kind, agent, datasets, counts; and the blast radius of what it holds names it."""
    one = library.publish({"a": "one"})
    report = export()
    operation = kb.operations.get(report.operation_id)
    assert (operation.kind, operation.agent, operation.collection, operation.state) == (
        "export", "exporter", "library", "published",
    )  # fmt: skip
    assert operation.counts == {"files": 2, "rows": 2}
    datasets = kb.operations.details(report.operation_id)["datasets"]
    assert {(d["direction"], d["namespace"], d["name"]) for d in datasets} == {
        ("input", "postgres://recant", "recant.recant.library"),
        ("output", "file", str(target)),
    }
    radius = kb.blast_radius(Selector(operations=(one,))).to_dict()
    assert [artifact["path"] for artifact in radius["artifacts"]] == [str(target)]
    assert kb.verify().ok


def test_what_the_export_holds_can_be_narrowed(kb, library: Library, export, target):
    """By filter, by who wrote it, by column; a document passes when a chunk of it does."""
    library.publish({"a": "one", "b": "two"})
    library.publish({"c": "three"}, agent="bob")
    rows = {"filters": {"source": ["a", "c"]}, "columns": {"documents": ("source",), "chunks": ("text",)}}
    export(**rows)
    assert (target / "documents.csv").read_text().split() == ["source", "a", "c"]
    assert (target / "chunks.csv").read_text().split() == ["text", "one", "three"]
    export(**rows, agents=("bob",))
    assert (target / "chunks.csv").read_text().split() == ["text", "three"]
    other = Library(kb.database, name="other")
    other.publish({"x": "far"})
    export(collection=None, columns=rows["columns"])
    assert (target / "chunks.csv").read_text().split() == ["text", "one", "two", "three", "far"]


def test_a_retried_attempt_goes_on_with_its_operation(kb, library: Library, target):
    """Under the same key; once it is published, the key is used up."""
    library.publish({"a": "one"})
    request = ExportRequest(str(target), collection="library")
    operation_id = kb.operations.open("export", kb.attribution(), collection="library", open_key="dag/run")
    assert kb.exports.write(request, kb.attribution(), open_key="dag/run").operation_id == operation_id


@pytest.mark.parametrize(
    "asked",
    [
        {"format": "xml"}, {"compression": "rar"}, {"tables": ()}, {"tables": ("chunks", "chunks")}, {"tables": ("people",)},
        {"columns": {"chunks": ("age",)}}, {"columns": {"chunks": ()}}, {"columns": {"chunks": ("text", "text")}},
        {"rows_per_file": 0}, {"null_text": '"'}, {"null_text": "a,b"}, {"target": "relative"}, {"as_of": 1, "follow": True},
        {"as_of": 99}, {"as_of": -1}, {"filters": {"": "x"}},
    ],
)  # fmt: skip
def test_what_can_not_be_asked_for_is_a_usage_error(library: Library, export, target, asked):
    """And leaves nothing behind, not even an operation."""
    library.publish({"a": "one"})
    with pytest.raises(UsageError):
        export(**asked)
    assert not target.parent.exists()
    assert library.log.position() == 1


def test_unknown_collections_and_reclaimed_positions_are_refused(kb, library: Library, export):
    """By name."""
    library.publish({"a": "one"})
    library.publish({"a": "two"})
    with pytest.raises(UnknownCollection):
        export(collection="nowhere")
    kb.storage.reclaim(kb.attribution(), horizon=2)
    with pytest.raises(PastHorizon):
        export(as_of=1)


def test_a_request_is_read_as_it_was_written(target):
    """What is kept with an artifact makes the same export again."""
    request = ExportRequest(
        str(target),
        ("chunks",),
        "library",
        filters={"a": ["b", "c"], "day": date(2026, 1, 2)},
        columns={"chunks": ("text",)},
    )
    assert ExportRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == replace(
        request, filters={"a": ["b", "c"], "day": "2026-01-02"}
    )
    for other in ({}, {"target": "/x", "colour": "red"}):
        with pytest.raises(UsageError):
            ExportRequest.from_dict(other)


def test_a_long_export_keeps_its_lease(kb, library: Library, target, monkeypatch):
    """Upkeep leaves it alone for as long as rows come."""
    from recant.export import exports

    library.publish({"a": "one"})
    monkeypatch.setattr(exports, "LEASE_EXTENDED_EVERY_SECONDS", -1.0)
    monkeypatch.setattr(exports, "LEASE_SECONDS", 0.0)
    seen = []

    def look(table: str, rows: int) -> None:
        monkeypatch.setattr(exports, "LEASE_SECONDS", 3_600.0)
        seen.extend(kb.operations.find(limit=1))

    kb.exports.write(ExportRequest(str(target), collection="library"), kb.attribution(), progress=look)
    assert [operation.lease_expired for operation in seen] == [True, False]
