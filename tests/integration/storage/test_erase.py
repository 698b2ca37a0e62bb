"""Erasing destroys a document's payload in every version, at every position, and leaves the log as it was."""

from __future__ import annotations

import pytest

from recant.errors import UnknownCollection, UnknownOperation, UsageError
from recant.oplog import Attribution, Selector
from recant.rollback import verify_log
from recant.storage import Storage
from recant.store import Row
from tests.integration.library import Library
from tests.integration.rollback.test_possible_dependents import read

WHO = Attribution("keeper", "desk", "run-7", "they asked for it", {"git_commit": "abc"})


def rows(library: Library, statement: str) -> list[Row]:
    with library.database.transaction() as connection:
        return connection.execute(statement).fetchall()  # type: ignore[arg-type]


def texts(library: Library) -> set[str]:
    """Every text that is stored anywhere in the tables of versions."""
    return {row["text"] for row in rows(library, "SELECT text FROM chunk UNION SELECT title FROM document_version")}


def test_every_version_at_every_position_loses_its_payload(library: Library, storage: Storage) -> None:
    """What was seen then, what is seen now, what was taken back and what is open: nothing of it is left; the rest is."""
    library.publish({"a": "secret one", "b": "other"})
    library.publish({"a": "secret two"})
    opened = library.open("alice", "s")
    library.write(opened, {"a": "secret three"})
    aborted = library.open("alice")
    library.write(aborted, {"a": "secret four"})
    library.log.abort(aborted, "no")
    erasure = storage.erase("a", WHO)
    assert (erasure.applied, erasure.versions, erasure.chunks, erasure.embeddings) == (True, 4, 4, 4)
    assert [library.view(p) for p in range(4)] == [{}, {"b": "other"}, {"b": "other"}, {"b": "other"}]
    assert library.view(session="s") == {"b": "other"}
    assert texts(library) == {None, "other", "b"}
    assert len(rows(library, "SELECT FROM embedding")) == 1
    assert {row["payload"] for row in rows(library, "SELECT payload FROM version WHERE record_id = 1")} == {"erased"}


def test_it_is_an_attributed_operation_with_lineage(library: Library, storage: Storage) -> None:
    """It has a position and a kind of its own, names the document, and is told as any operation is."""
    library.publish({"a": "secret"})
    erasure = storage.erase("a", WHO)
    assert erasure.operation_id is not None
    operation = library.log.get(erasure.operation_id)
    assert (operation.kind, operation.position, operation.collection) == ("erase", 2, "library")
    assert (operation.agent, operation.session, operation.run_id) == ("keeper", "desk", "run-7")
    assert (operation.message, operation.context) == ("they asked for it", {"git_commit": "abc"})
    assert operation.parameters == {"source": "a", "document_id": erasure.document_id}
    assert operation.counts == {"versions": 1, "chunks": 1, "embeddings": 1}
    events = rows(
        library, f"SELECT event_type FROM lineage_event WHERE operation_id = {operation.operation_id} ORDER BY id"
    )
    assert [event["event_type"] for event in events] == ["START", "COMPLETE"]
    assert library.log.details(operation.operation_id)["datasets"][0]["name"] == "recant.recant.library"


def test_the_log_still_verifies(library: Library, storage: Storage) -> None:
    """Hashes, positions and the chain are what they were."""
    library.publish({"a": "secret", "b": "other"})
    before = rows(library, "SELECT version_id, content_hash FROM version ORDER BY version_id")
    storage.erase("a", WHO)
    assert rows(library, "SELECT version_id, content_hash FROM version ORDER BY version_id") == before
    report = verify_log(library.database)
    assert report.ok, [check for check in report.checks if not check.ok]


def test_a_second_erasure_says_so(library: Library, storage: Storage) -> None:
    """And makes no operation."""
    library.publish({"a": "secret"})
    first = storage.erase("a", WHO)
    again = storage.erase("a", WHO)
    assert (again.applied, again.operation_id) == (False, first.operation_id)
    assert "was erased before" in again.message
    assert library.log.position() == 2


def test_the_same_source_ingested_afterwards_is_new(library: Library, storage: Storage) -> None:
    """It is written over the erased head without a conflict, seen, and can be erased again."""
    library.publish({"a": "secret"})
    storage.erase("a", WHO)
    again = library.publish({"a": "secret"})
    assert library.view() == {"a": "secret"}
    assert library.log.get(again).state == "published"
    assert storage.erase("a", WHO).versions == 1
    assert library.view() == {}


def test_an_operation_that_was_open_publishes_without_it(library: Library, storage: Storage) -> None:
    """Its other documents are seen; the erased one isn't."""
    opened = library.open()
    library.write(opened, {"a": "secret", "b": "other"})
    storage.erase("a", WHO)
    library.log.publish(opened)
    assert library.view() == {"b": "other"}
    assert verify_log(library.database).ok


