"""Read in order, this is what the operation log promises."""

from __future__ import annotations

import threading

import psycopg
import pytest

from recant.errors import (
    ConfigurationError,
    InputWithdrawn,
    OperationClosed,
    Refused,
    StaleBatch,
    UnknownCollection,
    UnknownOperation,
    UsageError,
    WriteConflict,
)
from recant.oplog import Attribution, Selector
from tests.integration.library import Library


def test_an_open_operation_is_seen_by_nobody(library: Library):
    """What is appended is invisible until its operation is published."""
    operation = library.open()
    library.write(operation, {"a": "one"})
    assert library.view() == {}
    assert library.log.get(operation).state == "open"


def test_publishing_shows_everything_at_once_and_gives_a_position(library: Library):
    """A publish is one step: all documents of all batches are seen, at the next position."""
    operation = library.open()
    library.write(operation, {"a": "one"}, key="first")
    library.write(operation, {"b": "two"}, key="second")
    assert library.log.publish(operation) == [1]
    assert library.view() == {"a": "one", "b": "two"}
    found = library.log.get(operation)
    assert (found.state, found.position, found.counts["documents"]) == ("published", 1, 2)
    assert found.published_at is not None
    assert found.published_at >= found.opened_at


def test_several_connections_append_under_one_operation(library: Library):
    """Any number of workers append at once; the operation holds all of their rows."""
    operation = library.open()
    assert library.collection
    errors: list[BaseException] = []

    def work(n: int) -> None:
        try:
            library.write(operation, {f"doc-{n}-{i}": f"text {n} {i}" for i in range(5)}, key=f"batch-{n}")
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    library.log.publish(operation)
    assert len(library.view()) == 30


def test_positions_are_gapless_in_the_order_of_publishing(library: Library):
    """Concurrent publishers get 1, 2, 3 …; an aborted or refused one takes no position."""
    operations = [library.open() for _ in range(8)]
    for n, operation in enumerate(operations):
        library.write(operation, {f"d{n}": "text"})
    library.log.abort(operations.pop(), "not wanted")
    threads = [threading.Thread(target=library.log.publish, args=(o,)) for o in operations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(library.log.get(o).position for o in operations) == list(range(1, 8))


def test_an_aborted_operation_was_never_there(library: Library):
    """Aborting leaves nothing to see, says why, and repeats without harm."""
    operation = library.open()
    library.write(operation, {"a": "one"})
    assert library.log.abort(operation, "the gate failed", failed=True) is True
    assert library.log.abort(operation, "again") is False
    found = library.log.get(operation)
    assert (found.state, found.reason, library.view()) == ("aborted", "the gate failed", {})
    with pytest.raises(OperationClosed, match="aborted"):
        library.log.publish(operation)


def test_a_published_operation_can_not_be_aborted(library: Library):
    """It can be rolled back, and the error says so."""
    operation = library.publish({"a": "one"})
    with pytest.raises(OperationClosed, match="rolled back"):
        library.log.abort(operation, "too late")


def test_nothing_is_appended_after_publish(library: Library):
    """A late worker's row never joins a published operation, whatever its batch was told."""
    operation = library.open()
    late = library.begin(operation, "late")
    library.log.finish_batch(late.batch_id, {})
    library.log.publish(operation)
    with pytest.raises(OperationClosed, match="published"):
        library.append(late, {"a": "late"})
    assert library.view() == {}


def test_a_publish_waits_for_an_append_in_flight(library: Library, database: str):
    """An append that began before the publish is in it whole; the publish waits for its transaction."""
    operation = library.open()
    target = library.begin(operation, "slow")
    row = library.row("slow", "slow text", None)
    published = threading.Event()

    with library.database.transaction() as connection:
        library.corpus.append(connection, target, [row])
        connection.execute("SELECT finish_batch(%s, '{}')", [target.batch_id])
        publisher = threading.Thread(target=lambda: (library.log.publish(operation), published.set()))
        publisher.start()
        assert not published.wait(0.3), "published while an append was in flight"
    publisher.join(10)
    assert library.view() == {"slow": "slow text"}


def test_a_publish_is_refused_while_a_batch_is_unfinished(library: Library):
    """A worker that is still writing isn't left behind silently."""
    operation = library.open()
    library.begin(operation, "unfinished")
    with pytest.raises(Refused, match='batch "unfinished"'):
        library.log.publish(operation)


def test_a_retried_batch_replaces_its_earlier_rows(library: Library):
    """The second attempt's documents are the batch's documents; nothing is doubled."""
    operation = library.open()
    library.write(operation, {"a": "first try", "b": "first try"}, key="batch-0")
    library.write(operation, {"a": "second try"}, key="batch-0")
    library.log.publish(operation)
    assert library.view() == {"a": "second try"}
    assert library.log.get(operation).counts["documents"] == 1


def test_a_zombie_of_an_earlier_attempt_is_refused(library: Library):
    """A worker thought dead that goes on writing gets StaleBatch, and none of its rows count."""
    operation = library.open()
    zombie = library.begin(operation, "batch-0")
    library.write(operation, {"a": "the retry"}, key="batch-0")
    with pytest.raises(StaleBatch, match="taken over|superseded"):
        library.append(zombie, {"z": "zombie"})
    library.log.publish(operation)
    assert library.view() == {"a": "the retry"}


def test_opening_again_with_the_same_key_gives_the_same_operation(library: Library):
    """A retried task doesn't open a second operation; a finished run's key is refused."""
    first = library.open(open_key="dag/run-1")
    assert library.open(open_key="dag/run-1") == first
    library.log.publish(first)
    with pytest.raises(OperationClosed, match="dag/run-1"):
        library.open(open_key="dag/run-1")


def test_of_two_writers_over_the_same_head_the_second_is_refused(library: Library):
    """WriteConflict names the record, what the writer saw and what is there now; nothing of it is seen."""
    library.publish({"a": "base"})
    first, second = library.open(), library.open()
    library.write(first, {"a": "first"})
    library.write(second, {"a": "second"})
    library.log.publish(first)
    with pytest.raises(WriteConflict) as refused:
        library.log.publish(second)
    assert refused.value.details["record"] == "a"
    assert refused.value.details["actual"] == first
    assert library.view() == {"a": "first"}
    assert library.log.get(second).state == "open"


def test_two_publishers_at_the_same_moment_can_not_both_pass(library: Library):
    """The conflict test is made under the lock: of many racing over one head exactly one wins."""
    library.publish({"a": "base"})
    operations = [library.open() for _ in range(6)]
    for n, operation in enumerate(operations):
        library.write(operation, {"a": f"writer {n}"})
    outcomes: list[str] = []

    def race(operation: int) -> None:
        try:
            library.log.publish(operation)
            outcomes.append("published")
        except WriteConflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=race, args=(o,)) for o in operations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict"] * 5 + ["published"]


