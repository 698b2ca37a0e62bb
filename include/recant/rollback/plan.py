"""The answer to "what would this rollback do": stored, shown, approved, and compared with reality when it is applied."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from recant.errors import UsageError
from recant.rollback.revival import NO_REVIVAL, Revival
from recant.rollback.targets import RecordOf
from recant.store import Row

POLICIES = ("refuse", "safe_only", "cascade", "force")
"""With D the visible definite dependents of what is selected, S: `refuse` takes S if D lies within it, else nothing;
`safe_only` the largest part of S that nothing outside of it was built on; `cascade` S and D; `force` S, and names what
stays. Possible dependents, whose session was only shown S before they wrote, belong to D where they are included."""
_RECORDS = ("withdraw_records", "bring_back_records", "left_records", "kept_records")
DECIDED = ("selected", "withdraw", "bring_back", "left", "kept", *_RECORDS)
STATES = ("open", "approved", "applied", "verified", "aborted", "expired")
"""A plan's life: open, approved, applied, verified; or over without having been applied."""
_TIMES = ("created_at", "expires_at", "approved_at", "applied_at", "verified_at", "aborted_at")
_LISTS = ("selected", "bring_back", "left", "kept", "hides", "shows")


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be withdrawn, what comes back, and who is affected, at `position`."""

    plan_id: str
    kind: str
    """`rollback`; `redo`, a rollback of a control operation; `quarantine`, `release`, `restore`."""
    selector: dict[str, Any]
    policy: str
    position: int
    selected: tuple[int, ...]
    withdraw: tuple[int, ...]
    """Operations that get the verdict "not visible", oldest first. `hides` are those of them that are seen now."""
    bring_back: tuple[int, ...]
    """Operations that get the verdict "visible": hidden ones, oldest first (release, restore)."""
    left: tuple[int, ...]
    """Definite dependents that stay as they are (`safe_only`, `force`)."""
    kept: tuple[int, ...]
    """Selected, and not withdrawn because something was built on them (`safe_only`)."""
    consequences: str
    """md5 over every record whose head changes."""
    hides: tuple[int, ...]
    """Operations that stop being seen."""
    shows: tuple[int, ...]
    """Operations that are seen again (redo)."""
    blast_radius: dict[str, Any]
    agent: str
    withdraw_records: tuple[RecordOf, ...] = ()
    """Records of operations that get the verdict "not visible": the rest of those operations is left alone."""
    bring_back_records: tuple[RecordOf, ...] = ()
    left_records: tuple[RecordOf, ...] = ()
    kept_records: tuple[RecordOf, ...] = ()
    include_possible: bool = False
    """Whether possible dependents counted as definite ones: `withdraw`, `left` and `kept` go by them then."""
    possible_hops: int = 1
    """How many reads a path to a possible dependent may have."""
    state: str = "open"
    """One of STATES, as it was when this was read."""
    created_at: datetime | None = None
    expires_at: datetime | None = None
    """From then on it can't be applied."""
    approved_by: str | None = None
    approved_at: datetime | None = None
    applied_as: int | None = None
    """The control operation that it became."""
    applied_at: datetime | None = None
    verified_at: datetime | None = None
    certificate: dict[str, Any] | None = None
    """`Certificate.to_dict()`; of a plan that is applied and not verified, the last that didn't hold."""
    aborted_by: str | None = None
    aborted_at: datetime | None = None
    abort_reason: str = ""
    message: str = field(default="")
    block: dict[str, Any] | None = None
    """What is not wanted again, once it is applied: numbers of `contents` and `sources`, `first_sources`. None: no block."""
    revival: Revival = NO_REVIVAL
    """What was reclaimed and is brought back from archives before the plan is applied."""

    @property
    def records(self) -> dict[str, int]:
        """By kind: seen now, withdrawn afterwards."""
        return dict(self.blast_radius["records"])

    @property
    def revived(self) -> dict[str, int]:
        """By kind: seen again afterwards."""
        return dict(self.blast_radius["revived"])

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.withdraw or self.bring_back or self.withdraw_records or self.bring_back_records)

    @property
    def answer(self) -> tuple[Any, ...]:
        """What must still be so when the plan is applied."""
        names = ("withdraw", "bring_back", "left", "kept", "hides", "shows", *_RECORDS)
        return *(frozenset(getattr(self, name)) for name in names), self.consequences

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        out = {name: getattr(self, name) for name in self.__slots__ if name != "blast_radius"}
        for name in _TIMES:
            out[name] = value.isoformat() if (value := getattr(self, name)) else None
        for name in ("withdraw", *_LISTS):
            out[name] = list(getattr(self, name))
        for name in _RECORDS:
            out[name] = [record.to_dict() for record in getattr(self, name)]
        return out | self.blast_radius | {"position": self.position, "revival": self.revival.to_dict()}

    def report(self) -> dict[str, Any]:
        """What is stored beside the columns of rollback_plan."""
        lists = {name: list(getattr(self, name)) for name in _LISTS}
        records = {name: [record.to_dict() for record in getattr(self, name)] for name in _RECORDS}
        reads = {"include_possible": self.include_possible, "possible_hops": self.possible_hops, "block": self.block}
        reads["revival"] = self.revival.to_dict()
        return {"blast_radius": self.blast_radius, "message": self.message} | lists | records | reads


def stored_plan(row: Row) -> Plan:
    """The plan that `load_plan` found."""
    report = row.pop("report")
    row |= {name: tuple(report[name]) for name in _LISTS}
    row |= {name: tuple(RecordOf(**record) for record in report.get(name, ())) for name in _RECORDS}
    row |= {
        "withdraw": tuple(row["withdraw"]),
        "blast_radius": report["blast_radius"],
        "message": report.get("message", ""),
        "include_possible": report.get("include_possible", False),
        "possible_hops": report.get("possible_hops", 1),
        "block": report.get("block"),
        "revival": Revival.from_dict(report.get("revival")),
    }
    return Plan(**row)


def plan_uuid(plan_id: str) -> uuid.UUID:
    """Raises UsageError for what can't be a plan's id."""
    try:
        return uuid.UUID(plan_id)
    except ValueError as error:
        raise UsageError(
            f"{plan_id!r} is no plan's id: it looks like 0192f0c1-…, as `recant rollback --dry-run` shows it."
        ) from error
