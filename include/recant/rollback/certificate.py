"""Proof of a rollback: what is seen after it, beside what would be seen had the withdrawn never been published.

The two are worked out on different roads: one as searches read (visibility history, version ids), the other by telling
the story again from verdicts and positions alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from recant.rollback.targets import WHOLE, Target
from recant.store import Connection, Row, load, numbers_text

_SQL = load(__package__, "rollback.sql")

RESIDUE = (
    "Payloads stay on disk, in the write-ahead log and in backups until they are reclaimed; a redo brings them back."
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Digests are sha256 over each kind's record count and 128-bit sum of hashes, as hex."""

    operation_id: int
    position: int
    digest_before: str
    digest_after: str
    digest_expected: str
    verified: bool
    """Whether digest_after equals digest_expected."""
    kinds: dict[str, dict[str, Any]]
    """By kind: records before, after and expected."""
    withdrawn: list[int]
    withdrawn_records: list[dict[str, Any]]
    """Records of operations that were withdrawn alone: operation_id, record_id, source."""
    approved_by: str | None
    residue: str = RESIDUE

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def certify(connection: Connection, control: Row, approved_by: str | None) -> Certificate:
    """Compares the state before and after a control operation with the one that should be. Reads every visible version."""
    position, withdrawn = control["position"], control["parameters"].get("withdraw", [])
    before = _digests(connection.execute(_SQL["digest_as_seen"], {"position": position - 1}))
    after = _digests(connection.execute(_SQL["digest_as_seen"], {"position": position}))
    expected = _replayed(connection, visible_at(connection, position - 1, _said(control["parameters"])))
    kinds = sorted(before.keys() | after.keys() | expected.keys())
    counts = {
        k: {
            "before": before.get(k, (0, ""))[0],
            "after": after.get(k, (0, ""))[0],
            "expected": expected.get(k, (0, ""))[0],
        }
        for k in kinds
    }
    return Certificate(
        operation_id=control["id"],
        position=position,
        digest_before=_one(before),
        digest_after=_one(after),
        digest_expected=_one(expected),
        verified=after == expected,
        kinds=counts,
        withdrawn=withdrawn,
        withdrawn_records=control["parameters"].get("withdraw_records", []),
        approved_by=approved_by,
    )


@dataclass(frozen=True, slots=True)
class Visible:
    """What is seen at a position: all that was published until then, but for these operations and records of operations."""

    position: int
    hidden: set[int]
    withheld: set[Target]


def visible_at(connection: Connection, position: int, imagined: Mapping[Target, bool] | None = None) -> Visible:
    """Worked out from verdicts alone: latest first, so later words are settled. `imagined`: verdicts on top of all others."""
    given = {"position": position}
    said: dict[Target, bool] = dict(imagined or {})
    settled = {operation_id for operation_id, record_id in said if record_id == WHOLE}
    hidden = {operation_id for operation_id in settled if not said[operation_id, WHOLE]}
    verdicts = {row["control_id"]: row for row in connection.execute(_SQL["verdicts_until"], given)}
    records: dict[int, list[Row]] = {}
    for row in connection.execute(_SQL["record_verdicts_until"], given):
        records.setdefault(row["control_id"], []).append(row)
    for control in connection.execute(_SQL["controls_until"], given).fetchall():
        if control["id"] in hidden:
            continue
        words = verdicts.get(control["id"], {"shows": (), "hides": ()})
        hidden.update(set(words["hides"]) - settled)
        settled.update(words["shows"], words["hides"])
        for row in records.get(control["id"], ()):
            said.setdefault((row["operation_id"], row["record_id"]), row["shows"])
    return Visible(position, hidden, {target for target, shows in said.items() if target[1] != WHOLE and not shows})


def state_digest(connection: Connection, position: int) -> tuple[str, dict[str, int]]:
    """One digest of all that is seen at a position, and the number of records by kind."""
    digests = _digests(connection.execute(_SQL["digest_as_seen"], {"position": position}))
    return _one(digests), {kind: records for kind, (records, _) in digests.items()}


def replayed_digest(connection: Connection, position: int) -> str:
    """The same from verdicts and positions alone."""
    return _one(_replayed(connection, visible_at(connection, position)))


def _replayed(connection: Connection, visible: Visible) -> dict[str, tuple[int, str]]:
    given = {
        "position": visible.position,
        "hidden": numbers_text(visible.hidden),
        "without_operations": [operation_id for operation_id, _ in visible.withheld],
        "without_records": [record_id for _, record_id in visible.withheld],
    }
    return _digests(connection.execute(_SQL["digest_without"], given))


def _said(parameters: Mapping[str, Any]) -> dict[Target, bool]:
    """The verdicts of a control operation, as it noted them when it was applied."""
    said: dict[Target, bool] = {}
    for name, shows in (("withdraw", False), ("bring_back", True)):
        said |= {(operation_id, WHOLE): shows for operation_id in parameters.get(name, ())}
        said |= {(r["operation_id"], r["record_id"]): shows for r in parameters.get(f"{name}_records", ())}
    return said


def _digests(rows: Iterable[Row]) -> dict[str, tuple[int, str]]:
    return {row["kind"]: (row["records"], row["digest"]) for row in rows}


def _one(digests: Mapping[str, tuple[int, str]]) -> str:
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()
