"""Does what is seen follow from the log? Every check reads the whole database and says what differs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from recant.artifacts import Artifacts
from recant.rollback.certificate import replayed_digest, state_digest, visible_at
from recant.store import Connection, Database, load

_SQL = load(__package__, "rollback.sql")
NAMED = 20


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """All checks at one position."""

    ok: bool
    position: int
    checks: list[Check]
    digest: str
    records: dict[str, int]
    """By kind: seen now."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def verify_log(database: Database) -> VerifyReport:
    """Replays the log and compares it with what is visible; checks the hash chain, digests, order and parts.

    One snapshot, read-only; about a second for a million versions and each hundred thousand operations. Then the files of
    archives and exports are held against their checksums: a changed one fails, one that isn't on this machine is named.
    """
    with database.snapshot(on_primary=True) as connection:
        summary = connection.execute(_SQL["check_positions"]).fetchone()
        position = int(summary["position"]) if summary else 0
        digest, records = state_digest(connection, position)
        replayed = replayed_digest(connection, position)
        checks = [
            _gapless(summary or {}),
            _listed(connection, "check_chain", "hash chain", "entries whose link doesn't follow from the entry before"),
            _listed(
                connection,
                "check_digests",
                "content digests",
                "operations whose versions aren't those that were published",
            ),
            _verdicts(connection, position),
            _listed(
                connection,
                "check_history",
                "visibility history",
                "operations whose cached visibility isn't the last entry of its history",
            ),
            _listed(
                connection, "check_order", "version order", "records whose versions were published in another order"
            ),
            _listed(connection, "check_parts", "chunks", "document versions that lack chunks"),
            _listed(connection, "check_reclaimed", "horizon", "records that should be seen and were reclaimed"),
            Check(
                "replay",
                digest == replayed,
                "what is seen equals the log replayed" if digest == replayed else f"{digest} seen, {replayed} replayed",
            ),
            _orphans(connection),
        ]
    checks.append(_files(database))
    return VerifyReport(all(c.ok for c in checks), position, checks, digest, records)


def _gapless(summary: dict[str, Any]) -> Check:
    ok = summary.get("published", 0) == summary.get("position", 0) and summary.get("first") in (None, 1)
    return Check(
        "positions", ok, f"{summary.get('published', 0)} published, the last position is {summary.get('position', 0)}"
    )


def _listed(connection: Connection, query: str, name: str, meaning: str) -> Check:
    bad = [next(iter(row.values())) for row in connection.execute(_SQL[query])]
    return Check(name, not bad, f"{meaning}: {', '.join(map(str, bad))}" if bad else f"no {meaning}")


def _verdicts(connection: Connection, position: int) -> Check:
    replayed = visible_at(connection, position)
    cached = connection.execute(_SQL["hidden_operations"]).fetchone() or {"hidden": (), "seen": 0}
    withheld = {(row["operation_id"], row["record_id"]) for row in connection.execute(_SQL["withheld_records"])}
    wrong = sorted(replayed.hidden ^ set(cached["hidden"]) | {o for o, _ in replayed.withheld ^ withheld})[:20]
    return Check(
        "verdicts",
        not wrong,
        f"visibility doesn't follow from verdicts: {wrong}"
        if wrong
        else f"{cached['seen']} operations are seen, as verdicts say",
    )


def _files(database: Database) -> Check:
    changed: list[str] = []
    absent: list[str] = []
    for artifact in Artifacts(database).find():
        other, missing = artifact.damage()
        changed += other
        absent += missing
    told = f"not what was recorded: {', '.join(changed[:NAMED])}" if changed else "every file is as it was recorded"
    if absent:
        told += f"; not on this machine: {', '.join(absent[:NAMED])}"
    return Check("artifacts", not changed, told)


def _orphans(connection: Connection) -> Check:
    row = connection.execute(_SQL["count_orphan_embeddings"]).fetchone()
    count = row["orphans"] if row else 0
    return Check("embeddings", True, f"{count} embeddings that no chunk uses (harmless; kept for the next ingest)")
