"""What picks operations. Its conditions combine: each narrows; several values of one condition widen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from recant.errors import EmptySelector, UsageError

_TIMES = ("since", "until")
_LARGEST_ID = 2**63 - 1
"""Of Postgres' bigint."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Published operations that match every condition given; control operations are never picked.

    `runs` are run ids as given (an Airflow run id, say) or OpenLineage run ids. `since` is inclusive, `until` exclusive,
    both about the time of publishing; without a zone they are UTC. `sources` picks the operations that wrote a version
    of that document.
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

    def __post_init__(self) -> None:
        for name in _TIMES:
            value = getattr(self, name)
            if value is not None and value.tzinfo is None:
                object.__setattr__(self, name, value.replace(tzinfo=UTC))
        if self.since and self.until and self.since >= self.until:
            raise UsageError(f"since ({self.since.isoformat()}) must be before until ({self.until.isoformat()})")

    @property
    def is_empty(self) -> bool:
        """Whether no condition was given."""
        return not any(getattr(self, f.name) for f in fields(self))

    def require_condition(self) -> None:
        """Raises EmptySelector: a selector without a condition never means everything."""
        if self.is_empty:
            raise EmptySelector(
                "Say what: an operation, run, agent, session, kind, collection or time window. Nothing was changed."
            )

    def to_dict(self) -> dict[str, Any]:
        """Only the conditions given, JSON-ready."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name)}
        return {k: v.isoformat() if k in _TIMES else list(v) for k, v in given.items()}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Selector:
        """The reverse of to_dict; None and empty values mean no condition. Raises UsageError for unknown or bad ones."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(given) - known):
            raise UsageError(f"unknown conditions {unknown}; known ones are {sorted(known)}")
        return cls(**{name: _condition(name, value) for name, value in given.items() if value})

    def bindings(self) -> dict[str, Any]:
        """Parameters of the named queries: None where there is no condition. Ids that can't be are left out."""
        given = {
            f.name: (list(v) if isinstance(v, tuple) else v) if (v := getattr(self, f.name)) else None
            for f in fields(self)
        }
        possible = [operation_id for operation_id in self.operations if abs(operation_id) <= _LARGEST_ID]
        return given | {"operations": possible if self.operations else None}


def _condition(name: str, value: Any) -> Any:
    try:
        if name in _TIMES:
            return value if isinstance(value, datetime) else datetime.fromisoformat(value)
        values = [value] if isinstance(value, (str, int)) else value
        return tuple((int if name == "operations" else str)(v) for v in values)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}={value!r} can't be understood: {error}") from error
