"""What happens to a session at the same moment: each ends wholly one way."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from recant.errors import OperationClosed, RecantError, Refused, WriteConflict
from recant.rollback import verify_log
from recant.sessions import Sessions
from tests.integration.library import Library
from tests.integration.sessions.test_sessions import hold

ROUNDS = 6


def at_once(*calls: Callable[[], object]) -> list[object]:
    """What each gave or raised, begun together."""
    barrier = threading.Barrier(len(calls))
    outcomes: list[object] = [None] * len(calls)

    def run(number: int) -> None:
        barrier.wait(10)
        try:
            outcomes[number] = calls[number]()
        except RecantError as refused:
            outcomes[number] = refused

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


@pytest.mark.parametrize("registered", [True, False])
def test_of_merges_at_once_one_publishes(library: Library, sessions: Sessions, registered: bool):
    """The others find nothing open; no operation is published twice, none is refused."""
    for turn in range(ROUNDS):
        name = f"s{turn}"
        if registered:
            sessions.open(name, agent="ada")
        held = [hold(library, {f"{turn}-{n}": "text"}, session=name) for n in range(3)]
        reports = at_once(*[lambda name=name: sessions.merge(name) for _ in range(3)])
        published = [r.published for r in reports if r.applied]
        assert [[operation for operation, _ in p] for p in published] == [held]
    assert library.log.position() == 3 * ROUNDS
    assert verify_log(library.database).ok


def test_a_merge_against_an_abort(library: Library, sessions: Sessions):
    """Either the abort comes too late, or the merge goes without it; what was written over it is a conflict then."""
    for turn in range(2 * ROUNDS):
        name, over = f"s{turn}", turn % 2 == 1
        first = hold(library, {f"{turn}-a": "one"}, session=name)
        second = hold(library, {f"{turn}-a" if over else f"{turn}-b": "two"}, session=name)
        merged, aborted = at_once(
            lambda name=name: sessions.merge(name), lambda first=first: library.log.abort(first, "no")
        )
        if isinstance(aborted, OperationClosed):
            assert [operation for operation, _ in merged.published] == [first, second]
        elif over:
            assert isinstance(merged, WriteConflict)
            assert library.log.get(second).state == "open"
        else:
            assert [operation for operation, _ in merged.published] == [second]


def test_a_merge_against_a_discard(library: Library, sessions: Sessions):
    """All are published or all are aborted, never some of each."""
    for turn in range(ROUNDS):
        name = f"s{turn}"
        held = [hold(library, {f"{turn}-{n}": "text"}, session=name) for n in range(4)]
        at_once(lambda name=name: sessions.merge(name), lambda name=name: sessions.discard(name))
        assert {library.log.get(o).state for o in held} in ({"published"}, {"aborted"})


def test_a_merge_against_an_opening(library: Library, sessions: Sessions):
    """An operation is opened before the merge and published with it, or it is refused; none is left behind in a closed session."""
    for turn in range(ROUNDS):
        name = f"s{turn}"
        sessions.open(name, agent="ada")
        hold(library, {f"{turn}-a": "text"}, session=name)
        merged, opened = at_once(lambda name=name: sessions.merge(name), lambda name=name: library.open(session=name))
        if isinstance(opened, OperationClosed):
            assert len(merged.published) == 1
        else:
            assert (opened in [operation for operation, _ in merged.published]) is True
        assert sessions.get(name).would_publish == ()


def test_a_merge_waits_for_an_append_in_flight(library: Library, sessions: Sessions):
    """And finds its batch unfinished, or publishes it whole; with limits to be counted nobody waits in a circle."""
    for turn in range(ROUNDS):
        name = f"s{turn}"
        sessions.open(name, agent="ada", max_records=10)
        operation = library.open(session=name)

        def write(turn: int = turn, operation: int = operation) -> None:
            library.write(operation, {f"{turn}-{n}": "text" for n in range(5)})

        merged, wrote = at_once(lambda name=name: sessions.merge(name), write)
        seen = {key for key in library.view() if key.startswith(f"{turn}-")}
        assert len(seen) in (0, 5)
        if isinstance(wrote, OperationClosed):
            assert merged.applied
        elif isinstance(merged, Refused):
            assert not seen
            sessions.discard(name)


def test_of_openings_of_a_session_at_once_one_counts(library: Library, sessions: Sessions):
    """The others are told that it is open already."""
    outcomes = at_once(*[lambda n=n: sessions.open("s", agent=f"a{n}", max_records=n + 1) for n in range(4)])
    (winner,) = [o for o in outcomes if not isinstance(o, Refused)]
    assert sessions.get("s").session == winner
