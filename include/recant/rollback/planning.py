"""Works out what a plan would do: which heads change, who is affected, what may not come back. Changes nothing."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from recant.artifacts import Artifact, holding
from recant.artifacts.payloads import NoPayloads, Payloads
from recant.errors import HasDependents, InputWithdrawn, UsageError, WriteConflict
from recant.oplog import Selector
from recant.oplog.identifiers import new_run_id
from recant.rollback.blast_radius import BlastRadius, Changes, affected, changes, datasets
from recant.rollback.decisions import DECISIONS, Verdicts, cascade, log_position
from recant.rollback.plan import DECIDED, POLICIES, Plan
from recant.rollback.possible import NAMED_ONLY, Reads
from recant.rollback.revival import find_revival, with_revived
from recant.rollback.targets import Dependents, Flips
from recant.store import Connection, load, numbers_text

_SQL = load(__package__, "rollback.sql")
_SEEN_THEN = _SQL["seen_then"]
NO_PAYLOADS = NoPayloads()


def work_out(
    connection: Connection, kind: str, selector: Mapping[str, Any], policy: str, agent: str, reads: Reads = NAMED_ONLY,
    *, payloads: Payloads = NO_PAYLOADS,
) -> Plan:  # fmt: skip
    """Today's answer. Raises HasDependents, WriteConflict, InputWithdrawn, PastHorizon, UnknownOperation, UsageError."""
    if policy not in POLICIES:
        raise UsageError(f"policy {policy!r}: must be one of {', '.join(POLICIES)}")
    position = log_position(connection)
    verdicts = DECISIONS[kind](connection, selector, policy, reads)
    if verdicts.refused:
        raise _has_dependents(blast_radius(connection, Selector.from_dict(selector), reads), verdicts.dependents)
    flipped = flips(connection, verdicts)
    change = changes(connection, flipped)
    revival = find_revival(connection, payloads)
    change = with_revived(connection, change, revival)
    if policy != "force" and kind != "restore":
        _check_revivals(connection, flipped)
    radius = _radius_of(connection, position, verdicts, change)
    return Plan(
        plan_id=str(uuid.UUID(int=new_run_id().int)),
        kind=kind,
        selector=dict(selector),
        policy=policy,
        position=position,
        **{name: getattr(verdicts, name) for name in DECIDED},
        consequences=change.digest,
        hides=tuple(flipped.hides),
        shows=tuple(flipped.shows),
        blast_radius=radius.to_dict(),
        agent=agent,
        include_possible=reads.include,
        possible_hops=reads.hops,
        message="" if verdicts.operations[0] or verdicts.records[0] else _why_empty(kind, verdicts),
        revival=revival,
    )


def blast_radius(connection: Connection, selector: Selector, reads: Reads = NAMED_ONLY) -> BlastRadius:
    """The selected operations and their visible dependents, and what would change without them and the definite ones."""
    verdicts = cascade(connection, selector, reads)
    change = changes(connection, flips(connection, verdicts))
    return _radius_of(connection, log_position(connection), verdicts, change)


def flips(connection: Connection, verdicts: Verdicts) -> Flips:
    """What would stop being seen, and what would be seen again."""
    operations, shows = verdicts.operations
    given = {"operations": numbers_text(operations), "shows": numbers_text(shows)}
    flipped = connection.execute(_SQL["flips"], given).fetchone()
    assert flipped is not None, "flipped_by answers with one row"
    control, shown = set(flipped["controls"]), set(flipped["shown"])
    records, record_shows = verdicts.records
    given = {
        "flipped": numbers_text(control),
        "flipped_shows": numbers_text(number in shown for number in control),
        "operations": numbers_text(r.operation_id for r in records),
        "records": numbers_text(r.record_id for r in records),
        "shows": numbers_text(record_shows),
    }
    pairs = connection.execute(_SQL["record_flips"], given).fetchall()
    writing = dict.fromkeys(flipped["hidden"], False) | dict.fromkeys(shown, True)
    for number in control:
        del writing[number]
    return Flips(writing, {(row["operation_id"], row["record_id"]): row["visible"] for row in pairs})


def _radius_of(connection: Connection, position: int, verdicts: Verdicts, change: Changes) -> BlastRadius:
    records = (*verdicts.selected_records, *verdicts.withdraw_records, *verdicts.bring_back_records)
    narrowed: dict[int, list[str]] = {}
    for record in sorted(set(records)):
        narrowed.setdefault(record.operation_id, []).append(record.source)
    # picked for one document, and perhaps possible as a whole: listed as both
    depending = {*verdicts.dependents.definite} | {*verdicts.dependents.possible}.difference(verdicts.selected)
    whole = {*verdicts.selected, *verdicts.withdraw, *verdicts.bring_back, *narrowed} - depending
    return BlastRadius(
        position=position,
        datasets=datasets(connection, [*verdicts.withdraw, *verdicts.bring_back, *narrowed]),
        artifacts=[_artifact(a) for a in holding(connection, [*verdicts.withdraw, *narrowed])],
        **affected(connection, whole, verdicts.dependents, narrowed),
        **_heads(change),
    )


def _artifact(artifact: Artifact) -> dict[str, Any]:
    names = ("artifact_id", "kind", "path", "format", "position", "collection", "state", "operation_id")
    return {name: getattr(artifact, name) for name in names}


def _check_revivals(connection: Connection, flipped: Flips) -> None:
    """Whatever comes to be seen passes the test that publishing passes. Asks about what `changes` has imagined."""
    if not flipped.shows_anything:
        return
    for row in connection.execute(_SQL["shadowed_revivals"].format(seen_then=_SEEN_THEN)):
        raise WriteConflict(
            f"{row['kind']} {row['key']}: operation {row['head_operation']} wrote it while operation {row['operation_id']} "
            f"was away. Take operation {row['head_operation']} back first.",
            **row,
        )
    for row in connection.execute(_SQL["unsupported_revivals"].format(seen_then=_SEEN_THEN)):
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
    elif verdicts.kept or verdicts.kept_records:
        nothing = "All of it has dependents (safe_only)"
    else:
        nothing = "None of it is quarantined" if kind == "release" else "All of it is withdrawn already"
    return f"{nothing}; nothing was changed."


def _has_dependents(radius: BlastRadius, dependents: Dependents) -> HasDependents:
    named = ", ".join(f"{d.operation_id} ({d.relation} from {d.via})" for d in dependents.named[:5])
    count = len(dependents.definite) + len(dependents.possible)
    more = f" and {count - 5} more" if count > 5 else ""
    built = "were built, or may have been," if dependents.possible else "were built"
    return HasDependents(
        f"{count} operations {built} on what you selected: {named}{more}. Nothing was changed. "
        "Select them too, or take them back with it: --policy cascade.",
        blast_radius=radius.to_dict(),
    )
