"""Read in order, this is what a session promises."""

from __future__ import annotations

from datetime import timedelta

import pytest

from recant.errors import InputWithdrawn, OperationClosed, Refused, UnknownSession, UsageError, WriteConflict
from recant.oplog import Attribution, Selector
from recant.rollback import verify_log
from recant.sessions import Sessions
from tests.integration.library import Library


def hold(library: Library, documents: dict[str, str | None], session: str = "s", **options: object) -> int:
    """An operation of the session whose writing is over."""
    operation = library.open(session=session, **options)
    library.write(operation, documents)
    library.log.hold(operation)
    return operation


def test_any_name_is_a_session_without_being_opened(library: Library, sessions: Sessions):
    """A write under it makes it known; it has no opener and no limits."""
    hold(library, {"a": "one"})
    (found,) = sessions.list()
    assert (found.name, found.registered, found.state, found.mode) == ("s", False, "open", "normal")
    assert (found.agent, found.agents, found.open_operations, found.records) == (None, ("alice",), 1, 1)
    assert found.opened_at is not None


def test_what_is_held_is_seen_by_its_session_only(library: Library, sessions: Sessions):
    """On top of what everybody sees; another session sees nothing of it."""
    library.publish({"a": "base"})
    hold(library, {"a": "tried", "b": "new"})
    assert library.view() == library.view(session="t") == {"a": "base"}
    assert library.view(session="s") == {"a": "tried", "b": "new"}


def test_a_held_operation_says_so_and_how_long(library: Library):
    """Its lease is seven days by default; a published one has none."""
    operation = library.log.get(hold(library, {"a": "one"}))
    assert (operation.state, operation.held, operation.lease_expired, operation.counts) == (
        "open",
        True,
        False,
        {"documents": 1},
    )
    assert operation.lease_until is not None
    left = operation.lease_until - operation.opened_at
    assert timedelta(days=7) <= left < timedelta(days=7, minutes=1)
    published = library.log.get(library.publish({"b": "two"}))
    assert (published.held, published.lease_until) == (False, None)


def test_a_held_operation_is_aborted_when_its_lease_runs_out(library: Library):
    """As any other: nobody came to merge it."""
    operation = library.open(session="s", lease_seconds=-2)
    library.log.hold(operation, lease_seconds=-1)
    assert library.log.get(operation).lease_expired
    assert library.log.abort_expired() == [operation]
    assert library.log.get(operation).lease_expired is False


def test_only_finished_work_of_a_session_can_be_held(library: Library):
    """Without a session nobody could see it; with an unfinished batch somebody still writes."""
    with pytest.raises(Refused, match="belongs to no session"):
        library.log.hold(library.open())
    operation = library.open(session="s")
    library.begin(operation, "slow")
    with pytest.raises(Refused, match='batch "slow"'):
        library.log.hold(operation)
    library.log.abort(operation, "no")
    with pytest.raises(OperationClosed):
        library.log.hold(operation)


def test_a_merge_publishes_everything_in_the_order_opened(library: Library, sessions: Sessions):
    """Each at a position of its own, at one moment, whoever opened and wrote them."""
    first = hold(library, {"a": "one"})
    second = hold(library, {"a": "two", "b": "new"}, agent="bob")
    other = hold(library, {"c": "other"}, session="t")
    report = sessions.merge("s")
    assert (report.applied, report.published) == (True, ((first, 1), (second, 2)))
    assert "2 operations are published" in report.message
    assert library.view() == {"a": "two", "b": "new"}
    assert library.log.get(other).state == "open"
    assert verify_log(library.database).ok


def test_a_merge_again_says_that_nothing_is_open(library: Library, sessions: Sessions):
    """It is no error, and changes nothing."""
    hold(library, {"a": "one"})
    sessions.merge("s")
    again = sessions.merge("s")
    assert (again.applied, again.published, again.message) == (False, (), 'Nothing is open in session "s".')
    assert library.log.position() == 1


def test_a_discard_leaves_nothing_to_see(library: Library, sessions: Sessions):
    """Of what is open; what the session has published stays. Again is no error."""
    library.publish({"a": "kept"}, session="s")
    first, second = hold(library, {"a": "tried"}), hold(library, {"b": "tried"})
    report = sessions.discard("s", reason="it was nonsense")
    assert (report.applied, report.aborted) == (True, (first, second))
    assert library.view(session="s") == library.view() == {"a": "kept"}
    assert library.log.get(first).reason == "it was nonsense"
    again = sessions.discard("s")
    assert (again.applied, again.aborted) == (False, ())


