"""Points in time as people type them: ISO 8601, a date, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"(?:\d+[wdhms])+")
_PART = re.compile(r"(\d+)([wdhms])")
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
DURATION_HELP = "30m, 2h, 7d, 1d12h"
HELP = "ISO 8601 (2026-11-20T14:30+01:00), a date, or how long ago (30m, 2h, 7d, 1d12h). Without a zone: UTC."


class Zoneless(datetime):
    """A time that was given without a zone and taken as UTC. Worth a word to whoever gave it."""


def parse_time(text: str, now: datetime | None = None) -> datetime:
    """The time that a text means, with a zone. Raises ValueError saying what is understood."""
    wanted = text.strip()
    try:
        if _AGO.fullmatch(wanted):
            return (now or datetime.now(UTC)) - _duration(wanted)
        given = datetime.fromisoformat(wanted)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time. Understood: {HELP}") from error
    return given if given.tzinfo else _as_utc(given)


def parse_duration(text: str) -> timedelta:
    """How long a text means: a number with a unit (w, d, h, m, s), or several. Raises ValueError saying what is understood."""
    wanted = text.strip()
    try:
        if _AGO.fullmatch(wanted):
            return _duration(wanted)
    except OverflowError as error:
        raise ValueError(f"{text!r} is too long") from error
    raise ValueError(f"{text!r} is no length of time. Understood: {DURATION_HELP}")


def _duration(text: str) -> timedelta:
    parts = {_UNITS[unit]: int(number) for number, unit in _PART.findall(text)}
    return timedelta(**parts)


def _as_utc(given: datetime) -> Zoneless:
    return Zoneless(*given.timetuple()[:6], given.microsecond, tzinfo=UTC)
