"""What an operation is, and who it is attributed to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from recant.errors import UsageError
from recant.json_types import JSON

CONTROL_KINDS = ("rollback", "redo", "quarantine", "release", "restore")
"""Kinds that carry verdicts. Selectors never pick them."""
DESTROYING_KINDS = ("erase", "reclaim")
"""Control operations without verdicts: nothing takes them back."""

State = Literal["open", "aborted", "published", "reverted", "quarantined"]


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who writes, in which session and run, and why.

    `context` holds what is known of the surroundings: dag_id, dag_run_id, task_id, map_index; parent_run_id,
    parent_job_name, parent_job_namespace, root_run_id, root_job_name, root_job_namespace (OpenLineage); git_commit,
    git_branch, repository.
    """

    agent: str
    session: str | None = None
    run_id: str | None = None
    message: str = ""
    context: Mapping[str, JSON] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, longest in (("agent", 200), ("session", 200), ("run_id", 250)):
            value = getattr(self, name)
            if value is not None and not 1 <= len(value) <= longest:
                raise UsageError(f"{name} must have between 1 and {longest} characters, this one has {len(value)}")


@dataclass(frozen=True, slots=True)
class Dataset:
    """An OpenLineage dataset that an operation reads or writes."""

    direction: Literal["input", "output"]
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One entry of the log. `position` is null until published, then 1, 2, 3 … without gaps, for ever."""

    operation_id: int
    position: int | None
    kind: str
    agent: str
    session: str | None
    run_id: str | None
    lineage_run_id: str
    state: State
    """open -> published | aborted; reverted and quarantined are what the last effective verdict makes of a published one."""
    collection: str | None
    message: str
    opened_at: datetime
    published_at: datetime | None
    counts: dict[str, Any]
    parameters: dict[str, Any]
    context: dict[str, Any]
    reason: str | None
    """Why it was aborted."""
    digest: str | None
    """Two 64-bit sums of its versions' content hashes as 32 hex digits; null until published."""
    held: bool = False
    """Open, but its writing is over: it waits for its session to be merged or discarded."""
    lease_until: datetime | None = None
    """Until when an open operation is left alone; null once it is over."""
    lease_expired: bool = False
    """The next upkeep aborts it."""
    undoable_until: datetime | None = None
    """What was promised at publishing: the retention on top of it. Null: no limit (no retention, or the position before
    it is tagged), and of what can't be undone at all (open, aborted, erase, reclaim). A plan's answer is exact."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, times in ISO 8601."""
        out = {name: getattr(self, name) for name in self.__slots__}
        out["opened_at"] = self.opened_at.isoformat()
        out["published_at"] = self.published_at.isoformat() if self.published_at else None
        out["lease_until"] = self.lease_until.isoformat() if self.lease_until else None
        out["undoable_until"] = self.undoable_until.isoformat() if self.undoable_until else None
        return out
