"""Who says what an ingest was made from makes it a definite dependent of that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recant.errors import HasDependents, InputWithdrawn, UsageError
from recant.ingestion.pipeline import Ingestion
from recant.ingestion.request import IngestRequest, citation
from recant.oplog import Attribution, Selector
from recant.rollback import Rollback

WHO = Attribution("alice", session="day shift")


def request(*sources: object, **options: object) -> IngestRequest:
    return IngestRequest(tuple(str(s) for s in sources), "library", **options)


@pytest.fixture
def summary(tmp_path: Path) -> Path:
    """A document that somebody makes of others."""
    file = tmp_path / "summary.md"
    file.write_text("# Summary\n\nTides turn, and values are sorted.\n")
    return file


def chunks(ingestion: Ingestion, source: Path) -> list[int]:
    """The chunks of every version of a document, as searches would name them."""
    with ingestion.database.transaction() as connection:
        rows = connection.execute(
            "SELECT c.id FROM chunk c JOIN version v USING (version_id) JOIN record r ON r.id = v.record_id WHERE r.key = %s",
            [str(source)],
        )
        return sorted(row["id"] for row in rows)


def cited(ingestion: Ingestion, operation_id: int) -> list[tuple[int, str]]:
    """Operations and sources of the versions that an operation is recorded to be made from."""
    with ingestion.database.transaction() as connection:
        rows = connection.execute(
            "SELECT d.input_operation_id, r.key FROM dependency d JOIN version v ON v.version_id = d.input_version_id "
            "JOIN record r ON r.id = v.record_id WHERE d.operation_id = %s AND d.class = 'cited' AND d.version_id IS NULL",
            [operation_id],
        )
        return sorted((row["input_operation_id"], Path(row["key"]).name) for row in rows)


def take_back(ingestion: Ingestion, operation_id: int, policy: str = "refuse"):
    rollback = Rollback(ingestion.database, ingestion.settings)
    return rollback.run(rollback.plan(Selector(operations=(operation_id,)), policy=policy, agent="x"), WHO)


def test_chunks_and_sources_are_cited(ingestion: Ingestion, folder: Path, summary: Path):
    """Each version once, however it is named; a source also as a path that listing would make absolute."""
    base = ingestion.run(request(folder), WHO).operation_id
    first = chunks(ingestion, folder / "tides.md")[0]
    relative = os.path.relpath(folder / "sort.py")
    named = (first, str(folder / "tides.md"), relative)
    report = ingestion.run(request(summary, based_on=named), WHO)
    assert cited(ingestion, report.operation_id) == [(base, "sort.py"), (base, "tides.md")]
    operation = ingestion.log.get(report.operation_id)
    assert operation.counts["cited"] == 2
    assert operation.parameters["request"]["based_on"] == [first, str(folder / "tides.md"), relative]
    datasets = ingestion.log.details(report.operation_id)["datasets"]
    assert [d["direction"] for d in datasets if d["name"].endswith("library")] == ["input", "output"]


def test_what_cites_is_a_definite_dependent(ingestion: Ingestion, folder: Path, summary: Path):
    """A rollback of what it was made from is refused, and a cascade takes it along."""
    base = ingestion.run(request(folder), WHO).operation_id
    built = ingestion.run(request(summary, based_on=(str(folder / "tides.md"),)), WHO).operation_id
    with pytest.raises(HasDependents, match=rf"{built} \(cited from {base}\)"):
        take_back(ingestion, base)
    assert take_back(ingestion, base, "cascade").withdrawn == (base, built)


def test_a_source_stands_for_the_version_that_its_writer_sees(ingestion: Ingestion, folder: Path, summary: Path):
    """The latest one, or its own session's open one; a chunk stands for the version it is of, superseded or not."""
    base = ingestion.run(request(folder), WHO).operation_id
    old = chunks(ingestion, folder / "tides.md")[0]
    (folder / "tides.md").write_text("# Tides\n\nThere are none.\n")
    newer = ingestion.run(request(folder / "tides.md"), WHO).operation_id
    by_source = ingestion.open(request(summary, based_on=(str(folder / "tides.md"),)), WHO)
    by_chunk = ingestion.open(request(summary, based_on=(old,)), WHO)
    assert cited(ingestion, by_source) == [(newer, "tides.md")]
    assert cited(ingestion, by_chunk) == [(base, "tides.md")]
    draft = draft_of(ingestion, summary)
    own = ingestion.open(request(folder, based_on=(str(summary), *chunks(ingestion, summary))), WHO)
    assert cited(ingestion, own) == [(draft, "summary.md")]
    ingestion.publish(draft)
    ingestion.publish(own)