def test_last_wins_waives_the_write_conflict(library: Library):
    """Who says last_wins is published over whatever is there, and its version comes last."""
    library.publish({"a": "base"})
    forced = library.open(last_wins=True)
    library.write(forced, {"a": "forced"})
    library.publish({"a": "in between"})
    library.log.publish(forced)
    assert library.view() == {"a": "forced"}


def test_what_was_built_on_something_withdrawn_is_not_published(library: Library):
    """An undo in between is caught like a write in between: InputWithdrawn."""
    base = library.publish({"a": "base"})
    nightly = library.open("nightly")
    library.affirm(nightly, "a")
    library.rollback.run(library.rollback.plan(Selector(operations=(base,)), agent="x"), Attribution("x"))
    with pytest.raises(InputWithdrawn, match="no longer seen"):
        library.log.publish(nightly)


def test_a_session_sees_its_own_open_operations_on_top(library: Library):
    """Others see the published state; the session's writers build on its own open work."""
    library.publish({"a": "base"})
    first = library.open(session="s")
    library.write(first, {"a": "draft"})
    second = library.open(session="s")
    library.write(second, {"a": "second draft", "b": "new"})
    assert library.view() == {"a": "base"}
    assert library.view(session="s") == {"a": "second draft", "b": "new"}
    library.log.publish(first, second)
    assert library.view() == {"a": "second draft", "b": "new"}


def test_an_earlier_open_operation_can_not_write_under_a_later_one_of_its_session(library: Library):
    """The later one holds the record."""
    first, second = library.open(session="s"), library.open(session="s")
    library.write(second, {"a": "held"})
    with pytest.raises(WriteConflict, match="later in the same session"):
        library.write(first, {"a": "too late"})


