"""What is known of a session, and what became of a merge or a discard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from recant.oplog import Operation

State = Literal["open", "expired", "merged", "discarded"]


@dataclass(frozen=True, slots=True)
class Session:
    """A session by its name. One that nobody opened has operations only: no opener, no limits, and it never closes."""

    name: str
    registered: bool
    """Whether it was opened; what only an opened session has is null otherwise."""
    state: State
    """open -> merged | discarded -> open again; expired is what an open one past its time is."""
    mode: Literal["normal", "exploration"]
    """In exploration, ingests are held until the session is merged."""
    agent: str | None
    """Who opened it."""
    agents: tuple[str, ...]
    """Who wrote in it, by name."""
    message: str
    opened_at: datetime | None
    """When it was opened; of one that wasn't, when its first operation was."""
    expires_at: datetime | None
    closed_at: datetime | None
    max_records: int | None
    max_operations: int | None
    records: int
    """Written or removed by its open operations, and by those published since it was opened; watermarks not counted."""
    operations: int
    """Open, or published since it was opened: what counts towards its limit."""
    open_operations: int
    """What a merge would publish, and a discard abort."""
    lease_until: datetime | None
    """When the first of its open operations may be aborted by upkeep; null without any."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, times in ISO 8601."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: _plain(value) for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a merge would be refused, were it tried now."""

    operation_id: int
    obstacle: Literal["unfinished_batch", "write_conflict", "input_withdrawn"]
    message: str
    kind: str | None = None
    """The record's; of a write conflict only."""
    key: str | None = None
    """The record's, or the unfinished batch's."""
    expected: int | None = None
    """The operation that its writer saw as head, or that it was made from."""
    actual: int | None = None
    """The operation that is the head now; null when there is none."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class SessionDetail:
    """A session with its operations, and what a merge would come to."""

    session: Session
    would_publish: tuple[int, ...]
    """Its open operations, in the order in which a merge publishes them."""
    obstacles: tuple[Obstacle, ...]
    """All unfinished batches and write conflicts, and the first withdrawn input. Empty: a merge would go through."""
    history: tuple[Operation, ...]
    """Its operations, open and over, newest first; at most as many as were asked for."""
    changes: tuple[dict[str, Any], ...] = ()
    """Who gave it other limits, oldest first: agent, message, changed_at, before and after."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the session's fields, would_publish, obstacles, history, changes."""
        return self.session.to_dict() | {
            "would_publish": list(self.would_publish),
            "obstacles": [obstacle.to_dict() for obstacle in self.obstacles],
            "history": [operation.to_dict() for operation in self.history],
            "changes": list(self.changes),
        }


@dataclass(frozen=True, slots=True)
class SessionReport:
    """What a merge or a discard did. `applied` is false when there was nothing to do; `message` says why."""

    session: str
    outcome: Literal["merged", "discarded"]
    applied: bool
    message: str
    published: tuple[tuple[int, int], ...] = ()
    """(operation id, position) of a merge, in order."""
    aborted: tuple[int, ...] = ()
    """Operation ids of a discard."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "session": self.session,
            "outcome": self.outcome,
            "applied": self.applied,
            "message": self.message,
            "published": [{"operation_id": o, "position": p} for o, p in self.published],
            "aborted": list(self.aborted),
        }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
