"""Works out what a plan would do: who depends on what is selected, which heads change, what may not come back. Changes nothing."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recant.errors import HasDependents, InputWithdrawn, UsageError, WriteConflict
from recant.oplog import Selector
from recant.oplog.identifiers import new_run_id
from recant.rollback.blast_radius import BlastRadius, Changes, affected, changes, datasets
from recant.rollback.certificate import visible_at
from recant.rollback.plan import POLICIES, Plan
from recant.rollback.selection import quarantined, redo_target, select, writing_operations
from recant.store import Connection, Row, load

_SQL = load(__package__, "rollback.sql")


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a plan would say, and of what that is the answer."""

    selected: tuple[int, ...]
    withdraw: tuple[int, ...] = ()
    bring_back: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()


def work_out(connection: Connection, kind: str, selector: Mapping[str, Any], policy: str, agent: str) -> Plan:
    """Today's answer. Raises HasDependents, WriteConflict, InputWithdrawn, UnknownOperation, UsageError."""
    if policy not in POLICIES:
        raise UsageError(f"policy {policy!r}: must be one of {', '.join(POLICIES)}")
    position = log_position(connection)
    verdicts = _DECISIONS[kind](connection, selector, policy)
    hides, shows = flips(connection, verdicts.withdraw, verdicts.bring_back)
    if policy != "force" and kind != "restore":
        _check_revivals(connection, hides, shows)
    change = changes(connection, hides, shows)
    radius = _radius_of(connection, position, verdicts, change)
    return Plan(
        plan_id=str(uuid.UUID(int=new_run_id().int)),
        kind=kind,
        selector=dict(selector),
        policy=policy,
        position=position,
        selected=verdicts.selected,
        withdraw=verdicts.withdraw,
        bring_back=verdicts.bring_back,
        left=verdicts.left,
        kept=verdicts.kept,
        consequences=change.digest,
        hides=tuple(hides),
        shows=tuple(shows),
        blast_radius=radius.to_dict(),
        agent=agent,
        message="" if verdicts.withdraw or verdicts.bring_back else _why_empty(kind, verdicts),
    )


def blast_radius(connection: Connection, selected: Sequence[int]) -> BlastRadius:
    """The selected operations and their visible definite dependents, and what would change without all of them."""
    dependents = find_dependents(connection, selected)
    everything = [*selected, *(row["id"] for row in dependents)]
    change = changes(connection, *flips(connection, everything, ()))
    return BlastRadius(
        position=log_position(connection),
        operations=affected(connection, selected, dependents),
        datasets=datasets(connection, everything),
        **_heads(change),
    )


def find_dependents(connection: Connection, selected: Sequence[int]) -> list[Row]:
    """Visible operations built on these, over any number of hops: id, class, via."""
    return connection.execute(_SQL["dependents"], {"operations": list(selected)}).fetchall()


def flips(connection: Connection, withdraw: Sequence[int], bring_back: Sequence[int]) -> tuple[list[int], list[int]]:
    """Writing operations that would stop being seen, and those that would be seen again."""
    operations, shows = [*withdraw, *bring_back], [False] * len(withdraw) + [True] * len(bring_back)
    rows = connection.execute(_SQL["flips"], {"operations": operations, "shows": shows}).fetchall()
    hidden = sorted(r["operation_id"] for r in rows if not r["visible"] and not r["control"])
    return hidden, sorted(r["operation_id"] for r in rows if r["visible"] and not r["control"])


def log_position(connection: Connection) -> int:
    """The last position given out."""
    row = connection.execute(_SQL["log_position"]).fetchone()
    return int(row["position"]) if row else 0


def _decide_rollback(connection: Connection, selector: Mapping[str, Any], policy: str) -> Verdicts:
    """Verdicts on all that is selected, on what is hidden already too: a redo of the earlier rollback doesn't show it then."""
    rows = select(connection, Selector.from_dict(selector))
    selected = tuple(row["id"] for row in rows)
    dependents = find_dependents(connection, selected)
    if policy == "refuse" and dependents:
        raise _has_dependents(blast_radius(connection, selected), dependents)
    outside = {row["id"] for row in dependents}
    kept = _supporting(connection, selected, outside) if policy == "safe_only" else set()
    hidden = {row["id"] for row in rows if not row["visible"]}
    if hidden.issuperset(selected) and not quarantined(connection, selected):
        return Verdicts(selected)
    withdraw = {*selected, *outside} if policy == "cascade" else set(selected) - kept
    left, kept = outside - withdraw, set(selected) & kept
    return Verdicts(selected, tuple(sorted(withdraw)), left=tuple(sorted(left)), kept=tuple(sorted(kept)))


