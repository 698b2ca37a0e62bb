"""Reclaiming frees what nobody can be shown any more, and nothing else; what would need it is refused, never answered wrongly."""

from __future__ import annotations

import pytest

from recant.errors import PastHorizon, PlanStale, UsageError
from recant.oplog import Attribution, Selector
from recant.rollback import verify_log
from recant.settings import read_settings
from recant.storage import Storage, reclamation
from recant.storage.reclamation import Reclamation
from recant.store import Row
from tests.integration.library import Library

WHO = Attribution("keeper", message="room is needed")


def rows(library: Library, statement: str) -> list[Row]:
    with library.database.transaction() as connection:
        return connection.execute(statement).fetchall()  # type: ignore[arg-type]


def stored(library: Library) -> set[str]:
    """The texts of every chunk on disk."""
    return {row["text"] for row in rows(library, "SELECT text FROM chunk")}


def reclaim(storage: Storage, horizon: int) -> Reclamation:
    return storage.reclaim(WHO, horizon=horizon)


def take_back(library: Library, *operations: int, **options: str) -> int:
    plan = library.rollback.plan(Selector(operations=operations), agent="x", **options)
    done = library.rollback.run(plan, Attribution("x")).rollback_operation_id
    assert done is not None
    return done


def test_what_was_superseded_before_the_horizon_goes(library: Library, storage: Storage) -> None:
    """Chunks, titles and embeddings of it; what is seen at the horizon or since stays, and verifies."""
    for text in ("one", "two", "three", "four"):
        library.publish({"a": text})
    report = reclaim(storage, 3)
    assert (report.versions, report.chunks, report.embeddings, report.horizon) == (2, 2, 2, 3)
    assert stored(library) == {"three", "four"}
    assert [row["title"] for row in rows(library, "SELECT title FROM document_version")] == ["a", "a"]
    assert len(rows(library, "SELECT FROM embedding")) == 2
    assert [library.view(p) for p in (3, 4, 5)] == [{"a": "three"}, {"a": "four"}, {"a": "four"}]
    assert verify_log(library.database).ok


def test_it_is_an_attributed_operation_and_moves_the_horizon(library: Library, storage: Storage) -> None:
    """Kind, counts, parameters, lineage; and `horizon()` says how far back answers go."""
    library.publish({"a": "one"})
    library.publish({"a": "two"})
    assert storage.horizon().position == 0
    report = reclaim(storage, 2)
    assert report.operation_id is not None
    operation = library.log.get(report.operation_id)
    assert (operation.kind, operation.agent, operation.message) == ("reclaim", "keeper", "room is needed")
    assert operation.parameters == {"asked": 2, "horizon": 2}
    assert operation.counts == {"versions": 1, "chunks": 1}
    assert library.log.details(report.operation_id)["datasets"][0]["name"] == "recant.recant.library"
    events = rows(
        library, f"SELECT event_type FROM lineage_event WHERE operation_id = {operation.operation_id} ORDER BY id"
    )
    assert [event["event_type"] for event in events] == ["START", "COMPLETE"]
    horizon = storage.horizon()
    assert (horizon.position, horizon.operation_id, horizon.moved_at) == (
        2,
        report.operation_id,
        operation.published_at,
    )


def test_with_nothing_to_free_there_is_no_operation(library: Library, storage: Storage) -> None:
    """And the horizon stays: nobody loses an answer for nothing."""
    library.publish({"a": "one"})
    library.publish({"b": "two"})
    report = reclaim(storage, 2)
    assert (report.operation_id, report.versions, report.horizon, library.log.position()) == (None, 0, 0, 2)
    assert "nothing to reclaim" in report.message


def test_a_dry_run_says_the_same_and_changes_nothing(library: Library, storage: Storage) -> None:
    """Versions, chunks and embeddings are those that are freed then."""
    library.publish({"a": "one", "b": "shared"})
    library.publish({"a": "shared", "b": "two"})
    library.publish({"a": "three", "b": "shared"})
    before = storage.reclaim(WHO, horizon=3, dry_run=True)
    assert (before.dry_run, library.log.position(), len(stored(library))) == (True, 3, 4)
    after = reclaim(storage, 3)
    assert (
        (before.versions, before.chunks, before.embeddings)
        == (after.versions, after.chunks, after.embeddings)
        == (4, 4, 2)
    )
    assert before.horizon == after.horizon == 3


