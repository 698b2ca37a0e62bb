"""From what is asked to verdicts: which operations, and which records of operations, would be hidden or shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recant.errors import UsageError
from recant.oplog import Selector
from recant.oplog.positions import require_answerable
from recant.rollback.certificate import visible_at
from recant.rollback.possible import Reads, find_dependents, supporting, with_reads
from recant.rollback.selection import quarantined, redo_target, select, writing_operations
from recant.rollback.targets import (
    NO_DEPENDENTS,
    WHOLE,
    Dependent,
    Dependents,
    Reach,
    RecordOf,
    Target,
    listed,
    quarantined_records,
    reach_of,
    records_as_of,
)
from recant.store import Connection, load

_SQL = load(__package__, "rollback.sql")


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a plan would say, and of what that is the answer."""

    selected: tuple[int, ...]
    withdraw: tuple[int, ...] = ()
    bring_back: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    withdraw_records: tuple[RecordOf, ...] = ()
    bring_back_records: tuple[RecordOf, ...] = ()
    left_records: tuple[RecordOf, ...] = ()
    kept_records: tuple[RecordOf, ...] = ()
    dependents: Dependents = NO_DEPENDENTS
    """Of what is selected, possible ones too, for the blast radius."""
    refused: bool = False
    """Those dependents stand in the way (`refuse`)."""
    selected_records: tuple[RecordOf, ...] = ()
    """What a narrowed selection picked, operations picked whole aside."""

    @property
    def operations(self) -> tuple[list[int], list[bool]]:
        """Verdicts about whole operations."""
        shows = [False] * len(self.withdraw) + [True] * len(self.bring_back)
        return [*self.withdraw, *self.bring_back], shows

    @property
    def records(self) -> tuple[list[RecordOf], list[bool]]:
        """Verdicts about records of operations."""
        shows = [False] * len(self.withdraw_records) + [True] * len(self.bring_back_records)
        return [*self.withdraw_records, *self.bring_back_records], shows


def log_position(connection: Connection) -> int:
    """The last position given out."""
    row = connection.execute(_SQL["log_position"]).fetchone()
    return int(row["position"]) if row else 0


def _decide_rollback(connection: Connection, selector: Mapping[str, Any], policy: str, reads: Reads) -> Verdicts:
    """Verdicts on all that is selected, on what is hidden already too: a redo of the earlier rollback doesn't show it then."""
    parsed = Selector.from_dict(selector)
    if parsed.narrows:
        return _decide_narrowed(connection, parsed, policy, reads)
    found = select(connection, parsed)
    selected = found.operations
    dependents = find_dependents(connection, selected, reads.hops)
    outside = set(dependents.counted(possible=reads.include))
    if policy == "refuse" and outside:
        return Verdicts(selected, dependents=dependents if reads.include else dependents.but("possible"), refused=True)
    kept = _supporting(connection, selected, outside, reads) if policy == "safe_only" else set()
    withdraw = {*selected, *outside} if policy == "cascade" else set(selected) - kept
    seen = outside.union(found.seen)
    if not withdraw & seen and not quarantined(connection, sorted(withdraw)):
        withdraw = set()
    left, kept = outside - withdraw, set(selected) & kept
    return Verdicts(
        selected,
        tuple(sorted(withdraw)),
        left=tuple(sorted(left)),
        kept=tuple(sorted(kept)),
        dependents=dependents,
    )


def _decide_narrowed(connection: Connection, selector: Selector, policy: str, reads: Reads) -> Verdicts:
    """The same, about the selected documents of operations; what was built on them is narrowed in turn where it can be."""
    operations = select(connection, selector).operations
    known = reach_of(connection, selector, operations)
    followed = with_reads(connection, known, reads.hops)
    reach = followed if reads.include else known
    dependents = _narrowed_dependents(known, followed, reads)
    outside = reach.outside
    if policy == "refuse" and outside:
        counted = dependents if reads.include else dependents.but("possible")
        return Verdicts(operations, dependents=counted, refused=True)
    kept = reach.leading_to(outside) if policy == "safe_only" else set()
    withdraw = reach.selected | outside if policy == "cascade" else reach.selected - kept
    if withdraw <= reach.hidden and not _any_quarantined(connection, selector, withdraw):
        withdraw = set()
    whole, records = reach.split(withdraw)
    left, left_records = reach.split(outside - withdraw)
    kept_whole, kept_records = reach.split(kept)
    return Verdicts(
        operations,
        whole,
        left=left,
        kept=kept_whole,
        withdraw_records=records,
        left_records=left_records,
        kept_records=kept_records,
        dependents=dependents,
        selected_records=reach.split(reach.selected)[1],
    )


def _any_quarantined(connection: Connection, selector: Selector, targets: set[Target]) -> bool:
    operations = sorted({operation_id for operation_id, _ in targets})
    records = quarantined_records(connection, selector, operations)
    return bool(quarantined(connection, operations)) or any(
        r.target in targets or (r.operation_id, WHOLE) in targets for r in records
    )


