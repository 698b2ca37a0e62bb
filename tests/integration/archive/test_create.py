"""Making an archive: what is in it, how it is noted, and that other programs read it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from recant.archive import open_archive
from recant.errors import PastHorizon, UnknownCollection, UsageError
from tests.integration.archive.conftest import WHO, take_back, write_rich
from tests.integration.library import Library

PLAIN = """
import json, sys, h5py, pandas
with h5py.File(sys.argv[1]) as file:
    documents = file["documents"]
    def texts(table, name):
        data, places = file[table][name][:].tobytes(), file[table][name + "_offsets"][:]
        return [data[a:b].decode() for a, b in zip(places, places[1:])]
    seen = pandas.DataFrame({"source": texts("documents", "source"), "seen": documents["seen"][:]})
    chunks = pandas.DataFrame({
        "document": file["chunks/document"][:], "text": texts("chunks", "text"), "vector": file["chunks/vector"][:]})
    joined = chunks.merge(seen, left_on="document", right_index=True)
    vectors = file["vectors/vector"][:]
    print(json.dumps({
        "format": file.attrs["format"], "position": int(file.attrs["position"]), "dtype": str(vectors.dtype),
        "shape": vectors.shape, "rows": joined[["source", "text", "seen"]].values.tolist()}))
"""


def read_plainly(path: Path) -> dict:
    """By a process that knows nothing of Recant."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN, str(path)], capture_output=True, text=True, check=True, cwd=path.parent
    )
    return json.loads(done.stdout)


def test_what_was_seen_is_in_it(kb, told: Library, tmp_path: Path):
    """Read by h5py and pandas in a clean process: texts, sources, half-precision vectors."""
    made = kb.archives.create(tmp_path / "a.h5", WHO)
    assert (made.position, made.holds, made.collection) == (5, "seen", "library")
    assert made.rows == made.rows | {"documents": 3, "chunks": 3, "vectors": 2, "watermarks": 0}
    found = read_plainly(tmp_path / "a.h5")
    assert (found["format"], found["position"]) == ("recant-archive", 5)
    assert (found["dtype"], found["shape"]) == ("float16", [2, 4])
    assert sorted(found["rows"]) == [["a", "two", 1], ["c", "the same words", 1], ["plain", "the same words", 1]]


@pytest.mark.parametrize("compression", ["gzip", "lzf", "none"])
def test_a_history_has_every_version_and_its_log(kb, told: Library, tmp_path: Path, compression: str):
    """Taken back, superseded, removed: each with who wrote it, what was said of it, and since when."""
    made = kb.archives.create(tmp_path / "a.h5", WHO, holds="history", compression=compression)
    assert made.rows == made.rows | {"documents": 8, "chunks": 7, "operations": 5, "verdicts": 1, "history": 6}
    with open_archive(tmp_path / "a.h5") as file:
        documents = file.rows_of("documents", 0, 8)
        operations = file.rows_of("operations", 0, 5)
        verdicts = file.rows_of("verdicts", 0, 1)
    versions = sorted((d["source"], d["position"], d["seen"], d["tombstone"]) for d in documents)
    assert versions == [
        ("a", 1, 0, 0), ("a", 2, 1, 0), ("a", 4, 0, 0), ("b", 1, 0, 0), ("b", 3, 0, 1), ("c", 2, 1, 0), ("d", 4, 0, 0),
        ("plain", 1, 1, 0),
    ]  # fmt: skip
    assert [(o["position"], o["kind"], o["agent"], o["seen"]) for o in operations] == [
        (1, "ingest", "alice", 1), (2, "ingest", "alice", 1), (3, "ingest", "alice", 1), (4, "ingest", "mallory", 0),
        (5, "rollback", "carol", 1),
    ]  # fmt: skip
    assert json.loads(operations[4]["entry"])["parameters"]["withdraw"] == [verdicts[0]["operation_id"]]
    assert verdicts[0]["shows"] == 0


def test_a_history_can_be_of_a_range(kb, told: Library, tmp_path: Path):
    """From a first position to the one that is named; what came later isn't told."""
    made = kb.archives.create(tmp_path / "a.h5", WHO, holds="history", first_position=2, at=4)
    with open_archive(tmp_path / "a.h5") as file:
        found = {(d["source"], d["position"], d["seen"]) for d in file.rows_of("documents", 0, made.rows["documents"])}
    assert found == {("a", 2, 0), ("c", 2, 1), ("b", 3, 0), ("a", 4, 1), ("d", 4, 1)}
    assert (made.position, made.rows["verdicts"]) == (4, 0)