def test_aborted_operations_are_freed_at_once(library: Library, storage: Storage) -> None:
    """Nobody ever saw them. What they rejected goes when they are older than the horizon."""
    aborted = library.open()
    target = library.write(aborted, {"a": "never seen"})
    second = library.begin(aborted, "second")
    with library.database.transaction() as connection:
        library.corpus.reject(connection, second, [("b", "empty", "there is no text in it")])
    library.log.finish_batch(second.batch_id, {})
    library.log.abort(aborted, "no")
    assert target.operation_id == aborted
    assert reclaim(storage, 0).versions == 1
    assert (stored(library), len(rows(library, "SELECT FROM rejection"))) == (set(), 1)
    library.publish({"a": "one"})
    library.publish({"a": "two"})
    assert reclaim(storage, library.log.position()).forgotten == 1
    assert rows(library, "SELECT FROM rejection") == []


def test_what_a_rollback_would_bring_back_past_the_horizon_is_refused_in_the_plan(
    library: Library, storage: Storage
) -> None:
    """An older version is never shown instead, and the refusal names the document."""
    library.publish({"a": "one"})
    second = library.publish({"a": "two"})
    third = library.publish({"a": "three"})
    reclaim(storage, 2)
    with pytest.raises(PastHorizon, match="a"):
        take_back(library, second, third)
    take_back(library, third)
    assert library.view() == {"a": "two"}
    for policy in ("cascade", "force", "safe_only"):
        with pytest.raises(PastHorizon):
            library.rollback.plan(Selector(operations=(second,)), policy=policy, agent="x")
    assert library.view() == {"a": "two"}


def test_redo_release_and_restore_past_the_horizon_are_refused(library: Library, storage: Storage) -> None:
    """What was hidden before the horizon and freed doesn't come back."""
    first = library.publish({"a": "one"})
    library.publish({"b": "one"})
    undone = take_back(library, first)
    library.publish({"b": "two"})
    reclaim(storage, library.log.position())
    assert stored(library) == {"two"}
    with pytest.raises(PastHorizon):
        library.rollback.redo(undone, Attribution("x"))
    with pytest.raises(PastHorizon):
        library.rollback.redo(undone, Attribution("x"), "force")
    with pytest.raises(PastHorizon, match="horizon"):
        library.rollback.restore("library", 2, Attribution("x"))
    held = library.publish({"c": "held"})
    library.rollback.quarantine(Selector(operations=(held,)), Attribution("x"))
    reclaim(storage, library.log.position())
    with pytest.raises(PastHorizon):
        library.rollback.release(Selector(operations=(held,)), Attribution("x"), "force")


def test_what_was_seen_since_the_horizon_for_a_while_stays(library: Library, storage: Storage) -> None:
    """A rollback and its redo between the horizon and now: what was seen in between can be asked for."""
    library.publish({"a": "one"})
    second = library.publish({"a": "two"})
    library.publish({"b": "other"})
    undone = take_back(library, second)
    library.rollback.redo(undone, Attribution("x"))
    assert reclaim(storage, 3).versions == 0
    assert stored(library) == {"one", "two", "other"}
    assert reclaim(storage, library.log.position()).versions == 1
    assert stored(library) == {"two", "other"}


def test_a_tag_pins_what_was_seen_there(library: Library, storage: Storage) -> None:
    """It can be searched and restored for as long as the tag stands; removed, it goes with the next reclaim."""
    for text in ("one", "two", "three"):
        library.publish({"a": text})
    storage.tag("first", at=1)
    assert reclaim(storage, 3).versions == 1
    assert stored(library) == {"one", "three"}
    library.rollback.restore("library", 1, Attribution("x"))
    assert library.view() == {"a": "one"}
    with pytest.raises(PastHorizon):
        library.rollback.plan_restore("library", 2, agent="x")
    with pytest.raises(PastHorizon):
        storage.tag("second", at=2)
    library.publish({"a": "four"})
    storage.untag("first")
    reclaim(storage, library.log.position())
    assert stored(library) == {"four"}


def test_an_open_plan_keeps_what_it_would_show(library: Library, storage: Storage) -> None:
    """Every version of the records that it is about; applied or given up, it keeps nothing."""
    first = library.publish({"a": "one"})
    second = library.publish({"a": "two"})
    plan = library.rollback.plan(Selector(operations=(second,)), agent="x")
    assert reclaim(storage, 2).versions == 0
    library.rollback.apply(plan, Attribution("x"))
    assert library.view() == {"a": "one"}
    assert reclaim(storage, library.log.position()).versions == 1
    assert stored(library) == {"one"}
    assert first == 1