def cascade(connection: Connection, selector: Selector, reads: Reads) -> Verdicts:
    """All that is selected and all that was built on it, seen or not; possible dependents only where they are included."""
    if selector.narrows:
        operations = select(connection, selector).operations
        known = reach_of(connection, selector, operations)
        followed = with_reads(connection, known, reads.hops)
        reach = followed if reads.include else known
        whole, records = reach.split(reach.selected | reach.outside)
        chosen = reach.split(reach.selected)[1]
        found = _narrowed_dependents(known, followed, reads)
        return Verdicts(operations, whole, withdraw_records=records, dependents=found, selected_records=chosen)
    selected = select(connection, selector).operations
    dependents = find_dependents(connection, selected, reads.hops)
    return Verdicts(selected, (*selected, *dependents.counted(possible=reads.include)), dependents=dependents)


def _narrowed_dependents(known: Reach, followed: Reach, reads: Reads) -> Dependents:
    """The same. What is definite in a document and possible as a whole is, where that counts, possible as a whole."""
    found = {d.operation_id: d for d in dependents_of(known, known.outside)}
    for possible in dependents_of(followed, followed.outside - known.outside):
        if reads.include or possible.operation_id not in found:
            number = possible.operation_id
            found[number] = replace(possible, certainty="possible", evidence=followed.evidence.get(number, ()))
    return listed(found.values())


def dependents_of(reach: Reach, outside: set[Target]) -> list[Dependent]:
    """One a operation, with the documents it is narrowed to."""
    found: dict[int, Dependent] = {}
    for edge in reach.edges:
        target = edge["operation_id"], edge["record_id"]
        if target not in outside:
            continue
        known = found.setdefault(target[0], Dependent(target[0], edge["class"], edge["via"]))
        name = reach.names.get(target)
        if name and name not in known.narrowed_to:
            found[target[0]] = replace(known, narrowed_to=(*known.narrowed_to, name))
    return list(found.values())


def _decide_redo(connection: Connection, selector: Mapping[str, Any], policy: str, reads: Reads) -> Verdicts:
    (row,) = redo_target(connection, selector["operations"][0])
    return Verdicts((row["id"],), (row["id"],) if row["visible"] else ())


def _decide_quarantine(connection: Connection, selector: Mapping[str, Any], policy: str, reads: Reads) -> Verdicts:
    parsed = Selector.from_dict(selector)
    picked = select(connection, parsed)
    selected = picked.operations
    if not parsed.narrows:
        found = find_dependents(connection, selected, reads.hops)
        return Verdicts(selected, picked.seen, left=found.definite, dependents=found)
    reach = reach_of(connection, parsed, selected)
    whole, records = reach.split(reach.selected - reach.hidden)
    left, left_records = reach.split(reach.outside)
    return Verdicts(
        selected,
        whole,
        left=left,
        withdraw_records=records,
        left_records=left_records,
        dependents=_narrowed_dependents(reach, with_reads(connection, reach, reads.hops), reads),
        selected_records=reach.split(reach.selected)[1],
    )


def _decide_release(connection: Connection, selector: Mapping[str, Any], policy: str, reads: Reads) -> Verdicts:
    """What is quarantined of the selected: whole operations, unless documents are named, and records of operations."""
    parsed = Selector.from_dict(selector)
    selected = select(connection, parsed).operations
    records = quarantined_records(connection, parsed, selected)
    whole = quarantined(connection, selected)
    if parsed.narrows:
        picked = {o for o, record in reach_of(connection, parsed, selected).selected if record == WHOLE}
        whole = [operation_id for operation_id in whole if operation_id in picked]
    return Verdicts(selected, bring_back=tuple(whole), bring_back_records=records, selected_records=records)


def _decide_restore(connection: Connection, selector: Mapping[str, Any], policy: str, reads: Reads) -> Verdicts:
    """The collection's operations as they were at a position; what was published later is hidden, not lost."""
    position, now = int(selector["position"]), log_position(connection)
    if not 0 <= position <= now:
        raise UsageError(f"Position {position} is not in the log: it goes from 0 to {now}.")
    require_answerable(connection, position, selector["collection"])
    known, until = writing_operations(connection, selector["collection"], position)
    then, seen = until - visible_at(connection, position).hidden, known - visible_at(connection, now).hidden
    records = records_as_of(connection, selector["collection"], position)
    changed = (then ^ seen) | {r.operation_id for rs in records.values() for r in rs}
    return Verdicts(
        tuple(sorted(changed)),
        tuple(sorted(seen - then)),
        tuple(sorted(then - seen)),
        withdraw_records=records[False],
        bring_back_records=records[True],
    )


DECISIONS = {
    "rollback": _decide_rollback,
    "redo": _decide_redo,
    "quarantine": _decide_quarantine,
    "release": _decide_release,
    "restore": _decide_restore,
}


def _supporting(connection: Connection, selected: Sequence[int], outside: set[int], reads: Reads) -> set[int]:
    """Of the selected, those that something outside was built on, over any number of hops."""
    if not outside:
        return set()
    return supporting(connection, outside, reads.hops if reads.include else 0) & set(selected)
