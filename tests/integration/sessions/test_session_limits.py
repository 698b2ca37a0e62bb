"""Limits of a session are kept by the database, whoever writes and however."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest

from recant.errors import LimitExceeded, OperationClosed, RecantError, Refused, UnknownSession, UsageError
from recant.sessions import Sessions
from recant.store import Database
from tests.integration.library import Library


def test_records_beyond_the_limit_are_refused(library: Library, sessions: Sessions):
    """The error says which limit, how much it would be, what to do; nothing of the append stays."""
    sessions.open("s", agent="ada", max_records=3)
    operation = library.open(session="s")
    library.write(operation, {"a": "one", "b": "two"})
    with pytest.raises(
        LimitExceeded, match='session "s" may write 3 record.*it would be 4.*merge or discard'
    ) as refused:
        library.write(operation, {"c": "three", "d": "four"})
    assert refused.value.details == {"session": "s", "limit": "records", "allowed": 3, "used": 4}
    assert library.view(session="s") == {"a": "one", "b": "two"}
    library.write(operation, {"c": "three"}, key="write-['c', 'd']-again")
    assert sessions.get("s").session.records == 3


def test_records_are_counted_over_all_operations_of_the_session(library: Library, sessions: Sessions):
    """Open ones and those published since; an aborted one gives its share back, and removals count."""
    sessions.open("s", agent="ada", max_records=3)
    library.publish({"a": "one"}, session="s")
    second = library.open(session="s")
    library.write(second, {"b": "two", "a": None})
    third = library.open(session="s")
    with pytest.raises(LimitExceeded, match="it would be 4"):
        library.write(third, {"c": "three"})
    library.log.abort(second, "no")
    library.write(third, {"c": "three"}, key="again")
    assert sessions.get("s").session.records == 2


def test_others_are_not_limited(library: Library, sessions: Sessions):
    """Neither another session nor a write without one, nor the same name once its session is over."""
    sessions.open("s", agent="ada", max_records=1, max_operations=1)
    for session in ("t", None):
        library.publish({f"{session}-{n}": "text" for n in range(5)}, session=session)
    sessions.discard("s")
    sessions.open("s", agent="ada")
    library.publish({f"s-{n}": "text" for n in range(5)}, session="s")
    assert len(library.view()) == 15


def test_watermarks_do_not_count(library: Library, sessions: Sessions):
    """They are bookkeeping: whoever may write one document may ingest a folder of one."""
    sessions.open("s", agent="ada", max_records=1)
    operation = library.open(session="s")
    target = library.write(operation, {"a": "one"})
    with library.database.transaction() as connection:
        marked = library.begin(operation, "retire")
        library.corpus.mark_origins(connection, marked, ["/library"])
    library.log.finish_batch(marked.batch_id, {})
    assert target.operation_id == operation
    assert sessions.get("s").session.records == 1
    with pytest.raises(LimitExceeded):
        library.write(operation, {"b": "two"})


def test_what_was_open_before_counts(library: Library, sessions: Sessions):
    """A name that was written in before it was opened as a session."""
    operation = library.open(session="s")
    library.write(operation, {"a": "one"})
    library.publish({"b": "published before"}, session="s")
    opened = sessions.open("s", agent="ada", max_records=1, max_operations=1)
    assert (opened.records, opened.operations, opened.open_operations) == (1, 1, 1)
    with pytest.raises(LimitExceeded):
        library.write(operation, {"c": "three"})
    with pytest.raises(LimitExceeded):
        library.open(session="s")


def test_operations_beyond_the_limit_are_refused(library: Library, sessions: Sessions):
    """Published ones count too; aborted ones don't."""
    sessions.open("s", agent="ada", max_operations=2)
    library.publish({"a": "one"}, session="s")
    second = library.open(session="s")
    with pytest.raises(LimitExceeded, match="may write 2 operation.*has written 2") as refused:
        library.open(session="s")
    assert refused.value.details == {"session": "s", "limit": "operations", "allowed": 2, "used": 2}
    library.log.abort(second, "no")
    assert library.open(session="s")


def test_a_retried_opening_takes_no_second_place(library: Library, sessions: Sessions):
    """The same key gives the same operation, also at the limit."""
    sessions.open("s", agent="ada", max_operations=1)
    operation = library.open(session="s", open_key="task")
    assert library.open(session="s", open_key="task") == operation


def test_after_its_time_a_session_takes_no_more_writes(library: Library, sessions: Sessions):
    """Neither a new operation nor an append to an open one; what it has can be merged or discarded."""
    sessions.open("s", agent="ada", expires_in=timedelta(seconds=0.4))
    operation = library.open(session="s")
    library.write(operation, {"a": "one"})
    time.sleep(0.5)
    assert sessions.get("s").session.state == "expired"
    with pytest.raises(LimitExceeded, match="expired at .* UTC") as refused:
        library.open(session="s")
    assert refused.value.details["limit"] == "time"
    with pytest.raises(LimitExceeded, match="expired at"):
        library.write(operation, {"b": "two"}, key="late")
    with pytest.raises(Refused, match='batch "late"'):
        sessions.merge("s")
    library.write(operation, {}, key="late")
    assert sessions.merge("s").applied
    assert library.view() == {"a": "one"}