def test_a_conflict_stops_the_whole_merge(library: Library, sessions: Sessions):
    """The record and both operations are named; nothing is published, and all of it can be tried again or discarded."""
    library.publish({"a": "base"})
    fine, stale = hold(library, {"b": "fine"}), hold(library, {"a": "tried"})
    winner = library.publish({"a": "since"})
    with pytest.raises(WriteConflict, match='was not merged.*wrote document "a" over.*session show') as refused:
        sessions.merge("s")
    assert (refused.value.details["operation_id"], refused.value.details["actual"]) == (stale, winner)
    assert {library.log.get(o).state for o in (fine, stale)} == {"open"}
    assert library.view() == {"a": "since"}
    library.log.abort(stale, "not needed")
    assert sessions.merge("s").published == ((fine, 3),)


def test_a_withdrawn_input_stops_the_whole_merge(library: Library, sessions: Sessions):
    """An undo in between is caught like a write in between."""
    base = library.publish({"a": "base"})
    operation = library.open(session="s")
    library.affirm(operation, "a")
    library.log.hold(operation)
    library.rollback.run(library.rollback.plan(Selector(operations=(base,)), agent="x"), Attribution("x"))
    (obstacle,) = sessions.get("s").obstacles
    assert (obstacle.obstacle, obstacle.operation_id, obstacle.expected) == ("input_withdrawn", operation, base)
    with pytest.raises(InputWithdrawn, match="no longer seen"):
        sessions.merge("s")


def test_an_unfinished_batch_stops_the_whole_merge(library: Library, sessions: Sessions):
    """Somebody is still writing; it is named."""
    hold(library, {"a": "one"})
    operation = library.open(session="s")
    library.begin(operation, "slow")
    with pytest.raises(Refused, match='batch "slow" of operation'):
        sessions.merge("s")
    assert library.view() == {}
    (obstacle,) = sessions.get("s").obstacles
    assert (obstacle.obstacle, obstacle.operation_id, obstacle.key) == ("unfinished_batch", operation, "slow")
    assert sessions.discard("s").applied


def test_showing_a_session_says_what_a_merge_would_do(library: Library, sessions: Sessions):
    """All conflicts, not only the first, without changing or locking anything; last_wins has none."""
    library.publish({"a": "base", "b": "base", "c": "base"})
    stale, loose = hold(library, {"a": "tried", "b": "tried"}), library.open(session="s", last_wins=True)
    library.write(loose, {"c": "tried"})
    assert sessions.get("s").obstacles == ()
    winner = library.publish({"a": "since", "b": "since", "c": "since"})
    found = sessions.get("s")
    assert found.would_publish == (stale, loose)
    assert [(o.obstacle, o.operation_id, o.kind, o.key, o.actual) for o in found.obstacles] == [
        ("write_conflict", stale, "document", key, winner) for key in ("a", "b")
    ]
    assert [o.operation_id for o in found.history] == [loose, stale]
    assert found.to_dict()["obstacles"][0]["message"].startswith(f"operation {stale} wrote document")
    assert library.log.position() == 2


def test_an_earlier_operation_can_not_overwrite_a_later_one_of_its_session(library: Library):
    """The later one holds the record until it is published or aborted."""
    earlier, later = library.open(session="s"), library.open(session="s")
    library.write(later, {"a": "later"})
    with pytest.raises(WriteConflict, match="opened later in the same session"):
        library.write(earlier, {"a": "earlier"})


def test_an_opened_session_is_closed_by_its_merge_or_discard(library: Library, sessions: Sessions):
    """It takes no more writes then, until it is opened again; even where nothing was open in it."""
    for close in (sessions.merge, sessions.discard):
        sessions.open("s", agent="ada", message="an idea")
        assert close("s").applied is False
        with pytest.raises(OperationClosed, match='session "s" was (merged|discarded) at'):
            library.open(session="s")
        assert "before" in close("s").message
    assert [s.name for s in sessions.list()] == []
    assert [(s.name, s.state) for s in sessions.list(closed=True)] == [("s", "discarded")]
    again = sessions.open("s", agent="bob")
    assert (again.state, again.agent, again.message, again.closed_at) == ("open", "bob", "", None)
    assert library.open(session="s")


def test_a_name_that_was_never_opened_stays_free(library: Library, sessions: Sessions):
    """Merging what is open in it closes nothing: agents write on under their names."""
    hold(library, {"a": "one"})
    sessions.merge("s")
    assert library.publish({"b": "two"}, session="s")
    assert sessions.get("s").session.state == "open"


def test_what_happened_to_the_first_opening_stays(library: Library, sessions: Sessions):
    """A closed session that is opened again keeps its operations in its history."""
    sessions.open("s", agent="ada")
    first = library.publish({"a": "one"}, session="s")
    sessions.merge("s")
    sessions.open("s", agent="ada", max_operations=1)
    found = sessions.get("s")
    assert [o.operation_id for o in found.history] == [first]
    assert found.session.operations == 0


