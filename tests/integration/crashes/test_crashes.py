"""kill -9 of the client, of its backend, of the whole server, at every step: an operation is wholly there or wholly not."""

from __future__ import annotations

import random

import pytest

from tests.integration.crashes.arena import VICTIMS, Arena, Point
from tests.integration.crashes.scenarios import SCENARIOS


def chosen(points: list[Point], nightly: bool) -> list[Point]:
    """All of them (`make test-nightly`), or one for each victim, always the same."""
    if nightly:
        return points
    rng = random.Random(len(points))
    return [rng.choice([p for p in points if p.victim == victim]) for victim in VICTIMS]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_crash_leaves_an_operation_whole_or_not_at_all(arena: Arena, name: str, nightly: bool):
    """The state is that of the last commit, verify finds nothing wrong, and the work can be taken up again."""
    for point in chosen(arena.reference(name).points, nightly):
        arena.check(name, point)


def test_there_are_more_than_two_hundred_points(arena: Arena):
    """Every exchange with the server, before it and in flight, and every change inside it."""
    assert sum(len(arena.reference(name).points) for name in SCENARIOS) > 200


def test_a_torn_rollback_is_found_out(arena: Arena):
    """One that commits in two steps is caught between them."""
    between = arena.reference("torn rollback").exchanges[1]["number"]
    with pytest.raises(AssertionError, match="neither wholly there nor wholly not"):
        arena.check("torn rollback", Point("client", "before", between))


def test_a_publish_that_is_forgotten_is_found_out(arena: Arena):
    """One that was answered before it was written to the disk is gone with the server. (The disk may be quicker, now and then.)"""
    last = arena.reference("hasty publish").exchanges[-1]["number"]
    with pytest.raises(AssertionError, match="operation lacks"):
        for _ in range(12):
            arena.check("hasty publish", Point("server", "before", last))
