"""`archive`: a file is made, listed, shown, checked, searched, restored from, written again and removed."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from recant.corpus import ChunkRow, DocumentRow, Embeddings
from recant.corpus.embeddings import text_hash
from recant.embedding import open_embedder, resolve_model
from tests.integration.cli.command_line import Run
from tests.integration.library import Library

HERE = ("--collection", "library")


class ReadModel:
    """The default model, by the embedder that reads queries: no torch is loaded."""

    def __init__(self) -> None:
        self.card = resolve_model()
        self.embedder = open_embedder(self.card, purpose="query", mode="local")
        self.name, self.digest, self.dimensions = self.card.name, self.card.digest, self.card.dimensions

    def vector(self, text: str) -> np.ndarray:
        return self.embedder.embed([text])[0]


class Shelf(Library):
    """A library of that model's vectors."""

    def row(self, source: str, text: str, over: int | None) -> DocumentRow:
        embeddings = Embeddings(self.database, self.collection.space_id, self.model.dimensions)
        ids = embeddings.add({text_hash(text): self.model.vector(text)})
        chunk = ChunkRow(0, ids[text_hash(text)], 9, "text", (), text, {})
        mark = text_hash(text)
        return DocumentRow(source, "test", source, "text", mark, mark, {}, (chunk,), over)


@pytest.fixture
def file(recant: Run, library: Library, tmp_path: Path) -> Path:
    """An archive of two documents, one of which was written twice."""
    library.publish({"a": "one", "b": "two"})
    library.publish({"a": "three"})
    assert recant("archive", "create", tmp_path / "a.h5", *HERE).code == 0
    return tmp_path / "a.h5"


def test_create(recant: Run, library: Library, tmp_path: Path) -> None:
    """As asked for: what is seen, or every version from somewhere to somewhere."""
    library.publish({"a": "one"})
    library.publish({"a": "two"})
    made = recant(
        "archive", "create", tmp_path / "a.h5", *HERE, "--json", "--agent", "nora", "-m", "for the shelf"
    ).document
    assert (made["rows"]["documents"], made["position"], made["holds"]) == (1, 2, "seen")
    shown = recant("show", made["operation_id"], "--json").document
    assert (shown["kind"], shown["agent"], shown["message"]) == ("archive", "nora", "for the shelf")
    told = recant("archive", "create", tmp_path / "b.h5", *HERE, "--history", "--compression", "lzf")
    assert "library as of position 3: 2 document versions, 2 chunks, 2 vectors" in told.out
    ranged = recant(
        "archive", "create", tmp_path / "c.h5", *HERE, "--history", "--from", "2", "--at", "2", "--level", "9", "--json"
    )
    assert ranged.document["rows"]["documents"] == 1


def test_what_cannot_be_made(recant: Run, library: Library, tmp_path: Path) -> None:
    """A usage error says what; nothing is written."""
    library.publish({"a": "one"})
    for words in (["--at", "nosuch"], ["--from", "1"], ["--collection", "nowhere"], ["--level", "12"]):
        assert recant("archive", "create", tmp_path / "a.h5", *HERE, *words).code == 2
    assert "UTC" in recant("archive", "create", tmp_path / "a.h5", *HERE, "--at", "2030-01-01").err
    assert [path.name for path in tmp_path.glob("*.h5")] == ["a.h5"]


def test_list_and_show(recant: Run, library: Library, file: Path) -> None:
    """State and place; what a rollback did to it; whether the file is still there."""
    assert recant("archive", "list", "--json").document[0]["state"] == "current"
    assert recant("rollback", "--operation", "2", "--yes").code == 0
    (row,) = recant("archive", "list", "--state", "stale", "--json").document
    assert (row["path"], row["at_hand"]) == (str(file), True)
    assert "stale" in recant("archive", "list").out
    shown = recant("archive", "show", file)
    assert "stale" in shown.out
    assert "Operation 2 was hidden" in shown.out
    assert recant("archive", "show", file, "--json").document["artifact"]["artifact_id"] == row["artifact_id"]
    elsewhere = file.rename(file.with_name("moved.h5"))
    assert "wasn't made by this installation" in recant("archive", "show", elsewhere).out
    assert "(not there)" in recant("archive", "list").out
    assert "No archive" in recant("archive", "list", "--state", "erased").out


