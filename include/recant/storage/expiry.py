"""Expiry: documents that a retention rule gives only so long are retired, by an operation for each collection.

Retired is not destroyed: the operation can be taken back like any other, until its rule lets the history go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recant.errors import WriteConflict
from recant.json_types import JSON
from recant.lineage import collection_dataset
from recant.oplog import Attribution, Dataset, OperationLog
from recant.oplog.writing import write_at_once
from recant.settings import Settings
from recant.store import Database, Row, load

KIND = "expire_documents"
NAMED_SOURCES = 20
ATTEMPTS = 3
_SQL = load(__package__, "storage.sql")


@dataclass(frozen=True, slots=True)
class Expiry:
    """The documents of a collection that a rule retires, or (without an operation) would."""

    collection: str
    classification: str
    """The rule's; empty: the collection's own rule."""
    expire_days: int
    documents: int
    sources: tuple[str, ...]
    """The first of them, those published longest ago."""
    operation_id: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"sources": list(self.sources)}


def find_expired(database: Database) -> list[Expiry]:
    """What expires now, by collection and rule. Changes nothing."""
    with database.snapshot() as connection:
        found = connection.execute(_SQL["find_expired"], {"limit": NAMED_SOURCES}).fetchall()
    return [_expiry(row) for row in found]


def expire(database: Database, settings: Settings, attribution: Attribution) -> list[Expiry]:
    """Retires what has expired. What is written meanwhile is looked at again; raises WriteConflict where that goes on."""
    done: list[Expiry] = []
    for collection in sorted({expiry.collection for expiry in find_expired(database)}):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                done += _retire(database, settings, collection, attribution)
                break
            except WriteConflict:
                if attempt == ATTEMPTS:
                    raise
    return done


def _retire(database: Database, settings: Settings, collection: str, attribution: Attribution) -> list[Expiry]:
    found = [expiry for expiry in find_expired(database) if expiry.collection == collection]
    if not found:
        return []

    def write(operation_id: int, batch_id: int) -> dict[str, JSON]:
        given = {"collection": collection, "operation_id": operation_id, "batch_id": batch_id}
        with database.transaction() as connection:
            retired = connection.execute(_SQL["retire_expired"], given).fetchall()
            connection.execute(_SQL["block_expired"], given)
        return {"retired": len(retired)}

    namespace, name = collection_dataset(settings, collection)
    operation_id, _ = write_at_once(
        OperationLog(database),
        KIND,
        attribution,
        write,
        collection=collection,
        parameters={"rules": _rules(found)},
        datasets=[Dataset("input", namespace, name), Dataset("output", namespace, name)],
        batch="expiry",
    )
    return [_expiry(asdict(expiry) | {"operation_id": operation_id}) for expiry in found]


def _rules(found: Sequence[Expiry]) -> list[JSON]:
    return [{"classification": expiry.classification, "expire_days": expiry.expire_days} for expiry in found]


def _expiry(row: Row | dict[str, Any]) -> Expiry:
    return Expiry(**{**row, "sources": tuple(row["sources"])})
