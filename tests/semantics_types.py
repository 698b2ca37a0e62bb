"""What the reference model speaks of: operations, versions, inputs, verdicts' targets, selections, plans and refusals."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

TOMB, ERASED, NOW = "<tombstone>", "<erased>", float("inf")
CONTROL_KINDS = ("rollback", "redo", "quarantine", "release", "restore", "erase", "reclaim")
WHOLE = ""
"""In place of a record: all of the operation."""
Target = tuple[int, str]


class Refused(Exception):
    """Nothing was changed; the arguments say why."""


class WriteConflict(Refused):
    """(record, what the writer saw there, what is there now)"""


class InputWithdrawn(Refused):
    """(operation that would be seen, its input that is not)"""


class HasDependents(Refused):
    """(definite dependents that the selection doesn't cover) under policy refuse"""


class PlanStale(Refused):
    """The plan's answer is no longer today's answer."""


class PastHorizon(Refused):
    """What would be seen has been reclaimed."""


@dataclass(eq=False)
class Version:
    """What an operation says about a record; `over` is the operation whose version its writer saw there."""

    record: str
    op: int
    value: object
    over: int | None
    reclaimed: bool = False


@dataclass(frozen=True)
class Input:
    """What an operation was made from: another one's version of a record; `own` is the record of it that was."""

    op: int
    record: str
    kind: str
    own: str


@dataclass
class Op:
    """An entry of the log; what is appended to an open one is seen by its own session."""

    id: int
    kind: str
    agent: str
    session: str | None
    last_wins: bool = False
    life: str = "open"
    position: int | None = None
    versions: dict[str, Version] = field(default_factory=dict)
    inputs: set[Input] = field(default_factory=set)
    verdicts: dict[Target, bool] = field(default_factory=dict)
    reads: set[Target] = field(default_factory=set)
    """What its session was shown since its previous write, before this one."""
    base: int = 0
    """The last position when it was opened."""

    @property
    def control(self) -> bool:
        return self.kind in CONTROL_KINDS


@dataclass(frozen=True)
class Seen:
    """Operations, and what is withheld of them."""

    ops: frozenset[int]
    withheld: frozenset[Target]

    def has(self, target: Target) -> bool:
        return target[0] in self.ops and target not in self.withheld


@dataclass(frozen=True)
class Selection:
    """Published operations, never control ones; with `records`, only those documents of them."""

    matches: Callable[[Op], bool]
    records: frozenset[str] | None = None


@dataclass(frozen=True)
class Plan:
    """The answer that is shown, approved, and compared at apply. Possible dependents are not compared."""

    selection: Selection | int
    policy: str
    hops: int
    """How many reads a dependency may go over; 0: possible dependents count for nothing."""
    withdraw: frozenset[Target]
    left: frozenset[Target]
    """Definite dependents that stay (safe_only, force)."""
    kept: frozenset[Target]
    """Selected but not withdrawn (safe_only)."""
    heads: tuple[tuple[str, int], ...]
    """(record, operation seen afterwards or 0), where it changes."""
    flips: frozenset[int]
    """Writing operations that would cease, or begin, to be seen."""

    @property
    def narrow(self) -> bool:
        """Whether it speaks of documents of operations."""
        return isinstance(self.selection, Selection) and self.selection.records is not None


def covers(targets: Collection[Target], target: Target) -> bool:
    """Whether these take it, by itself or with all of its operation; or, of a whole operation, any of its records."""
    return target in targets or (target[0], WHOLE) in targets


def whole_first(targets: Collection[Target]) -> set[Target]:
    """Records of operations that are there as a whole left out."""
    return {t for t in targets if t[1] == WHOLE or (t[0], WHOLE) not in targets}