def _decide_redo(connection: Connection, selector: Mapping[str, Any], policy: str) -> Verdicts:
    (row,) = redo_target(connection, selector["operations"][0])
    return Verdicts((row["id"],), (row["id"],) if row["visible"] else ())


def _decide_quarantine(connection: Connection, selector: Mapping[str, Any], policy: str) -> Verdicts:
    rows = select(connection, Selector.from_dict(selector))
    selected = tuple(row["id"] for row in rows)
    left = tuple(row["id"] for row in find_dependents(connection, selected))
    return Verdicts(selected, tuple(row["id"] for row in rows if row["visible"]), left=left)


def _decide_release(connection: Connection, selector: Mapping[str, Any], policy: str) -> Verdicts:
    selected = tuple(row["id"] for row in select(connection, Selector.from_dict(selector)))
    return Verdicts(selected, bring_back=tuple(quarantined(connection, selected)))


def _decide_restore(connection: Connection, selector: Mapping[str, Any], policy: str) -> Verdicts:
    """The collection's operations as they were at a position; what was published later is hidden, not lost."""
    position, now = int(selector["position"]), log_position(connection)
    if not 0 <= position <= now:
        raise UsageError(f"Position {position} is not in the log: it goes from 0 to {now}.")
    known = set(writing_operations(connection, selector["collection"]))
    then, seen = visible_at(connection, position) & known, visible_at(connection, now) & known
    return Verdicts(tuple(sorted(then ^ seen)), tuple(sorted(seen - then)), tuple(sorted(then - seen)))


_DECISIONS = {
    "rollback": _decide_rollback,
    "redo": _decide_redo,
    "quarantine": _decide_quarantine,
    "release": _decide_release,
    "restore": _decide_restore,
}


def _supporting(connection: Connection, selected: Sequence[int], outside: set[int]) -> set[int]:
    """Of the selected, those that something outside was built on, over any number of hops."""
    if not outside:
        return set()
    given = {"operations": sorted(outside)}
    return {row["id"] for row in connection.execute(_SQL["supports"], given)} & set(selected)


def _radius_of(connection: Connection, position: int, verdicts: Verdicts, change: Changes) -> BlastRadius:
    selected = sorted({*verdicts.selected, *verdicts.withdraw})
    dependents = [
        row for row in find_dependents(connection, verdicts.selected) if row["id"] in {*verdicts.left, *selected}
    ]
    named = [i for i in selected if i not in {row["id"] for row in dependents}]
    touched = [*verdicts.withdraw, *verdicts.bring_back]
    operations = affected(connection, named, dependents)
    return BlastRadius(
        position=position, operations=operations, datasets=datasets(connection, touched), **_heads(change)
    )


def _check_revivals(connection: Connection, hides: list[int], shows: list[int]) -> None:
    """Whatever comes to be seen passes the test that publishing passes."""
    given = {"hide": hides, "show": shows}
    for row in connection.execute(_SQL["shadowed_revivals"], given) if shows else ():
        raise WriteConflict(
            f"{row['kind']} {row['key']}: operation {row['head_operation']} wrote it while operation {row['operation_id']} "
            f"was away. Take operation {row['head_operation']} back first.",
            **row,
        )
    for row in connection.execute(_SQL["unsupported_revivals"], given) if shows else ():
        raise InputWithdrawn(
            f"Operation {row['operation_id']} would come back, but operation {row['input_operation_id']}, which it was made "
            f"from ({row['class']}), is withdrawn. Redo that one first.",
            **row,
        )


def _heads(change: Changes) -> dict[str, Any]:
    return {
        "records": change.records,
        "revived": change.revived,
        "vanishing": change.vanishing,
        "sample": change.sample,
    }


def _why_empty(kind: str, verdicts: Verdicts) -> str:
    if not verdicts.selected:
        nothing = "All of it is as it was then" if kind == "restore" else "Nothing published matches"
    elif verdicts.kept:
        nothing = "All of it has dependents (safe_only)"
    else:
        nothing = "None of it is quarantined" if kind == "release" else "All of it is withdrawn already"
    return f"{nothing}; nothing was changed."


def _has_dependents(radius: BlastRadius, dependents: Sequence[Row]) -> HasDependents:
    named = ", ".join(f"{row['id']} ({row['class']} from {row['via']})" for row in dependents[:5])
    more = f" and {len(dependents) - 5} more" if len(dependents) > 5 else ""
    return HasDependents(
        f"{len(dependents)} operations were built on what you selected: {named}{more}. Nothing was changed. "
        "Select them too, or take them back with it: --policy cascade.",
        blast_radius=radius.to_dict(),
    )
