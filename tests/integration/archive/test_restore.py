"""Restoring: what was seen is seen again, in the same database or another, and can be taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from recant import Selector
from recant.archive import open_archive
from recant.errors import ArchiveDamaged, ConfigurationError, EmbeddingGone, Refused, WriteConflict
from recant.oplog import OperationLog
from tests.integration.archive.conftest import WHO, searched, take_back, write_rich
from tests.integration.library import Library, TinyModel


@pytest.fixture
def path(kb, told: Library, tmp_path: Path) -> Path:
    """An archive of what is seen of a library with a history."""
    write_rich(told, parts=5)
    write_rich(told, "second", origin="elsewhere")
    kb.archives.create(tmp_path / "a.h5", WHO)
    return tmp_path / "a.h5"


def test_into_an_empty_database(kb, other, told: Library, path: Path):
    """The same digest, the same searches, the same texts; vectors in a space of their own."""
    report = other.archives.restore(path, WHO)
    assert (report.documents, report.chunks, report.watermarks, report.unchanged) == (5, 11, 2, 0)
    assert report.state_equal
    theirs, ours = kb.verify(), other.verify()
    assert ours.ok
    assert (ours.digest, ours.records) == (theirs.digest, theirs.records)
    for text in ("two", "the same words", "anything"):
        assert searched(other, text) == searched(kb, text)
    with other.database.transaction() as connection:
        assert [row["trusted"] for row in connection.execute("SELECT trusted FROM embedding_space")] == [False]


def test_it_is_one_operation_and_can_be_taken_back(kb, other, told: Library, path: Path):
    """After a rollback of it the collection is empty again; a redo brings all of it back."""
    report = other.archives.restore(path, WHO)
    operation = other.operations.get(report.operation_id)
    assert (operation.kind, operation.counts["documents"]) == ("restore_archive", 5)
    assert (operation.parameters["sha256"], operation.parameters["archived_position"]) == (report.sha256, 7)
    library = Library(other.database)
    take_back(library, report.operation_id)
    assert (library.view(), other.verify().ok, other.verify().records) == ({}, True, {})
    other.redo(other.position() and max(o.operation_id for o in other.log()))
    assert library.view().keys() == told.view().keys()


def test_what_is_there_already_is_left_alone(kb, told: Library, path: Path):
    """Nothing is written, nothing is in the log but an attempt."""
    position = kb.position()
    report = kb.archives.restore(path, WHO)
    assert (report.operation_id, report.unchanged, report.state_equal) == (None, 5, True)
    assert kb.position() == position


def test_over_what_was_written_since(kb, told: Library, path: Path):
    """What is otherwise is superseded, what is the same is affirmed, what is more stays; undone, it is as before."""
    told.publish({"a": "three", "c": None, "new": "later"})
    before = told.view()
    report = kb.archives.restore(path, WHO)
    assert (report.documents, report.unchanged, report.vectors, report.state_equal) == (2, 3, 0, False)
    assert told.view() == before | {"a": "two", "c": "the same words"}
    take_back(told, report.operation_id)
    assert told.view() == before
    assert kb.verify().ok


def test_after_an_ingest_was_taken_back(kb, told: Library, path: Path):
    """Restored without what it affirmed, it would stand on nothing: what is left alone is depended upon."""
    report_of = kb.archives.restore
    told.publish({"a": "three"})
    report = report_of(path, WHO)
    radius = kb.blast_radius(Selector(operations=(1,))).to_dict()
    assert report.operation_id in {operation["operation_id"] for operation in radius["operations"]}


def test_single_documents(other, path: Path):
    """By source; those that the archive lacks are named."""
    report = other.archives.restore(path, WHO, sources=["manual", "nobody"])
    assert (report.documents, report.watermarks, report.missing) == (1, 0, ["nobody"])
    assert set(Library(other.database).view()) == {"manual"}


def test_what_an_operation_wrote(kb, told: Library, tmp_path: Path):
    """From a history: as it wrote it, also what was superseded or removed since."""
    kb.archives.create(tmp_path / "h.h5", WHO, holds="history")
    told.publish({"a": "four"})
    report = kb.archives.restore(tmp_path / "h.h5", WHO, operations=[1])
    assert (report.documents, report.unchanged) == (2, 1)
    assert told.view() == {"a": "one", "b": "zwei — äöü", "plain": "the same words", "c": "the same words"}
    report = kb.archives.restore(tmp_path / "h.h5", WHO, operations=[1, 2], sources=["a"])
    assert (report.documents, told.view()["a"]) == (1, "two")


def test_into_another_collection(kb, told: Library, path: Path):
    """Of another name, in the same database: the vectors are known and trusted."""
    report = kb.archives.restore(path, WHO, collection="copy")
    assert (report.collection, report.documents, report.vectors, report.state_equal) == ("copy", 5, 0, True)
    with kb.database.transaction() as connection:
        assert [row["trusted"] for row in connection.execute("SELECT trusted FROM embedding_space")] == [True]


def test_vectors_from_elsewhere_need_a_word(other, path: Path):
    """Not into a trusted space, unless somebody vouches: a false vector would outlive a rollback."""
    library = Library(other.database)
    library.publish({"mine": "of my own"})
    with pytest.raises(Refused, match="--trust-vectors"):
        other.archives.restore(path, WHO)
    assert library.view() == {"mine": "of my own"}
    assert [o.state for o in other.log() if o.kind == "restore_archive"] == ["aborted"]
    assert other.archives.restore(path, WHO, trust_vectors=True).documents == 5


def test_texts_that_are_known_need_none(kb, other, path: Path):
    """Where the space has all the vectors, nothing is taken from the file."""
    library = Library(other.database)
    library.publish({"mine": "two", "other": "the same words"})
    report = other.archives.restore(path, WHO, sources=["a", "c"])
    assert (report.documents, report.vectors) == (2, 0)


def test_another_model_is_refused(other, path: Path):
    """Its vectors mean something else."""
    Library(other.database, model=TinyModel("small", "another-digest")).publish({"x": "y"})
    with pytest.raises(ConfigurationError, match="holds vectors of small"):
        other.archives.restore(path, WHO)


def test_a_write_in_between_is_not_run_over(kb, told: Library, path: Path, monkeypatch):
    """As with any writer: whoever publishes first is right, the other tries again."""
    told.publish({"a": "three"})
    publish = kb.archives._log.__class__.publish

    def after_another(self, *operations):
        monkeypatch.undo()
        told.publish({"a": "four"})
        return publish(self, *operations)

    monkeypatch.setattr(kb.archives._log.__class__, "publish", after_another)
    with pytest.raises(WriteConflict):
        kb.archives.restore(path, WHO)
    assert told.view()["a"] == "four"
    assert kb.archives.restore(path, WHO).documents == 1


def test_a_damaged_file_is_not_restored(other, path: Path):
    """Nothing of it: it is checked whole before anything is written."""
    data = bytearray(path.read_bytes())
    with open_archive(path) as file:
        offset = file._datasets["chunks", "text"].id.get_chunk_info(0).byte_offset
    data[offset + 20] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ArchiveDamaged, match="chunks/text"):
        other.archives.restore(path, WHO)
    assert other.collections() == []


def test_watermarks_let_the_next_ingest_know(kb, other, told: Library, path: Path):
    """What the origin held is restored with it, and rewound with it."""
    other.archives.restore(path, WHO)

    def listed(knowledge_base):
        query = (
            "SELECT r.key, w.document_count, w.listing_hash "
            "FROM watermark w JOIN version v USING (version_id) JOIN record r ON r.id = v.record_id"
        )
        with knowledge_base.database.transaction() as connection:
            return sorted(
                (row["key"], row["document_count"], bytes(row["listing_hash"])) for row in connection.execute(query)
            )

    assert listed(other) == listed(kb)


def test_an_embedding_that_was_reclaimed_meanwhile(kb, told: Library, path: Path, monkeypatch):
    """The block is written again, with the vector of the file."""
    from recant.corpus import Embeddings

    known = Embeddings.known
    asked = []

    def stale(self, hashes):
        asked.append(hashes)
        return dict.fromkeys(hashes, 10**9) if len(asked) == 1 else known(self, hashes)

    monkeypatch.setattr(Embeddings, "known", stale)
    report = kb.archives.restore(path, WHO, collection="copy")
    assert (report.documents, report.state_equal, len(asked) > 1) == (5, True, True)


def test_it_is_given_up_after_some_attempts(kb, told: Library, path: Path, monkeypatch):
    """When it can't be: the operation is aborted, and a retry can help."""
    from recant.corpus import Embeddings

    monkeypatch.setattr(Embeddings, "known", lambda self, hashes: dict.fromkeys(hashes, 10**9))
    with pytest.raises(EmbeddingGone):
        kb.archives.restore(path, WHO, collection="copy")
    assert kb.log(limit=1)[0].state == "aborted"


def test_a_long_one_keeps_its_lease(kb, told: Library, path: Path, monkeypatch):
    """Making an archive and restoring from one tell upkeep that they are alive."""
    from recant.archive import archives, restoring

    monkeypatch.setattr(archives, "BEAT_SECONDS", 0.0)
    monkeypatch.setattr(restoring, "BEAT_SECONDS", 0.0)
    extended = []
    monkeypatch.setattr(OperationLog, "extend_lease", lambda self, operation_id: extended.append(operation_id))
    made = kb.archives.create(path, WHO)
    report = kb.archives.restore(path, WHO, collection="copy")
    assert set(extended) == {made.operation_id, report.operation_id}
