"""Sending over several connections: what may go side by side, and what must not."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recant.lineage.crew import Crew, Place
from recant.lineage.destinations import NeverDeliverable, NotDelivered

Letter = tuple[int, str]
"""A run, and the part of it."""

histories = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=12, unique_by=lambda run: run[0])
"""Runs, and the job of each."""


def letters(history: list[tuple[int, int]]) -> list[tuple[Letter, Place]]:
    """Every run's START, then every run's end: as early as any end could overtake."""
    starts = [((run, "START"), Place(run)) for run, _ in history]
    return starts + [((run, "END"), Place(run, f"job-{job}")) for run, job in history]


def deliver(
    items: list[tuple[Letter, Place]], answers: dict[Letter, Exception] | None = None, threads: int = 4
) -> tuple[list[Letter], dict[Letter, Exception | None]]:
    """In which order letters were sent, and what came of them."""
    sent, lock = [], threading.Lock()

    def send(letter: Letter) -> None:
        with lock:
            sent.append(letter)
        if answers and letter in answers:
            raise answers[letter]

    with Crew(send, threads) as crew:
        outcomes = [outcome for some in crew.deliver(items, lambda: True) for outcome in some]
    return sent, dict(outcomes)


@settings(max_examples=60, deadline=None)
@given(histories)
def test_everything_is_sent_once_and_in_order(history: list[tuple[int, int]]) -> None:
    """Each letter once; a run's end after its start; the ends of one job as they stand in the history."""
    sent, outcomes = deliver(letters(history))
    assert sorted(sent) == sorted(letter for letter, _ in letters(history))
    assert set(outcomes.values()) <= {None}
    for job in {job for _, job in history}:
        assert [run for run, part in sent if part == "END" and (run, job) in history] == [
            run for run, of in history if of == job
        ]
    assert all(sent.index((run, "START")) < sent.index((run, "END")) for run, _ in history)


@settings(max_examples=60, deadline=None)
@given(histories, st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)))
def test_a_failure_holds_up_its_own_run_only(history: list[tuple[int, int]], away: set[int], refused: set[int]) -> None:
    """After a start that has to wait the run's end isn't sent; after one that is refused it is; all others are."""
    answers: dict[Letter, Exception] = {(run, "START"): NeverDeliverable("422") for run in refused}
    answers |= {(run, "START"): NotDelivered("500", whole_destination=False) for run in away}
    sent, _ = deliver(letters(history), answers)
    runs = {run for run, _ in history}
    assert {run for run, part in sent if part == "START"} == runs
    assert {run for run, part in sent if part == "END"} == runs - away


def test_nothing_goes_side_by_side_before_the_first_answer() -> None:
    """A server that is down is asked by one connection, not by four."""
    going, most = [0], [0]
    lock = threading.Lock()

    def send(letter: Letter) -> None:
        with lock:
            going[0] += 1
            most[0] = max(most[0], going[0])
        with lock:
            going[0] -= 1
        raise NotDelivered("refused", whole_destination=True)

    items = letters([(run, 0) for run in range(6)])
    with Crew(send, 4) as crew:
        for _ in crew.deliver(items, lambda: True):
            pass
    assert most == [1]


def test_it_stops_where_it_is_told_to() -> None:
    """No letter is begun after `goes_on` says no; those on their way are waited for."""
    sent: list[Letter] = []
    with Crew(sent.append, 4) as crew:
        outcomes = [*crew.deliver(letters([(1, 0), (2, 0)]), lambda: len(sent) < 1)]
    assert sent == [(1, "START")]
    assert outcomes == [[((1, "START"), None)]]


@pytest.mark.parametrize("threads", [1, 4])
def test_a_defect_is_an_outcome_too(threads: int) -> None:
    """Whatever the sending raises comes to whoever reads the outcomes; no thread is lost by it."""
    items = letters([(1, 0), (2, 1)])
    sent, outcomes = deliver(items, {(1, "START"): ZeroDivisionError()}, threads)
    assert isinstance(outcomes[1, "START"], ZeroDivisionError)
    assert (2, "END") in sent