def test_an_open_session_is_not_opened_twice(sessions: Sessions):
    """Its limits would change under its feet."""
    sessions.open("s", agent="ada", max_records=5)
    with pytest.raises(Refused, match="open already"):
        sessions.open("s", agent="ada")
    assert sessions.get("s").session.max_records == 5


def test_a_session_that_nobody_knows_is_a_usage_error(sessions: Sessions):
    """And said how to list those there are."""
    for call in (sessions.get, sessions.merge, sessions.discard):
        with pytest.raises(UnknownSession, match="session list --all"):
            call("nobody")


@pytest.mark.parametrize("name", ["", "x" * 201, " s", "s ", "a\nb", "a\x00b", "\x1b[31m"])
def test_bad_names_are_usage_errors(sessions: Sessions, name: str):
    """Too long, empty, or not printable."""
    with pytest.raises(UsageError):
        sessions.open(name, agent="ada")
    with pytest.raises(UsageError):
        sessions.merge(name)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_records": 0},
        {"max_records": -1},
        {"max_operations": 0},
        {"max_operations": 10**15},
        {"expires_in": timedelta(0)},
        {"expires_in": timedelta(hours=-1)},
        {"expires_in": timedelta(days=10**6)},
    ],
)
def test_limits_that_allow_nothing_are_usage_errors(sessions: Sessions, limits: dict[str, object]):
    """Nothing is opened."""
    with pytest.raises(UsageError):
        sessions.open("s", agent="ada", **limits)
    assert sessions.list(closed=True) == []


def test_the_list_is_the_latest_first(library: Library, sessions: Sessions):
    """Open ones, and with all of them those that are over; at most so many."""
    for name in ("one", "two", "three"):
        sessions.open(name, agent="ada")
    library.publish({"a": "over"}, session="past")
    sessions.discard("one")
    assert [s.name for s in sessions.list()] == ["three", "two"]
    assert [s.name for s in sessions.list(closed=True)] == ["past", "three", "two", "one"]
    assert [s.name for s in sessions.list(closed=True, limit=1)] == ["past"]


def test_a_rollback_in_a_session_is_no_work_of_it(library: Library, sessions: Sessions):
    """Control operations are published at once, and count towards no limit."""
    base = library.publish({"a": "base"})
    sessions.open("s", agent="ada", max_operations=1)
    library.rollback.run(library.rollback.plan(Selector(operations=(base,)), agent="x"), Attribution("x", "s"))
    assert sessions.get("s").session.operations == 0
    assert library.open(session="s")


def test_a_merged_operation_can_be_taken_back_on_its_own(library: Library, sessions: Sessions):
    """Merging makes them one publish, not one operation."""
    first, second = hold(library, {"a": "one"}), hold(library, {"b": "two"})
    sessions.merge("s")
    library.rollback.run(library.rollback.plan(Selector(operations=(first,)), agent="x"), Attribution("x"))
    assert library.view() == {"b": "two"}
    library.rollback.run(library.rollback.plan(Selector(sessions=("s",)), agent="x"), Attribution("x"))
    assert library.view() == {}
    assert library.log.get(second).state == "reverted"


def test_a_merge_tells_lineage_of_each_operation(library: Library, sessions: Sessions):
    """COMPLETE of what is published, ABORT of what is discarded, in the same transaction."""
    merged, discarded = hold(library, {"a": "one"}, session="m"), hold(library, {"b": "two"}, session="d")
    sessions.merge("m")
    sessions.discard("d")
    with library.database.transaction() as connection:
        rows = connection.execute("SELECT operation_id, event_type FROM lineage_event ORDER BY id").fetchall()
    assert [(r["operation_id"], r["event_type"]) for r in rows] == [
        (merged, "START"),
        (discarded, "START"),
        (merged, "COMPLETE"),
        (discarded, "ABORT"),
    ]


def test_a_merge_tends_the_vector_index(library: Library, sessions: Sessions, monkeypatch: pytest.MonkeyPatch):
    """As an ingest does: where there are enough vectors for one, it is built."""
    monkeypatch.setattr("recant.corpus.embeddings.INDEX_FROM", 2)
    hold(library, {"a": "one", "b": "two", "c": "three"})

    def indexed() -> bool:
        with library.database.transaction() as connection:
            name = f"recant.embedding_vector_{library.collection.space_id}"
            row = connection.execute("SELECT to_regclass(%s) IS NOT NULL AS there", [name]).fetchone()
        return bool(row and row["there"])

    assert not indexed()
    sessions.merge("s")
    assert indexed()