def test_verify_needs_no_database(recant: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole one is whole; a damaged one ends with 1 and names the dataset; a cut one is none."""
    monkeypatch.setenv("RECANT_DSN", "postgresql://nobody@127.0.0.1:1/none")
    assert "is whole" in recant("archive", "verify", file).out
    assert recant("archive", "verify", file, "--json").document["ok"]
    with h5py.File(file) as archive:
        place = archive["chunks/text"].id.get_chunk_info(0).byte_offset
    data = bytearray(file.read_bytes())
    data[place + 12] ^= 0xFF
    file.write_bytes(data)
    ended = recant("archive", "verify", file)
    assert (ended.code, "chunks/text" in ended.out) == (1, True)
    file.write_bytes(data[:5000])
    ended = recant("archive", "verify", file)
    assert (ended.code, "cut short" in ended.err) == (1, True)


def test_query_needs_no_database(
    recant: Run, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real model: the hits, in the same order and with the same scores, that a search gave."""
    shelf = Shelf(library.database, "library", ReadModel())
    shelf.publish({"cats.md": "Cats sleep most of the day and hunt mice.", "ships.md": "A ship crosses the ocean."})
    assert recant("archive", "create", tmp_path / "a.h5", *HERE).code == 0
    before = recant("search", "animals that sleep", *HERE, "--mode", "semantic", "--json").document["hits"]
    monkeypatch.setenv("RECANT_DSN", "postgresql://nobody@127.0.0.1:1/none")
    asked = ("archive", "query", tmp_path / "a.h5")
    found = recant(*asked, "animals that sleep", "--json").document["hits"]
    assert [(hit["source"], hit["chunk_id"]) for hit in found] == [(hit["source"], hit["chunk_id"]) for hit in before]
    assert [hit["score"] for hit in found] == pytest.approx([hit["score"] for hit in before], abs=1e-3)
    (only,) = recant(*asked, "cats", "--filter", "source=ships.md", "--json").document["hits"]
    assert only["source"] == "ships.md"
    assert "cats.md" in recant(*asked, "cats", "-n", "1").out
    assert recant(*asked, " ").code == 2


def test_another_models_archive_cannot_be_asked(recant: Run, file: Path) -> None:
    """Its vectors mean something else: which model is needed is said."""
    ended = recant("archive", "query", file, "anything")
    assert (ended.code, "vectors of tiny" in ended.err) == (3, True)


def test_restore(recant: Run, library: Library, file: Path) -> None:
    """All of it, a document, or what an operation wrote; and it is taken back like anything else."""
    library.publish({"a": None, "b": "four"})
    told = recant("archive", "restore", file, "--agent", "nora")
    assert "2 documents with 2 chunks are restored" in told.out
    assert "exactly what was seen" in told.out
    assert library.view() == {"a": "three", "b": "two"}
    report = recant(
        "archive", "restore", file, "--source", "b", "--source", "z", "--collection", "copy", "--json"
    ).document
    assert (report["documents"], report["missing"], report["collection"]) == (1, ["z"], "copy")
    assert "Not in the archive: z." in recant("archive", "restore", file, "--source", "z", "--source", "a").out
    assert recant("archive", "restore", file, "--operation", "1", "--json").document["unchanged"] == 1
    last = recant("log", "--kind", "restore_archive", "--json").document
    assert len(last["operations"]) == 4


def test_rewrite_and_remove(recant: Run, library: Library, file: Path) -> None:
    """What an erasure reaches is named, and written again without it; a file that is another isn't deleted."""
    erased = recant("erase", "b", *HERE, "--yes", "-m", "asked for")
    assert (erased.code, "These files hold it still" in erased.out, str(file) in erased.out) == (0, True, True)
    (named,) = recant("erase", "b", *HERE, "--yes", "-m", "again", "--json").document["files"]
    assert (named["kind"], named["path"]) == ("archive", str(file))
    assert recant("archive", "rewrite").code == 2
    (again,) = recant("archive", "rewrite", "--erased", "--stale", "--json").document
    assert again["rows"]["documents"] == 1
    assert recant("erase", "b", *HERE, "--yes", "-m", "again", "--json").document["files"] == []
    assert "none to be written again" in recant("archive", "rewrite", "--stale").out
    assert "document versions" in recant("archive", "rewrite", "--id", again["artifact_id"]).out
    number = recant("archive", "list", "--json").document[0]["artifact_id"]
    mine = file.read_bytes()
    file.write_text("something else")
    refused = recant("archive", "remove", number)
    assert (refused.code, file.exists()) == (1, True)
    file.write_bytes(mine)
    assert "is removed" in recant("archive", "remove", number).out
    assert not file.exists()
    assert recant("archive", "list", "--state", "removed", "--json").document[0]["artifact_id"] == number
    assert recant("archive", "remove", "99").code == 2
