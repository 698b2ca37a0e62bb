"""What a verdict can be about: a whole operation, or one record of it; and what was built on either."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from recant.oplog import Selector
from recant.store import Connection, Row, load, numbers_text

_SQL = load(__package__, "rollback.sql")
WHOLE = 0
"""In place of a record's id."""
MOST_NAMED = 1_000
"""Of more operations a report says how many they are, whose, and which by id."""

Target = tuple[int, int]
"""(operation id, record id, or WHOLE)."""


@dataclass(frozen=True, slots=True, order=True)
class RecordOf:
    """One record of an operation: what a narrowed verdict is about."""

    operation_id: int
    record_id: int
    source: str = field(compare=False)

    @property
    def target(self) -> Target:
        """As a target."""
        return self.operation_id, self.record_id

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Dependent:
    """A visible operation that was built on what is selected, or may have been, and the first hop that leads to it."""

    operation_id: int
    relation: str
    """derived, referenced, affirmed, decided, cited; read."""
    via: int
    narrowed_to: tuple[str, ...] = ()
    """The documents of it that depend; none named: all of it."""
    certainty: Literal["definite", "possible"] = "definite"
    """possible: some hop on the way there was but a read."""
    evidence: tuple[dict[str, Any], ...] = ()
    """Of a read: the first searches that showed it, with search_id, agent, query, position, searched_at, source."""


@dataclass(frozen=True, slots=True)
class Dependents:
    """All that depend on what is selected, by id; the first of them with why."""

    definite: tuple[int, ...] = ()
    possible: tuple[int, ...] = ()
    named: tuple[Dependent, ...] = ()
    """The first definite ones by position, then the first possible ones: MOST_NAMED of each at most."""

    def counted(self, *, possible: bool) -> tuple[int, ...]:
        """The definite ones; with `possible`, those as well."""
        return self.definite + self.possible if possible else self.definite

    def but(self, certainty: str) -> Dependents:
        """Without those that are definite, or possible."""
        named = tuple(d for d in self.named if d.certainty != certainty)
        return replace(self, named=named, **{certainty: ()})


NO_DEPENDENTS = Dependents()


def listed(dependents: Iterable[Dependent]) -> Dependents:
    """Those that are all at hand."""
    found = tuple(dependents)
    definite, possible = (tuple(d for d in found if d.certainty == c) for c in ("definite", "possible"))
    return Dependents(
        tuple(d.operation_id for d in definite),
        tuple(d.operation_id for d in possible),
        definite[:MOST_NAMED] + possible[:MOST_NAMED],
    )


@dataclass(frozen=True, slots=True)
class Flips:
    """What would change its visibility: writing operations, and records of operations."""

    operations: Mapping[int, bool]
    records: Mapping[Target, bool]

    @property
    def hides(self) -> list[int]:
        """Writing operations that stop being seen."""
        return sorted(o for o, visible in self.operations.items() if not visible)

    @property
    def shows(self) -> list[int]:
        """Writing operations that are seen again."""
        return sorted(o for o, visible in self.operations.items() if visible)

    @property
    def shows_anything(self) -> bool:
        """Whether something hidden is seen again."""
        return any(self.operations.values()) or any(self.records.values())


