"""Feedback, quality policies and pins, and retention rules are in an archive, and come out of it as they went in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import h5py
import pytest

import recant
from recant import Selector
from recant.archive.state import seal
from recant.errors import ArchiveDamaged
from recant.oplog import Attribution
from recant.scores import Policy
from recant.search.fusion import Fusion
from recant.storage import RetentionRule
from tests.integration.archive.conftest import WHO, take_back
from tests.integration.library import Library


def chunk_of(kb: recant.KnowledgeBase, text: str, collection: str = "library") -> int:
    query = (
        "SELECT max(c.id) AS id FROM chunk c JOIN version v USING (version_id) JOIN record r ON r.id = v.record_id "
        "JOIN collection k ON k.id = r.collection_id WHERE c.text = %s AND k.name = %s"
    )
    with kb.database.transaction() as connection:
        row = connection.execute(query, [text, collection]).fetchone()
    assert row
    return int(row["id"])


def words(kb: recant.KnowledgeBase, collection: str = "library") -> list[tuple]:
    """What was said, of what, by whom."""
    query = (
        "SELECT t.key, f.chunk_index, f.verdict, f.comment, f.given_by FROM feedback f JOIN seen_version v USING (version_id) "
        "JOIN record t ON t.id = f.target_record_id JOIN collection c ON c.id = t.collection_id WHERE c.name = %s ORDER BY 1, 3"
    )
    with kb.database.transaction() as connection:
        return [tuple(row.values()) for row in connection.execute(query, [collection])]


def sealed(file: h5py.File) -> None:
    """The checksum of the whole, as it is now."""
    digests = {f"{table}/{name}": str(d.attrs["sha256"]) for table, group in file.items() for name, d in group.items()}
    given = {name: v.item() if hasattr(v, "item") else v for name, v in file.attrs.items() if name != "sha256"}
    file.attrs["sha256"] = seal(given, digests)


@pytest.fixture
def judged(kb: recant.KnowledgeBase, told: Library) -> Library:
    """With feedback, one of which was taken back, a policy, a pin and a rule."""
    kb.submit_feedback(chunk_of(kb, "two"), "incorrect", comment="two, «not» three", agent="nora")
    kb.submit_feedback(chunk_of(kb, "two"), "outdated", agent="paul")
    bomb = kb.submit_feedback(chunk_of(kb, "two"), "confusing", agent="mallory")
    take_back(told, bomb.operation_id)
    kb.quality.set_policy(Policy("adr", half_life_days=12.5, floor=10.1), WHO)
    kb.quality.pin("plain", WHO, score=77)
    kb.storage.retention.set(RetentionRule("confidential", history_days=30), WHO)
    kb.search_weights.set(Fusion("max", 0.4), WHO)
    return told


@pytest.mark.parametrize("holds", ["seen", "history"])
def test_they_are_restored_into_another_database(kb, other, judged: Library, tmp_path: Path, holds: str) -> None:
    """With equal digests; what was taken back stays in the file; a second restore finds all of it there."""
    path = tmp_path / "a.h5"
    made = kb.archives.create(path, WHO, holds=holds)
    assert made.rows["records"] == (6 if holds == "seen" else 7)
    assert kb.archives.verify(path).ok
    done = other.archives.restore(path, WHO)
    assert (done.state_equal, done.records, done.homeless) == (True, 6, 0)
    assert (
        words(other)
        == words(kb)
        == [("a", 0, "incorrect", "two, «not» three", "nora"), ("a", 0, "outdated", "", "paul")]
    )
    assert [(p.doc_type, p.half_life_days, p.floor) for p in other.quality.policies()] == [
        ("adr", 12.5, pytest.approx(10.1))
    ]
    assert [(pin.source, pin.score) for pin in other.quality.pins()] == [("plain", 77)]
    assert [rule.history_days for rule in other.storage.retention.rules()] == [30]
    assert other.search_weights.show().semantic_weight == 0.4
    assert other.quality.show(chunk_of(other, "two")).score == kb.quality.show(chunk_of(kb, "two")).score
    assert other.quality.check() == []
    assert other.verify().ok
    again = other.archives.restore(path, WHO)
    assert (again.operation_id, again.records, again.state_equal) == (None, 0, True)


def test_a_restore_is_taken_back_with_all_that_came_with_it(kb, judged: Library, tmp_path: Path) -> None:
    """Documents, feedback, and policies are an operation each, published together."""
    kb.archives.create(tmp_path / "a.h5", WHO)
    done = kb.archives.restore(tmp_path / "a.h5", WHO, collection="copy")
    kinds = [kb.operations.get(number).kind for number in (done.operation_id, *done.with_operations)]
    assert kinds == ["restore_archive", "feedback", "set_policy", "set_search_weights"]
    assert words(kb, "copy") == words(kb)
    report = kb.rollback(Selector(operations=(done.operation_id, *done.with_operations)))
    assert report.applied
    assert (words(kb, "copy"), kb.quality.policies("copy"), kb.storage.retention.rules("copy")) == ([], [], [])


def test_what_one_operation_said_is_restored_alone(kb, judged: Library, tmp_path: Path) -> None:
    """Also what was taken back; where what it is about isn't there, it is left out, and said so."""
    kb.archives.create(tmp_path / "a.h5", WHO, holds="history")
    bomb = kb.operations.find(Selector(agents=("mallory",), kinds=("feedback",)))[0].operation_id
    nowhere = kb.archives.restore(tmp_path / "a.h5", WHO, collection="copy", operations=[bomb])
    assert (nowhere.operation_id, nowhere.homeless) == (None, 1)
    assert "isn't there" in nowhere.message
    here = kb.archives.restore(tmp_path / "a.h5", WHO, operations=[bomb])
    assert (here.records, kb.operations.get(here.operation_id).kind) == (1, "feedback")
    assert ("a", 0, "confusing", "", "mallory") in words(kb)
    assert judged.view()["a"] == "two"


def test_a_file_of_the_first_version_is_read_as_it_was(kb, other, judged: Library, tmp_path: Path) -> None:
    """Without the table `records`: checked, shown, restored, and its digest met."""
    path = tmp_path / "a.h5"
    kb.archives.create(path, WHO)
    with h5py.File(path, "r+") as file:
        del file["records"]
        for name, kept in (
            ("rows", lambda key: key != "records"),
            ("state", lambda key: key in ("document", "watermark")),
        ):
            parsed = json.loads(file.attrs[name])
            file.attrs[name] = json.dumps({key: value for key, value in parsed.items() if kept(key)}, sort_keys=True)
        file.attrs["format_version"] = 1
        sealed(file)
    assert kb.archives.verify(path).ok
    assert kb.archives.show(path)["format_version"] == 1
    done = other.archives.restore(path, WHO)
    assert (done.state_equal, done.records, words(other)) == (True, 0, [])


def test_feedback_that_nobody_gave_is_damage(kb, other, judged: Library, tmp_path: Path) -> None:
    """A file whose checksums are right, and whose feedback isn't what its hash says, restores nothing."""
    path = tmp_path / "a.h5"
    kb.archives.create(path, WHO, compression="none")
    with h5py.File(path, "r+") as file:
        data = file["records/content"]
        text = data[:].tobytes().replace(b'"incorrect"', b'"duplicate"')
        data[:] = memoryview(text).cast("B")
        data.attrs["sha256"] = hashlib.sha256(text).hexdigest()
        sealed(file)
    before = other.position()
    with pytest.raises(ArchiveDamaged, match="isn't what was said"):
        other.archives.restore(path, Attribution("x"))
    assert other.position() == before
