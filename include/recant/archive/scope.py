"""What an archive holds: what was seen of a collection at a moment, or every version of a range of positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recant.errors import UsageError

HOLDS = ("seen", "history")


@dataclass(frozen=True, slots=True)
class Scope:
    """Of one collection, at one position."""

    collection: str
    position: int
    """What is seen is told as of here; nothing of what was published later is held."""
    holds: str = "seen"
    """`seen`: the document versions seen at `position`. `history`: all that were published, seen or not."""
    first_position: int | None = None
    """Of a history: nothing of what was published before it."""
    asked: str | None = None
    """The position, tag or time that was named, for it to be archived again as of there; None: the last one of then."""

    def __post_init__(self) -> None:
        if self.holds not in HOLDS:
            raise UsageError(f"holds {self.holds!r}: must be one of {', '.join(HOLDS)}")
        if self.holds == "seen" and self.first_position is not None:
            raise UsageError("A first position is of a history: what is seen has none.")
        if (self.first_position or 0) > self.position:
            raise UsageError(f"The first position ({self.first_position}) is after the last one ({self.position}).")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, only what was given."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Scope:
        """The reverse of to_dict; what else is there is passed over."""
        return cls(**{name: given[name] for name in cls.__slots__ if name in given})