def test_an_open_operation_holds_the_horizon_back(library: Library, storage: Storage) -> None:
    """What it was begun on stays until it is over; the report says who."""
    library.publish({"a": "one"})
    opened = library.open()
    library.publish({"a": "two"})
    library.publish({"a": "three"})
    report = reclaim(storage, 3)
    assert (report.horizon, report.held_by, report.versions) == (0, opened, 0)
    assert f"operation {opened}" in report.message
    library.log.abort(opened, "no")
    report = reclaim(storage, 3)
    assert (report.horizon, report.held_by, report.versions) == (3, None, 2)


def test_the_horizon_never_goes_back(library: Library, storage: Storage) -> None:
    """Asking for an earlier one frees what has become free since."""
    for text in ("one", "two", "three"):
        library.publish({"a": text})
    reclaim(storage, 3)
    aborted = library.open()
    library.write(aborted, {"b": "never"})
    library.log.abort(aborted, "no")
    assert (reclaim(storage, 1).horizon, storage.horizon().position) == (3, 3)


def test_searching_before_the_horizon_is_refused(library: Library, storage: Storage) -> None:
    """At the horizon and later, and at tags, it is answered; before it the horizon is named."""
    from recant.search import Searcher

    searcher = Searcher(library.database, library.model.vector)
    for text in ("one", "two", "three"):
        library.publish({"a": text})
    storage.tag("first", at=1)
    reclaim(storage, 3)

    def found(position: int) -> list[str]:
        return [hit.text for hit in searcher.search("one", collection="library", as_of=position).hits]

    assert [found(1), found(3), found(4)] == [["one"], ["three"], ["three"]]
    with pytest.raises(PastHorizon, match="position 3") as refused:
        found(2)
    assert refused.value.details == {"position": 2, "horizon": 3}


def test_a_plan_made_before_a_reclaim_is_stale_when_it_can_not_be_carried_out(
    library: Library, storage: Storage
) -> None:
    """Should the plan be over for the reclaim, applying it is refused instead of showing an empty document."""
    library.publish({"a": "one"})
    second = library.publish({"a": "two"})
    plan = library.rollback.plan(Selector(operations=(second,)), agent="x")
    with library.database.connection() as owner:
        owner.execute("SET ROLE recant_owner")
        owner.execute("UPDATE rollback_plan SET state = 'expired'")
        reclaim(storage, 2)
        owner.execute("UPDATE rollback_plan SET state = 'open'")
    with pytest.raises(PlanStale):
        library.rollback.apply(plan, Attribution("x"))
    assert library.view() == {"a": "two"}