def test_the_past_can_be_read_at_any_position(library: Library):
    """As of a position the view is what it was then, whatever was published or withdrawn since."""
    library.publish({"a": "one"})
    second = library.publish({"a": "two", "b": "b"})
    library.rollback.run(library.rollback.plan(Selector(operations=(second,)), agent="x"), Attribution("x"))
    library.publish({"c": "c"})
    assert [library.view(p) for p in range(5)] == [
        {},
        {"a": "one"},
        {"a": "two", "b": "b"},
        {"a": "one"},
        {"a": "one", "c": "c"},
    ]


def test_an_operation_whose_worker_is_gone_is_aborted_when_its_lease_runs_out(library: Library):
    """Upkeep aborts what nobody holds any more and leaves alone what is held."""
    gone = library.open(lease_seconds=-1.0)
    held = library.open()
    assert library.log.abort_expired() == [gone]
    assert library.log.get(gone).state == "aborted"
    assert "lease" in (library.log.get(gone).reason or "")
    assert library.log.get(held).state == "open"


def test_a_batch_keeps_the_lease_alive(library: Library):
    """Beginning a batch, or extending the lease, keeps upkeep away."""
    operation = library.open(lease_seconds=-1.0)
    library.log.extend_lease(operation)
    assert library.log.abort_expired() == []


def test_other_isolation_levels_are_refused(library: Library):
    """REPEATABLE READ lets two conflicting publishers pass: it is refused, and the error says what to do."""
    operation = library.open()
    with pytest.raises(UsageError, match="READ COMMITTED"), library.database.transaction() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT publish_operations(%s)", [[operation]])


@pytest.mark.parametrize("statement", [
    "UPDATE version SET tombstone = true",
    "DELETE FROM version",
    "UPDATE operation SET visible = true",
    "INSERT INTO verdict VALUES (2, 1, false)",
    "DELETE FROM operation",
    "UPDATE chunk SET text = 'x'",
    "SELECT commit_operation(1, '{}', '')",
    "TRUNCATE chunk",
])  # fmt: skip
def test_the_log_is_append_only_by_grant(library: Library, statement: str):
    """What workers run as can neither change nor delete what was written, nor give out positions."""
    library.publish({"a": "one"})
    with pytest.raises(ConfigurationError, match="permission denied"), library.database.transaction() as connection:
        connection.execute(statement)


def test_a_writer_of_another_login_is_fenced_off(library: Library, database: str):
    """An operation is its own login's to write: another one's rows are refused."""
    operation = library.open()
    target = library.begin(operation, "mine")
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("UPDATE recant.operation SET writer = 'somebody_else' WHERE id = %s", [operation])
    with pytest.raises(OperationClosed, match="belongs to the login"):
        library.append(target, {"a": "one"})


def test_the_log_finds_operations_by_every_condition(library: Library):
    """Conditions narrow, values widen; control operations are listed too."""
    one = library.publish({"a": "1"}, agent="alice", session="s", run_id="run-1")
    two = library.publish({"b": "2"}, agent="bob", run_id="run-2")

    def ids(**conditions: object) -> list[int]:
        return [o.operation_id for o in library.log.find(Selector(**conditions))]

    assert ids(agents=("alice",)) == [one]
    assert ids(agents=("alice", "bob")) == [two, one]
    assert ids(agents=("alice",), runs=("run-2",)) == []
    assert ids(sessions=("s",)) == [one]
    assert ids(runs=(library.log.get(two).lineage_run_id,)) == [two]
    assert ids(sources=("b",)) == [two]
    assert ids(kinds=("rollback",)) == []
    assert ids(collections=("library",), since=library.log.get(two).published_at) == [two]
    assert [o.operation_id for o in library.log.find(limit=1)] == [two]


def test_unknown_things_are_named(library: Library):
    """Unknown operations and collections get errors that say what there is."""
    with pytest.raises(UnknownOperation, match="999"):
        library.log.get(999)
    with pytest.raises(UnknownOperation):
        library.log.begin_batch(999, "x")
    with pytest.raises(UnknownOperation):
        library.log.publish(999)
    with pytest.raises(UnknownCollection, match="nowhere"):
        library.log.open("ingest", Attribution("a"), collection="nowhere")
    library.publish({"a": "1"})
    with pytest.raises(UnknownCollection, match="library"):
        library.corpus.collection("nowhere")
    with pytest.raises(UsageError, match="agent"):
        Attribution("")
