"""Positions as people name them: a number, a tag, or a time. And whether a position can still be answered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from recant.errors import UsageError
from recant.store import Connection, load
from recant.times import HELP, parse_time

Moment: TypeAlias = int | str | datetime
"""A position; or a tag's name, or a time, which mean the position there or then."""
_SQL = load(__package__, "positions.sql")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


def position_of(connection: Connection, moment: Moment) -> int:
    """The position that a number, a tag's name or a time means: of a time, the last one given out by then.

    A text of digits is a position, whatever else it could mean. Whether there is such a position is asked where it is
    used. Raises UsageError for what is none of these.
    """
    if isinstance(moment, bool) or not isinstance(moment, int | str | datetime):
        raise UsageError(f"{moment!r} is neither a position, a tag nor a time.")
    if isinstance(moment, int):
        return moment
    if isinstance(moment, datetime):
        return position_at(connection, moment)
    return _named(connection, moment.strip())


def position_at(connection: Connection, time: datetime) -> int:
    """The last position given out by then; 0 when there was none yet. A time without a zone is UTC."""
    given = {"time": time if time.tzinfo else time.replace(tzinfo=UTC)}
    return _position(connection, "position_at", given)


def require_answerable(connection: Connection, position: int, collection: str | None = None) -> None:
    """Raises PastHorizon for a position at which a collection's state (None: any one's) was reclaimed.

    Ask it in the snapshot that answers.
    """
    connection.execute(_SQL["require_answerable"], {"position": position, "collection": collection})


def horizon(connection: Connection) -> int:
    """The first position from which on every position can be answered; 0 as long as nothing was reclaimed."""
    return _position(connection, "horizon_position", {})


def undo_limits(
    connection: Connection, operations: Sequence[int], retention_days: int | None
) -> dict[int, datetime | None]:
    """Until when each operation was promised to be undoable; None, or no entry: there is no limit, or nothing to undo."""
    given = {"operations": list(operations), "retention_days": retention_days}
    return {row["id"]: row["undoable_until"] for row in connection.execute(_SQL["undo_limits"], given)}


def _named(connection: Connection, name: str) -> int:
    if _NUMBER.fullmatch(name):
        return int(name)
    row = connection.execute(_SQL["find_tag"], {"name": name}).fetchone() if "\0" not in name else None
    if row is not None:
        return int(row["position"])
    try:
        return position_at(connection, parse_time(name))
    except ValueError as error:
        raise UsageError(
            f"{name!r} is neither a position, nor a tag (`recant tag list` shows them), nor a time: {HELP}"
        ) from error


def _position(connection: Connection, query: str, given: Mapping[str, object]) -> int:
    row = connection.execute(_SQL[query], given).fetchone()
    return int(row["position"]) if row else 0