def test_an_open_operation_writes_on_after_it(library: Library, storage: Storage) -> None:
    """What is written after the erasure is new, whenever its operation was opened."""
    library.publish({"a": "secret"})
    opened = library.open()
    storage.erase("a", WHO)
    library.write(opened, {"a": "fresh"})
    library.log.publish(opened)
    assert library.view() == {"a": "fresh"}


def test_what_others_use_stays(library: Library, storage: Storage) -> None:
    """An embedding of the same text in another document, and tombstones, which say nothing."""
    library.publish({"a": "boilerplate", "b": "boilerplate"})
    library.publish({"a": None})
    erasure = storage.erase("a", WHO)
    assert (erasure.versions, erasure.embeddings, erasure.shared_embeddings) == (1, 0, 1)
    assert library.view() == {"b": "boilerplate"}
    states = rows(library, "SELECT payload, tombstone FROM version WHERE record_id = 1 ORDER BY version_id")
    assert states == [{"payload": "erased", "tombstone": False}, {"payload": "kept", "tombstone": True}]


def test_only_that_document_of_that_collection(library: Library, storage: Storage) -> None:
    """The same source elsewhere is another document."""
    elsewhere = Library(library.database, "elsewhere")
    library.publish({"a": "here"})
    elsewhere.publish({"a": "there"})
    storage.erase("a", WHO, collection="elsewhere")
    assert texts(library) == {None, "here", "a"}


def test_bad_calls_change_nothing(library: Library, storage: Storage) -> None:
    """An unknown document or collection, no reason."""
    library.publish({"a": "secret"})
    with pytest.raises(UsageError, match="never held"):
        storage.erase("b", WHO)
    with pytest.raises(UnknownCollection):
        storage.erase("a", WHO, collection="nowhere")
    with pytest.raises(UsageError, match="why"):
        storage.erase("a", Attribution("keeper", message="  "))
    with pytest.raises(UsageError):
        storage.erase("a\0", WHO)
    assert library.log.position() == 1


def test_it_is_never_selected_and_never_taken_back(library: Library, storage: Storage) -> None:
    """Neither by id, nor by agent, nor as a redo; the refusal says why."""
    library.publish({"a": "secret"})
    erasure = storage.erase("a", WHO)
    assert erasure.operation_id is not None
    by_id = Selector(operations=(erasure.operation_id,))
    with pytest.raises(UsageError, match="nothing takes it back"):
        library.rollback.plan(by_id, policy="force", agent="x")
    with pytest.raises(UsageError, match="nothing takes it back"):
        library.rollback.redo(erasure.operation_id, Attribution("x"))
    with pytest.raises(UnknownOperation):
        library.rollback.verify(erasure.operation_id)
    assert library.rollback.plan(Selector(agents=("keeper",)), agent="x").is_empty
    assert library.log.position() == 2


def test_taking_back_what_superseded_it_shows_nothing(library: Library, storage: Storage) -> None:
    """An erased head is absent, and no older version is shown in its place; certificates say the same."""
    library.publish({"a": "secret one"})
    library.publish({"a": "secret two"})
    storage.erase("a", WHO)
    third = library.publish({"a": "fresh"})
    report = library.rollback.run(library.rollback.plan(Selector(operations=(third,)), agent="x"), Attribution("x"))
    assert report.certificate is not None
    assert report.certificate.verified
    assert library.view() == {}
    assert verify_log(library.database).ok


def test_a_plan_made_before_it_still_applies(library: Library, storage: Storage) -> None:
    """The erasure changes no verdict; what the plan brings back is absent."""
    library.publish({"a": "secret"})
    second = library.publish({"a": "secret two", "b": "other"})
    plan = library.rollback.plan(Selector(operations=(second,)), agent="x")
    storage.erase("a", WHO)
    assert library.rollback.apply(plan, Attribution("x")).applied
    assert library.view() == {}


def test_the_words_of_searches_that_showed_it_go_with_it(library: Library, storage: Storage) -> None:
    """They may quote it. Who was shown it stays, as evidence; other searches keep their words."""
    poison = library.publish({"a": "secret", "b": "other"})
    for session, shown in (("bob's", "a"), ("eve's", "b")):
        read(library, session, shown)
        library.publish({session: "wrote then"}, session=session)
    assert storage.erase("a", WHO).queries == 1
    found = rows(library, "SELECT session, query FROM session_search ORDER BY id")
    assert [(row["session"], row["query"] is None) for row in found] == [("bob's", True), ("eve's", False)]
    radius = library.rollback.blast_radius(Selector(operations=(poison,)))
    assert radius.possible_sessions == ["bob's", "eve's"]