def test_a_retried_batch_is_counted_once(library: Library, sessions: Sessions):
    """Its earlier rows are gone before the new ones are counted."""
    sessions.open("s", agent="ada", max_records=2)
    operation = library.open(session="s")
    for _ in range(3):
        library.write(operation, {"a": "one", "b": "two"}, key="batch")
    assert sessions.get("s").session.records == 2


def test_writers_at_once_never_finish_more_than_the_limit(library: Library, sessions: Sessions):
    """Appends in flight don't see each other; finishing counts them exactly, and what isn't finished can't be merged."""
    library.publish({"first": "makes the record of the origin, for which writers would wait"})
    sessions.open("s", agent="ada", max_records=5)
    operations = [library.open(session="s") for _ in range(4)]
    barrier = threading.Barrier(len(operations))
    finished: list[int] = []
    defects: list[BaseException] = []

    def work(number: int) -> None:
        operation = operations[number]
        target = library.begin(operation)
        rows = [library.row(f"{number}-{i}", f"text {number} {i}", None) for i in range(2)]
        try:
            with library.database.transaction() as connection:
                library.corpus.append(connection, target, rows)
                barrier.wait(20)
            library.log.finish_batch(target.batch_id, {"documents": 2})
            finished.append(operation)
        except LimitExceeded:
            library.log.abort(operation, "too many")
        except BaseException as error:
            defects.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(operations))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert defects == []
    assert len(finished) <= 2
    assert sessions.get("s").session.records == 2 * len(finished) <= 5


def test_openings_at_once_never_pass_the_limit(library: Library, sessions: Sessions):
    """The session's row is locked while one is let in."""
    sessions.open("s", agent="ada", max_operations=3)
    assert library.collection
    outcomes: list[bool] = []

    def work() -> None:
        try:
            library.open(session="s")
            outcomes.append(True)
        except RecantError:
            outcomes.append(False)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == [False] * 5 + [True] * 3


def test_no_role_that_logs_in_can_lift_a_limit(library: Library, sessions: Sessions, database: str):
    """The table is changed by the coordinator's functions only."""
    sessions.open("s", agent="ada", max_records=1)
    with Database(database) as db:
        for statement in (
            "UPDATE session SET max_records = NULL",
            "DELETE FROM session",
            "UPDATE lease SET held = true",
        ):
            with pytest.raises(RecantError), db.transaction() as connection:
                connection.execute(statement)


def test_limits_of_an_open_session_can_be_changed(library: Library, sessions: Sessions):
    """From its next write on; those that aren't named stay; who did it, when and why stays with the session."""
    sessions.open("s", agent="ada", max_records=1, max_operations=5)
    operation = library.open(session="s")
    library.write(operation, {"a": "one"})
    with pytest.raises(LimitExceeded, match="recant session limit"):
        library.write(operation, {"b": "two"})
    changed = sessions.limit("s", agent="nora", message="the export is larger", max_records=2)
    assert (changed.max_records, changed.max_operations) == (2, 5)
    library.write(operation, {"b": "two"}, key="again")
    sessions.limit("s", agent="nora", max_records=None, expires_in=timedelta(hours=1))
    library.write(operation, {name: name for name in "cdef"})
    first, second = sessions.get("s").changes
    assert (first["agent"], first["message"]) == ("nora", "the export is larger")
    assert (first["before"]["max_records"], first["after"]["max_records"]) == (1, 2)
    assert second["before"]["expires_at"] is None
    assert second["after"]["expires_at"] is not None
    sessions.limit("s", agent="nora", max_operations=5)
    assert len(sessions.get("s").changes) == 2, "nothing changed: nothing is noted"


def test_a_limit_below_what_is_written_stops_the_next_write(library: Library, sessions: Sessions):
    """What is there stays."""
    sessions.open("s", agent="ada")
    operation = library.open(session="s")
    library.write(operation, {"a": "one", "b": "two"})
    sessions.limit("s", agent="nora", max_records=1)
    with pytest.raises(LimitExceeded, match="it would be 3"):
        library.write(operation, {"c": "three"})
    assert library.view(session="s") == {"a": "one", "b": "two"}


def test_limits_that_cannot_be_changed_are_refused(library: Library, sessions: Sessions):
    """Of nobody's session, of one that was only written in, of one that is over; and no such limit."""
    with pytest.raises(UnknownSession):
        sessions.limit("nobody's", agent="nora", max_records=1)
    library.open(session="written")
    with pytest.raises(Refused, match="never opened"):
        sessions.limit("written", agent="nora", max_records=1)
    sessions.open("over", agent="ada")
    sessions.discard("over")
    with pytest.raises(OperationClosed, match="discarded"):
        sessions.limit("over", agent="nora", max_records=1)
    sessions.open("s", agent="ada")
    wrong: list[dict] = [{}, {"max_words": 1}, {"max_records": 0}, {"max_records": True}, {"expires_in": 5}]
    for limits in [*wrong, {"expires_in": timedelta(0)}]:
        with pytest.raises(UsageError):
            sessions.limit("s", agent="nora", **limits)
    assert sessions.get("s").changes == ()