@dataclass(slots=True)
class Reach:
    """What a narrowed selection picks, and everything that was built on it."""

    selected: set[Target]
    names: dict[Target, str]
    hidden: set[Target]
    """Selected, and not seen now."""
    edges: list[Row]
    """via, via_record, operation_id, record_id, class, live."""
    evidence: Mapping[int, tuple[dict[str, Any], ...]] = field(default_factory=dict)
    """By operation, where reads were followed: the searches that showed it the selection."""

    @property
    def outside(self) -> set[Target]:
        """Seen dependents that the selection doesn't cover."""
        live = {(e["operation_id"], e["record_id"]) for e in self.edges if e["live"]}
        found = {t for t in live if not self.covers(t)}
        return {t for t in found if t[1] == WHOLE or (t[0], WHOLE) not in found}

    def covers(self, target: Target) -> bool:
        """Whether the selection takes this."""
        return target in self.selected or (target[0], WHOLE) in self.selected

    def leading_to(self, ends: Iterable[Target]) -> set[Target]:
        """Those selected on which, over any number of hops, one of these was built. An operation picked whole that is one
        of them stays with all its records, so what those were built on stays, too.
        """
        before: dict[Target, set[Target]] = {}
        for e in self.edges:
            before.setdefault((e["operation_id"], e["record_id"]), set()).add((e["via"], e["via_record"]))
        live = {(e["operation_id"], e["record_id"]) for e in self.edges if e["live"]}
        found: set[Target] = set()
        todo = set(ends)
        while todo:
            found |= todo
            whole = {operation_id for operation_id, record_id in todo & self.selected if record_id == WHOLE}
            parts = {target for target in live if target[0] in whole}
            todo = parts.union(*(before.get(t, set()) for t in todo)) - found
        return found & self.selected

    def record(self, target: Target) -> RecordOf:
        """The target by name."""
        return RecordOf(*target, self.names.get(target, ""))

    def split(self, targets: Iterable[Target]) -> tuple[tuple[int, ...], tuple[RecordOf, ...]]:
        """Whole operations, and records of the others."""
        whole = {operation_id for operation_id, record_id in targets if record_id == WHOLE}
        narrowed = {t for t in targets if t[1] != WHOLE and t[0] not in whole}
        return tuple(sorted(whole)), tuple(sorted(self.record(t) for t in narrowed))


def reach_of(connection: Connection, selector: Selector, operations: Sequence[int]) -> Reach:
    """The records that a narrowing selector picks of these operations, and what was built on them.

    An operation all of whose records are picked is picked whole.
    """
    given = {"operations": numbers_text(operations), **_narrowing(selector)}
    rows = connection.execute(_SQL["narrowed_targets"], given).fetchall()
    whole = {row["operation_id"] for row in rows if row["whole"]}
    picked = {_target(row, whole): row for row in rows}
    targets = sorted(picked)
    bound = {"operations": numbers_text(t[0] for t in targets), "records": numbers_text(t[1] for t in targets)}
    edges = connection.execute(_SQL["narrowed_edges"], bound).fetchall()
    names = {(e["operation_id"], e["record_id"]): e["source"] for e in edges if e["source"]}
    names |= {t: row["source"] for t, row in picked.items() if t[1] != WHOLE}
    seen = {_target(row, whole) for row in rows if not row["hidden"]}
    return Reach(set(targets), names, set(targets) - seen, edges)


def quarantined_records(connection: Connection, selector: Selector, operations: Sequence[int]) -> tuple[RecordOf, ...]:
    """Records of these operations that the last effective verdict quarantines; of those that the selector names, if any."""
    given = {"operations": numbers_text(operations), **_narrowing(selector)}
    return tuple(RecordOf(**row) for row in connection.execute(_SQL["quarantined_records"], given))


def records_as_of(connection: Connection, collection: str, position: int) -> Mapping[bool, tuple[RecordOf, ...]]:
    """Records of operations that must be shown (True) or withheld (False) to be as they were at a position."""
    rows = connection.execute(_SQL["records_as_of"], {"collection": collection, "position": position}).fetchall()
    found = [(row.pop("shows"), RecordOf(**row)) for row in rows]
    return {wanted: tuple(record for shows, record in found if shows == wanted) for wanted in (True, False)}


def _target(row: Row, whole: set[int]) -> Target:
    return row["operation_id"], WHOLE if row["operation_id"] in whole else row["record_id"]


def _narrowing(selector: Selector) -> dict[str, Any]:
    bound = selector.bindings()
    return {"sources": bound["sources"], "documents": bound["documents"]}
