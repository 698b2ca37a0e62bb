"""A moment as people type it: a position, a tag or a time. What it means is the library's to say."""

from __future__ import annotations

from recant.cli.output import Output
from recant.times import HELP as TIME_HELP
from recant.times import Zoneless, parse_time

METAVAR = "POSITION|TAG|TIME"
HELP = f"A position, a tag, or a time: {TIME_HELP}"


def note_zone(output: Output, flag: str, text: str | None) -> None:
    """Says so where a time without a zone is taken as UTC."""
    if text is None or text.strip().lstrip("+-").isdecimal():
        return
    try:
        given = parse_time(text)
    except ValueError:
        return
    if isinstance(given, Zoneless):
        output.note(f"{flag}: taken as {given.isoformat()} (UTC)")