def test_what_a_crash_left_is_freed_first(library: Library, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marked and not yet deleted: nobody sees it, everything verifies, and the next reclaim finishes it."""
    library.publish({"a": "one"})
    library.publish({"a": "two"})
    with monkeypatch.context() as patch:
        patch.setattr(reclamation, "_free_all", lambda database: {"versions": 0, "chunks": 0, "embeddings": 0})
        reclaim(storage, 2)
    assert stored(library) == {"one", "two"}
    assert verify_log(library.database).ok
    report = reclaim(storage, 2)
    assert (report.operation_id, report.finished, stored(library)) == (None, 1, {"two"})


def test_freeing_goes_in_short_transactions(
    library: Library, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever their size, everything marked is freed in the end."""
    monkeypatch.setattr(reclamation, "BATCH_VERSIONS", 3)
    monkeypatch.setattr(reclamation, "BATCH_CHUNKS", 2)
    monkeypatch.setattr(reclamation, "SWEEP_EMBEDDINGS", 2)
    for number in range(4):
        library.publish({f"d{n}": f"text {n} {number}" for n in range(5)})
    report = reclaim(storage, 4)
    assert (report.versions, report.chunks, report.embeddings) == (15, 15, 15)
    assert len(stored(library)) == len(rows(library, "SELECT FROM embedding")) == 5


def test_embeddings_that_nobody_used_for_long_are_swept(library: Library, storage: Storage) -> None:
    """Those of discarded attempts: not with the first reclaim after them, when a writer might be about to use them."""
    opened = library.open()
    library.append(library.begin(opened, "batch"), {"a": "first attempt"})
    library.write(opened, {"a": "second attempt"}, key="batch")
    library.log.publish(opened)
    library.publish({"b": "one"})
    library.publish({"b": "two"})
    reclaim(storage, library.log.position())
    assert len(rows(library, "SELECT FROM embedding")) == 3
    library.publish({"b": "three"})
    assert reclaim(storage, library.log.position()).embeddings == 2
    assert len(rows(library, "SELECT FROM embedding")) == 2


def test_days_are_taken_from_the_settings_unless_said(library: Library, storage: Storage) -> None:
    """90 by default; nothing is younger than that here."""
    library.publish({"a": "one"})
    library.publish({"a": "two"})
    assert storage.reclaim(WHO).asked == 0
    assert storage.reclaim(WHO, older_than_days=0, dry_run=True).asked == 2
    forever = Storage(library.database, read_settings({"RECANT_RETENTION_DAYS": "forever"}))
    with pytest.raises(UsageError, match="for ever"):
        forever.reclaim(WHO)
    assert forever.reclaim(WHO, horizon="2", dry_run=True).versions == 1


@pytest.mark.parametrize(
    "given",
    [{"older_than_days": 1, "horizon": 1}, {"older_than_days": -1}, {"older_than_days": 10**9}, {"horizon": -1}],
)
def test_bad_calls_are_refused(storage: Storage, given: dict[str, int]) -> None:
    """Two bounds at once, or one that can't be."""
    with pytest.raises(UsageError):
        storage.reclaim(WHO, **given)  # type: ignore[arg-type]


def test_erased_documents_stay_erased(library: Library, storage: Storage) -> None:
    """Reclaiming their skeletons' versions changes nothing that is seen; the log verifies."""
    library.publish({"a": "one", "b": "other"})
    library.publish({"a": "two"})
    storage.erase("a", WHO, collection="library")
    reclaim(storage, library.log.position())
    assert library.view() == {"b": "other"}
    assert verify_log(library.database).ok


def test_it_is_never_taken_back(library: Library, storage: Storage) -> None:
    """Neither selected nor redone."""
    library.publish({"a": "one"})
    library.publish({"a": "two"})
    done = reclaim(storage, 2).operation_id
    assert done is not None
    with pytest.raises(UsageError, match="nothing takes it back"):
        take_back(library, done)
    with pytest.raises(UsageError, match="nothing takes it back"):
        library.rollback.redo(done, Attribution("x"))


def test_a_rollback_by_document_keeps_what_it_may_bring_back(library: Library, storage: Storage) -> None:
    """The heads that a narrowed verdict made are kept like others; its redo past the horizon is refused."""
    library.publish({"a": "one", "b": "one"})
    library.publish({"a": "two", "b": "two"})
    plan = library.rollback.plan(Selector(sources=("a",), agents=("alice",), first_position=2), agent="x")
    assert reclaim(storage, 2).versions == 1
    assert stored(library) == {"one", "two"}
    undone = library.rollback.run(plan, Attribution("x")).rollback_operation_id
    assert undone is not None
    library.publish({"c": "three"})
    assert reclaim(storage, library.log.position()).versions == 1
    assert seen(library) == {"a": "one", "b": "two", "c": "three"}
    with pytest.raises(PastHorizon):
        library.rollback.redo(undone, Attribution("x"))


def seen(library: Library) -> dict[str, str]:
    """What is seen now, by the function that scans."""
    found = rows(library, "SELECT h.key, c.text FROM heads_at(NULL, NULL) h JOIN chunk c USING (version_id)")
    return {row["key"]: row["text"] for row in found}


def test_an_ingest_that_only_added_can_be_taken_back_past_the_horizon(library: Library, storage: Storage) -> None:
    """The watermark that it had moved is there to be seen again."""
    ingest(library, {"a": "one"})
    second = ingest(library, {"b": "one"})
    library.publish({"a": "two"})
    library.publish({"a": "three"})
    assert reclaim(storage, 4).versions == 2
    take_back(library, second)
    assert library.view() == {"a": "three"}
    assert verify_log(library.database).ok


def ingest(library: Library, documents: dict[str, str | None]) -> int:
    """With the watermark of their origin, as an ingest leaves it."""
    operation_id = library.open()
    target = library.begin(operation_id)
    library.append(target, documents)
    with library.database.transaction() as connection:
        library.corpus.mark_origins(connection, target, ["test"])
    library.log.finish_batch(target.batch_id, {"documents": len(documents)})
    library.log.publish(operation_id)
    return operation_id
