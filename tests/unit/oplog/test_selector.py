"""What a selector means, before any database is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recant.errors import EmptySelector, UsageError
from recant.oplog import Selector

names = st.lists(st.text(min_size=1, max_size=20), max_size=3).map(tuple)
times = st.one_of(st.none(), st.datetimes(timezones=st.just(UTC)))


@given(
    operations=st.lists(st.integers(1, 2**60), max_size=3).map(tuple),
    agents=names,
    runs=names,
    sessions=names,
    since=times,
)
def test_a_selector_survives_the_way_through_json(operations, agents, runs, sessions, since):
    """to_dict and from_dict are inverse."""
    selector = Selector(operations=operations, agents=agents, runs=runs, sessions=sessions, since=since)
    assert Selector.from_dict(selector.to_dict()) == selector
    assert selector.is_empty == (selector.to_dict() == {})


def test_times_without_a_zone_are_utc():
    """And those with one keep it."""
    assert Selector(since=datetime(2026, 11, 20, 3)).since == datetime(2026, 11, 20, 3, tzinfo=UTC)
    cet = timezone(timedelta(hours=1))
    assert Selector(since=datetime(2026, 11, 20, 3, tzinfo=cet)).since == datetime(2026, 11, 20, 2, tzinfo=UTC)
    assert Selector.from_dict({"until": "2026-11-20T03:00"}).until == datetime(2026, 11, 20, 3, tzinfo=UTC)


def test_a_window_that_ends_before_it_begins_is_refused():
    """The error shows both."""
    with pytest.raises(UsageError, match="before until"):
        Selector(since=datetime(2026, 2, 1), until=datetime(2026, 1, 1))


def test_none_and_empty_values_are_no_conditions():
    """As a trigger form sends them."""
    assert Selector.from_dict({"agents": None, "runs": [], "since": ""}).is_empty
    assert Selector.from_dict({"agents": "rogue", "operations": 7}) == Selector(operations=(7,), agents=("rogue",))


@pytest.mark.parametrize(
    "given", [{"colour": ["red"]}, {"operations": ["seven"]}, {"since": "yesterday"}, {"operations": [None]}]
)
def test_what_can_not_be_understood_is_named(given: dict):
    """A mistyped condition never silently selects something else."""
    with pytest.raises(UsageError, match=next(iter(given))):
        Selector.from_dict(given)


def test_an_empty_selector_is_asked_back():
    """It never means everything."""
    with pytest.raises(EmptySelector, match="Nothing was changed"):
        Selector().require_condition()