def test_as_of_a_tag(kb, told: Library, tmp_path: Path):
    """What was seen there, whatever happened since; and it stays so when it is made again."""
    kb.storage.tag("first", 1)
    made = kb.archives.create(tmp_path / "a.h5", WHO, at="first")
    with open_archive(tmp_path / "a.h5") as file:
        assert sorted(file.texts("chunks", "text", 0, 3)) == ["one", "the same words", "zwei — äöü"]
    assert kb.archives.artifacts.get(made.artifact_id).scope["asked"] == "first"
    (again,) = kb.archives.rewrite(WHO, artifacts=[made.artifact_id])
    assert (again.position, again.rows) == (1, made.rows)


def test_it_is_an_operation(kb, told: Library, tmp_path: Path):
    """With counts, its file in lineage, and an entry in the catalogue of exactly these bytes."""
    made = kb.archives.create(tmp_path / "a.h5", WHO)
    operation = kb.operations.get(made.operation_id)
    assert (operation.kind, operation.collection, operation.agent) == ("archive", "library", "keeper")
    assert operation.counts == {"documents": 3, "chunks": 3, "vectors": 2, "bytes": made.size_bytes}
    names = {(d["direction"], d["namespace"], d["name"]) for d in kb.show(made.operation_id)["datasets"]}
    assert names == {
        ("input", "postgres://recant", "recant.recant.library"),
        ("output", "file", str(tmp_path / "a.h5")),
    }
    (artifact,) = kb.archives.find()
    assert (artifact.sha256, artifact.size_bytes, artifact.state) == (made.sha256, made.size_bytes, "current")
    assert made.size_bytes == (tmp_path / "a.h5").stat().st_size


def test_everything_of_a_document_is_kept(kb, library: Library, tmp_path: Path):
    """Chunks in order with headers and attributes, the origin's watermark, and a title that isn't there."""
    write_rich(library)
    kb.archives.create(tmp_path / "a.h5", WHO)
    with open_archive(tmp_path / "a.h5") as file:
        (document,) = file.rows_of("documents", 0, 1)
        (watermark,) = file.rows_of("watermarks", 0, 1)
        chunks = file.rows_of("chunks", 0, 3)
    assert (document["has_title"], document["format"], document["origin"]) == (0, "markdown", "folder")
    assert json.loads(document["attributes"])["deep"] == {"very": [1, None, True]}
    assert [json.loads(chunk["parent_headers"])[1] for chunk in chunks] == ["Part 0", "Part 1", "Part 2"]
    assert [json.loads(chunk["attributes"])["page"] for chunk in chunks] == [0, 1, 2]
    assert (watermark["source"], watermark["document_count"], watermark["seen"]) == ("folder", 1, 1)


def test_an_empty_collection_can_be_archived(kb, library: Library, tmp_path: Path):
    """A file without rows, and whole."""
    assert library.collection.name == "library"
    made = kb.archives.create(tmp_path / "a.h5", WHO)
    assert set(made.rows.values()) == {0}
    assert kb.archives.verify(tmp_path / "a.h5").ok


def test_what_cannot_be_is_refused(kb, told: Library, tmp_path: Path):
    """By name, before anything is written; what was opened is aborted."""
    with pytest.raises(UnknownCollection):
        kb.archives.create(tmp_path / "a.h5", WHO, collection="nowhere")
    with pytest.raises(UsageError, match="is not in the log"):
        kb.archives.create(tmp_path / "a.h5", WHO, at=99)
    with pytest.raises(UsageError, match="can't be written"):
        kb.archives.create(tmp_path / "no" / "a.h5", WHO)
    with pytest.raises(UsageError, match="compression 'zip'"):
        kb.archives.create(tmp_path / "a.h5", WHO, compression="zip")
    with pytest.raises(UsageError, match="A first position is of a history"):
        kb.archives.create(tmp_path / "a.h5", WHO, first_position=1)
    with pytest.raises(UsageError, match="after the last one"):
        kb.archives.create(tmp_path / "a.h5", WHO, holds="history", first_position=4, at=2)
    with pytest.raises(UsageError, match="holds 'all'"):
        kb.archives.create(tmp_path / "a.h5", WHO, holds="all")
    assert not list(tmp_path.glob("*a.h5*"))
    assert {operation.state for operation in kb.log() if operation.kind == "archive"} == {"aborted"}


