"""Times as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recant.cli.times import Zoneless, parse_duration, parse_time

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("45s", timedelta(seconds=45)),
        ("1d12h", timedelta(days=1, hours=12)),
        (" 2h ", timedelta(hours=2)),
    ],
)
def test_how_long_ago(text: str, ago: timedelta) -> None:
    """A number with a unit, or several, is that long before now."""
    assert parse_time(text, NOW) == NOW - ago


def test_with_a_zone_it_is_taken_as_given() -> None:
    """A zone is kept, and nothing is worth a remark."""
    found = parse_time("2026-11-20T14:30+01:00")
    assert found == datetime(2026, 11, 20, 13, 30, tzinfo=UTC)
    assert not isinstance(found, Zoneless)
    assert not isinstance(parse_time("2026-11-20T14:30Z"), Zoneless)


@pytest.mark.parametrize("text", ["2026-11-20", "2026-11-20 00:00", "20261120", "2026-11-20T00:00:00.000000"])
def test_without_a_zone_it_is_utc_and_says_so(text: str) -> None:
    """A date or time without a zone is UTC, and marked as such for the remark."""
    found = parse_time(text)
    assert found == datetime(2026, 11, 20, tzinfo=UTC)
    assert isinstance(found, Zoneless)


@pytest.mark.parametrize("text", ["", "soon", "2h ago", "-2h", "2", "2026-13-01", "999999999999w", "h", "12:30"])
def test_what_is_no_time_is_refused_with_what_would_be(text: str) -> None:
    """The error names what was given and what is understood."""
    with pytest.raises(ValueError, match="Understood: ISO 8601"):
        parse_time(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_any_time_in_iso_8601_is_itself(moment: datetime) -> None:
    """What `isoformat` writes is read back unchanged."""
    assert parse_time(moment.isoformat()) == moment


@pytest.mark.parametrize(
    ("text", "length"), [("90s", timedelta(seconds=90)), (" 1d12h ", timedelta(hours=36)), ("0m", timedelta(0))]
)
def test_how_long(text: str, length: timedelta) -> None:
    """The same numbers with units, as a length."""
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2026-11-20", "9" * 20 + "w"])
def test_what_is_no_length_of_time(text: str) -> None:
    """What is understood is said."""
    with pytest.raises(ValueError, match="no length of time|too long"):
        parse_duration(text)
