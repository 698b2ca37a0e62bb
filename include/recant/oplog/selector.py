"""What picks operations. Its conditions combine: each narrows; several values of one condition widen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from recant.errors import EmptySelector, UsageError

_TIMES = ("since", "until")
_POSITIONS = ("first_position", "last_position")
_IDS = ("operations", "documents")
_LARGEST_ID = 2**63 - 1
"""Of Postgres' bigint."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Published operations that match every condition given; control operations are never picked.

    `runs` are run ids as given (an Airflow run id, say) or OpenLineage run ids. `since` is inclusive, `until` exclusive,
    both about the time of publishing; without a zone they are UTC. `first_position` and `last_position` are inclusive.
    `sources` and `documents` (record ids) pick the operations that wrote that document, and narrow what is said of them
    to it; `touching` picks, whole, those that wrote it or built on it. `everything` stands for no condition at all.
    """

    operations: tuple[int, ...] = ()
    runs: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    documents: tuple[int, ...] = ()
    touching: tuple[str, ...] = ()
    first_position: int | None = None
    last_position: int | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        for name in _TIMES:
            value = getattr(self, name)
            if value is not None and value.tzinfo is None:
                object.__setattr__(self, name, value.replace(tzinfo=UTC))
        if self.since and self.until and self.since >= self.until:
            raise UsageError(f"since ({self.since.isoformat()}) must be before until ({self.until.isoformat()})")
        if any(abs(p) > _LARGEST_ID for p in (self.first_position or 0, self.last_position or 0)):
            raise UsageError("There is no such position: the log's go up to 9223372036854775807.")
        if (
            self.first_position is not None
            and self.last_position is not None
            and self.first_position > self.last_position
        ):
            raise UsageError(f"the first position ({self.first_position}) is after the last one ({self.last_position})")
        if self.everything and any(
            self._given(f.name) for f in fields(self) if f.name not in ("everything", "collections")
        ):
            raise UsageError("Everything, or some of it: only a collection can be said beside everything.")

    @property
    def is_empty(self) -> bool:
        """Whether no condition was given."""
        return not any(self._given(f.name) for f in fields(self))

    @property
    def narrows(self) -> bool:
        """Whether it speaks of documents of operations, rather than of operations."""
        return bool(self.sources or self.documents)

    def require_condition(self) -> None:
        """Raises EmptySelector: a selector without a condition never means everything."""
        if self.is_empty:
            raise EmptySelector(
                "Say what: an operation, run, agent, session, kind, document, collection, time window or positions. "
                "Nothing was changed."
            )

    def to_dict(self) -> dict[str, Any]:
        """Only the conditions given, JSON-ready."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if self._given(f.name)}
        return {k: v.isoformat() if k in _TIMES else list(v) if isinstance(v, tuple) else v for k, v in given.items()}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Selector:
        """The reverse of to_dict; None and empty values mean no condition. Raises UsageError for unknown or bad ones."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(given) - known):
            raise UsageError(f"unknown conditions {unknown}; known ones are {sorted(known)}")
        return cls(**{name: _condition(name, value) for name, value in given.items() if _is_given(value)})

    def bindings(self) -> dict[str, Any]:
        """Parameters of the named queries: None where there is no condition. Ids that can't be are left out."""
        given = {f.name: getattr(self, f.name) if self._given(f.name) else None for f in fields(self)}
        bound: dict[str, Any] = {n: list(value) if isinstance(value, tuple) else value for n, value in given.items()}
        for name in _IDS:
            if bound[name] is not None:
                bound[name] = [number for number in bound[name] if abs(number) <= _LARGEST_ID]
        return bound

    def _given(self, name: str) -> bool:
        return _is_given(getattr(self, name))


def _is_given(value: Any) -> bool:
    return value is not None and value is not False and value != () and value != [] and value != ""


def _condition(name: str, value: Any) -> Any:
    try:
        if name in _TIMES:
            return value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if name in _POSITIONS:
            return int(value)
        if name == "everything":
            return bool(value)
        values = [value] if isinstance(value, (str, int)) else value
        return tuple((int if name in _IDS else str)(v) for v in values)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}={value!r} can't be understood: {error}") from error