def test_a_position_past_the_horizon_is_refused(kb, told: Library, tmp_path: Path):
    """What was seen there is gone; a history takes what is left, and says what isn't."""
    kb.storage.reclaim(WHO, horizon=5)
    with pytest.raises(PastHorizon):
        kb.archives.create(tmp_path / "a.h5", WHO, at=2)
    kb.archives.create(tmp_path / "a.h5", WHO, holds="history")
    with open_archive(tmp_path / "a.h5") as file:
        gone = [d for d in file.rows_of("documents", 0, 8) if d["payload"]]
    assert sorted((d["source"], d["chunk_count"]) for d in gone) == [("a", 0), ("a", 0), ("b", 0), ("d", 0)]


def test_a_later_one_takes_its_place(kb, told: Library, tmp_path: Path):
    """The file at a path is replaced at once, and the catalogue knows the last one."""
    first = kb.archives.create(tmp_path / "a.h5", WHO)
    told.publish({"e": "new"})
    second = kb.archives.create(tmp_path / "a.h5", WHO)
    assert [a.artifact_id for a in kb.archives.find()] == [second.artifact_id]
    assert kb.archives.artifacts.get(first.artifact_id).state == "replaced"
    assert kb.archives.show(tmp_path / "a.h5")["rows"]["documents"] == 4


def test_feedback_on_what_isnt_seen_is_named_as_left_out(kb, told: Library, tmp_path: Path):
    """An archive of what is seen holds feedback on that; it says how much there is besides. A history holds all."""
    with kb.database.transaction() as connection:
        found = connection.execute("SELECT text, max(id) AS id FROM chunk WHERE text IN ('one', 'two') GROUP BY text")
        chunks = {row["text"]: row["id"] for row in found}
    kb.submit_feedback(chunks["two"], "helpful")
    kb.submit_feedback(chunks["one"], "outdated")
    made = kb.archives.create(tmp_path / "a.h5", WHO)
    assert (made.rows["records"], made.left_out) == (1, {"feedback": 1})
    history = kb.archives.create(tmp_path / "b.h5", WHO, holds="history")
    assert (history.rows["records"], history.left_out) == (2, {})


def test_a_rollback_makes_it_stale_and_it_is_written_again(kb, told: Library, tmp_path: Path):
    """Without what was taken back; a redo before that would have made it current."""
    lie = told.publish({"e": "another lie"})
    made = kb.archives.create(tmp_path / "a.h5", WHO)
    take_back(told, lie)
    (artifact,) = kb.archives.find(states=["stale"])
    assert (artifact.artifact_id, kb.archives.show(tmp_path / "a.h5")["reasons"][0]["operation_id"]) == (
        made.artifact_id,
        lie,
    )
    (again,) = kb.archives.rewrite(WHO)
    assert again.rows["documents"] == made.rows["documents"] - 1
    assert b"another lie" not in (tmp_path / "a.h5").read_bytes()
    assert kb.archives.rewrite(WHO) == []


def test_erasing_reaches_archives(kb, told: Library, tmp_path: Path):
    """One that holds the document is to be written again, also one of a past position or of a history."""
    kb.storage.tag("before")
    kb.archives.create(tmp_path / "seen.h5", WHO, at="before", compression="none")
    kb.archives.create(tmp_path / "all.h5", WHO, holds="history", compression="none")
    assert all(b"the same words" in (tmp_path / name).read_bytes() for name in ("seen.h5", "all.h5"))
    for source in ("plain", "c"):
        kb.storage.erase(source, kb.attribution(message="asked for"))
    assert [a.state for a in kb.archives.find()] == ["erased", "erased"]
    assert len(kb.archives.rewrite(WHO)) == 2
    assert not any(b"the same words" in (tmp_path / name).read_bytes() for name in ("seen.h5", "all.h5"))
    assert [a.state for a in kb.archives.find()] == ["current", "current"]


def test_only_archives_are_removed(kb, told: Library, tmp_path: Path):
    """An export is somebody else's; one that is gone already is only noted."""
    operation_id = kb.operations.open("export", WHO)
    given = {"format": "csv", "position": 5, "read_position": 5, "sha256": "00" * 32, "size_bytes": 0}
    batch_id = kb.operations.begin_batch(operation_id, "file")
    export = kb.artifacts.record(batch_id, "export", tmp_path / "e.csv", **given)
    kb.operations.finish_batch(batch_id, {})
    kb.operations.publish(operation_id)
    with pytest.raises(UsageError, match="is no archive"):
        kb.archives.remove(export, by="nora")
    made = kb.archives.create(tmp_path / "a.h5", WHO)
    (tmp_path / "a.h5").unlink()
    assert kb.archives.remove(made.artifact_id, by="nora").state == "removed"
