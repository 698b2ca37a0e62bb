"""A tag: a named position of the whole log, whose state is never reclaimed while the tag stands."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from recant.errors import Refused, UsageError
from recant.oplog.positions import Moment, position_of
from recant.store import Connection, load

_SQL = load(__package__, "storage.sql")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,99}")


@dataclass(frozen=True, slots=True)
class Tag:
    """A name for what was seen at a position."""

    name: str
    """Begins with a letter, so that it is never taken for a position or a time; up to 100 of A-Z a-z 0-9 _ . / -."""
    position: int
    created_by: str
    created_at: datetime
    message: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"created_at": self.created_at.isoformat()}


def find_tags(connection: Connection, name: str | None = None) -> list[Tag]:
    """All tags, or the one of that name, by position."""
    return [Tag(**row) for row in connection.execute(_SQL["find_tags"], {"name": name})]


def add_tag(connection: Connection, name: str, at: Moment | None, by: str, message: str) -> Tag:
    """Names a position: the last one, or `at`. The same name at the same position again changes nothing.

    Raises UsageError for a bad name or a position that isn't in the log; PastHorizon when its state was reclaimed;
    Refused when the name stands for another position.
    """
    _check_name(name)
    if not 1 <= len(by) <= 200:
        raise UsageError(f"A name must have between 1 and 200 characters, this one has {len(by)}.")
    position = _position(connection, at)
    given = {"name": name, "position": position, "by": by, "message": message}
    connection.execute(_SQL["create_tag"], given)
    (tag,) = find_tags(connection, name)
    if tag.position != position:
        raise Refused(
            f'There is a tag "{name}" already, at position {tag.position}. Remove it first (`recant tag remove {name}`), or '
            "choose another name.",
            tag=tag.to_dict(),
        )
    return tag


def remove_tag(connection: Connection, name: str) -> None:
    """Takes the name away; what only it kept can be reclaimed then. Raises UsageError when there is no such tag."""
    row = connection.execute(_SQL["drop_tag"], {"name": name}).fetchone() if _NAME.fullmatch(name) else None
    if row is None or not row["dropped"]:
        raise UsageError(f"There is no tag {name!r}: `recant tag list` shows them.")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} can't be a tag: its name begins with a letter, so that it is never taken for a position or a time, and "
            "has up to 100 of A-Z, a-z, 0-9, '_', '.', '/', '-'."
        )


def _position(connection: Connection, at: Moment | None) -> int:
    row = connection.execute(_SQL["log_position"]).fetchone()
    last = int(row["position"]) if row else 0
    position = last if at is None else position_of(connection, at)
    if not 0 <= position <= last:
        raise UsageError(f"Position {position} is not in the log: it goes from 0 to {last}.")
    return position