def draft_of(ingestion: Ingestion, source: Path) -> int:
    """An operation that has written the source, and is open."""
    operation = ingestion.open(request(source), WHO)
    for items in ingestion.list_batches(operation, request(source)):
        ingestion.write_batch(operation, "0", items, request(source))
    return operation


def test_what_is_not_there_is_named_before_anything_is_written(ingestion: Ingestion, folder: Path, summary: Path):
    """An unknown chunk or source, a removed document, an open draft of somebody else, another collection."""
    ingestion.run(request(folder), WHO)
    (folder / "sort.py").unlink()
    ingestion.run(request(folder), WHO)
    draft_of(ingestion, summary)
    (drafted,) = chunks(ingestion, summary)
    stranger, before = Attribution("bob", session="night shift"), len(ingestion.log.find())
    for item in (10**6, 2**70, drafted, "/nowhere.md", str(folder / "sort.py"), str(summary), "a\0b", "bad\udcff"):
        with pytest.raises(UsageError, match=r"based_on: (there is no chunk|no document)") as refused:
            ingestion.open(request(folder, based_on=(str(folder / "tides.md"), item)), stranger)
        assert (repr(item) if isinstance(item, str) else str(item)) in str(refused.value)
    with pytest.raises(UsageError, match="no document"):
        ingestion.open(IngestRequest((str(folder),), "other", based_on=(str(folder / "tides.md"),)), stranger)
    assert len(ingestion.log.find()) == before
    assert [collection.name for collection in ingestion.corpus.collections()] == ["library"]


def test_a_chunk_of_what_was_taken_back_is_refused_at_once(ingestion: Ingestion, folder: Path, summary: Path):
    """And once it is back, it may be cited."""
    base = ingestion.run(request(folder), WHO).operation_id
    (first, *_) = chunks(ingestion, folder / "tides.md")
    undone = take_back(ingestion, base)
    with pytest.raises(InputWithdrawn, match=f"Chunk {first} was written by operation {base}"):
        ingestion.run(request(summary, based_on=(first,)), WHO)
    with pytest.raises(UsageError, match="no document"):
        ingestion.run(request(summary, based_on=(str(folder / "tides.md"),)), WHO)
    Rollback(ingestion.database, ingestion.settings).redo(undone.rollback_operation_id, WHO)
    assert ingestion.run(request(summary, based_on=(first,)), WHO).documents == 1


def test_what_is_taken_back_while_it_is_written_refuses_publishing(ingestion: Ingestion, folder: Path, summary: Path):
    """The undo in between is caught, and nothing of the operation is seen."""
    base = ingestion.run(request(folder), WHO).operation_id
    what = request(summary, based_on=(str(folder / "tides.md"),))
    operation = ingestion.open(what, WHO)
    for items in ingestion.list_batches(operation, what):
        ingestion.write_batch(operation, "0", items, what)
    take_back(ingestion, base)
    with pytest.raises(InputWithdrawn, match=f"operation {operation} was made from operation {base} "):
        ingestion.publish(operation)


def test_opening_again_cites_anew(ingestion: Ingestion, folder: Path, summary: Path):
    """A retried task leaves one set of citations, and never cites what its own operation has written by then."""
    base = ingestion.run(request(folder), WHO).operation_id
    what = request(folder, based_on=(str(folder / "tides.md"),))
    operation = ingestion.open(what, WHO, open_key="task")
    (folder / "tides.md").write_text("# Tides\n\nThere are none.\n")
    for items in ingestion.list_batches(operation, what):
        ingestion.write_batch(operation, "0", items, what)
    assert ingestion.open(what, WHO, open_key="task") == operation
    assert cited(ingestion, operation) == [(base, "tides.md")]
    ingestion.publish(operation)


@pytest.mark.parametrize("item", ["", 0, True, None, 1.5])
def test_what_is_neither_id_nor_source_is_refused(item: object):
    """By the request already."""
    with pytest.raises(UsageError, match="neither a chunk's id nor a document's source"):
        request("x", based_on=(item,))


def test_a_request_travels_with_its_citations():
    """As JSON, between the tasks of a DAG; digits that a person types are a chunk's id."""
    asked = request("x", based_on=tuple(map(citation, ["12", "/docs/a.md", "dist:numpy", "٣"])))
    assert asked.based_on == (12, "/docs/a.md", "dist:numpy", "٣")
    assert IngestRequest.from_dict(asked.to_dict()) == asked
