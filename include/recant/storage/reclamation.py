"""Reclaiming: payloads that nobody can be shown any more are freed, as the retention rules say. What is pinned, planned or
in use stays.

What may go is worked out and marked in one transaction, together with the new horizon; what was marked is deleted
afterwards, in short transactions beside writers. A crash in between leaves work for the next reclaim and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from recant.lineage import collection_dataset
from recant.oplog import Attribution
from recant.oplog.identifiers import new_run_id
from recant.settings import Settings
from recant.storage.expiry import Expiry
from recant.store import Database, Row, json_parameter, load

BATCH_VERSIONS = 500
BATCH_CHUNKS = 2_000
"""Freed in one transaction; a single document of more chunks is freed whole."""
SWEEP_EMBEDDINGS = 5_000
_SQL = load(__package__, "storage.sql")


@dataclass(frozen=True, slots=True)
class Reclamation:
    """What was freed, or (`dry_run`) would be."""

    dry_run: bool
    asked: int
    """The position that the horizon was to move to."""
    horizon: int
    """From here on every position can be answered; before it, tags only."""
    held_by: int | None
    """The open operation that kept the horizon from moving as far as asked."""
    message: str
    operation_id: int | None = None
    """None when nothing was to be reclaimed: the horizon has stayed then."""
    position: int | None = None
    versions: int = 0
    chunks: int = 0
    embeddings: int = 0
    orphans: int = 0
    """Of these embeddings, those that were there at the last reclaim, and that no chunk uses."""
    finished: int = 0
    """Versions that an earlier reclaim had marked, and that were freed now."""
    forgotten: int = 0
    """Rejections, gate results and dependencies of aborted operations older than the horizon."""
    rules: tuple[dict[str, Any], ...] = ()
    """What each rule came to: collection (None: what no rule covers), classification, history_days, operation_id (which
    set it), horizon, held_by, versions, chunks."""
    expired: tuple[Expiry, ...] = ()
    """Documents that were retired before, by rule."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        told = {"rules": list(self.rules), "expired": [expiry.to_dict() for expiry in self.expired]}
        return asdict(self) | told


def preview(database: Database, asked: int, expired: Sequence[Expiry] = ()) -> Reclamation:
    """What a reclaim would free now. Changes nothing."""
    found = _one(database, "preview_reclaim", {"asked": asked}) | _one(database, "preview_sweep", {})
    found |= {"rules": tuple(found["rules"]), "embeddings": found["embeddings"] + found["orphans"]}
    message = _said(found, asked, expired, dry_run=True)
    return Reclamation(dry_run=True, asked=asked, message=message, expired=tuple(expired), **found)


def reclaim(
    database: Database, settings: Settings, asked: int, attribution: Attribution, expired: Sequence[Expiry] = ()
) -> Reclamation:
    """Finishes what an earlier reclaim left, moves the horizon, and frees what is past it, or past a rule's."""
    finished, swept = _free_all(database), _sweep(database)
    marked = _one(database, "reclaim_versions", _given(settings, asked, attribution))
    freed = _free_all(database)
    forgotten = int(_one(database, "forget_aborted", {})["forgotten"])
    embeddings = finished["embeddings"] + freed["embeddings"] + swept
    report = Reclamation(
        dry_run=False,
        asked=asked,
        horizon=_horizon(database) if marked["control_id"] is None else marked["horizon"],
        held_by=marked["held_by"],
        message="",
        operation_id=marked["control_id"],
        position=marked["position"],
        versions=marked["versions"],
        chunks=marked["chunks"],
        embeddings=embeddings,
        orphans=swept,
        finished=finished["versions"],
        forgotten=forgotten,
        rules=tuple(marked["rules"]),
        expired=tuple(expired),
    )
    return replace(report, message=_said(report.to_dict(), asked, expired, dry_run=False))


def _given(settings: Settings, asked: int, attribution: Attribution) -> dict[str, Any]:
    return {
        "asked": asked,
        "agent": attribution.agent,
        "session": attribution.session,
        "run_id": attribution.run_id,
        "lineage_run_id": new_run_id(),
        "message": attribution.message,
        "parameters": json_parameter({"asked": asked}),
        "context": json_parameter(dict(attribution.context)),
        "namespace": collection_dataset(settings, "any")[0],
    }


def _free_all(database: Database) -> dict[str, int]:
    """Until nothing marked is left, a transaction a batch."""
    total = {"versions": 0, "chunks": 0, "embeddings": 0}
    while True:
        freed = _one(database, "free_reclaimed", {"versions": BATCH_VERSIONS, "chunks": BATCH_CHUNKS})
        if not freed["versions"]:
            return total
        total = {name: total[name] + freed[name] for name in total}


def _sweep(database: Database) -> int:
    """Embeddings older than the last reclaim that no chunk uses: of batches that were tried again, say."""
    after, deleted = 0, 0
    while True:
        row = _one(database, "sweep_embeddings", {"after": after, "limit": SWEEP_EMBEDDINGS})
        deleted += int(row["embeddings"])
        if row["last_id"] is None:
            return deleted
        after = int(row["last_id"])


def _horizon(database: Database) -> int:
    with database.transaction() as connection:
        row = connection.execute(_SQL["horizon"]).fetchone()
    return int(row["position"]) if row else 0


def _one(database: Database, query: str, given: dict[str, Any]) -> Row:
    with database.transaction() as connection:
        row = connection.execute(_SQL[query], given).fetchone()
    assert row is not None, f"{query} answers with one row"
    return row


def _said(report: Row | dict[str, Any], asked: int, expired: Sequence[Expiry], *, dry_run: bool) -> str:
    held = report["held_by"]
    why = (
        f" Open operation {held} was begun at an earlier position than {asked}, and holds the horizon back."
        if held
        else ""
    )
    verb = "would be" if dry_run else "are"
    retired = sum(expiry.documents for expiry in expired)
    first = f"{retired:,} documents have expired and {verb} retired. " if retired else ""
    if not report["versions"]:
        return f"{first}There is nothing to reclaim.{why}"
    return (
        f"{first}{report['versions']:,} versions with {report['chunks']:,} chunks {verb} reclaimed; "
        f"the horizon {'would be' if dry_run else 'is'} position {report['horizon']}.{why}"
    )
