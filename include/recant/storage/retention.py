"""Retention rules: how long what a collection holds of one class is kept. Versions under operations of kind `set_retention`."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from recant.corpus.document import canonical_json
from recant.errors import UnknownCollection, UsageError
from recant.json_types import JSON
from recant.lineage import collection_dataset
from recant.oplog import Attribution, Dataset, OperationLog
from recant.oplog.writing import write_at_once
from recant.settings import LONGEST_RETENTION_DAYS, Settings
from recant.store import Connection, Database, load

KIND = "set_retention"
CLASSES = ("public", "internal", "confidential")
"""What a document's attribute `classification` is known to say; every other document is of no class."""
_TOMBSTONE = hashlib.sha256(b"tombstone").digest()
_SQL = load(__package__, "storage.sql")


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """How long a collection's documents of one class are kept; what a rule leaves open, the collection's own rule says."""

    classification: str = ""
    """public, internal or confidential; empty: all documents whose class has no rule, and what isn't a document."""
    history_days: int | None = None
    """What was last seen so long ago is reclaimed. None: left open; in the end the installation's retention counts."""
    expire_days: int | None = None
    """A document that was published so long ago, and not since, is retired. None: left open; in the end it never is."""
    collection: str | None = None
    operation_id: int | None = None
    agent: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RetentionChange:
    """The operation that set or took away a rule."""

    operation_id: int
    position: int
    collection: str
    classification: str
    removed: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


class Retention:
    """The retention rules of one database. Safe to share between threads."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self._log = OperationLog(database)

    def rules(self, collection: str | None = None) -> list[RetentionRule]:
        """Those that stand, of one collection or (None) of all, by collection and class. Raises UnknownCollection."""
        with self.database.snapshot() as connection:
            if collection is not None:
                _collection_id(connection, collection)
            found = connection.execute(_SQL["retention_rules"], {"collection": collection}).fetchall()
        return [RetentionRule(**row) for row in found]

    def horizon(self, collection: str | None = None) -> int:
        """From here on every position of the collection can be answered; before it, tagged ones. Raises UnknownCollection."""
        with self.database.snapshot() as connection:
            given = {"collection_id": _collection_id(connection, self._named(collection))}
            row = connection.execute(_SQL["horizon_of"], given).fetchone()
        return int(row["position"]) if row else 0

    def set(
        self, rule: RetentionRule, attribution: Attribution, *, collection: str | None = None
    ) -> RetentionChange:  # fmt: skip
        """Sets the rule of a class, over the one there was. Counts from the next reclaim on, also for what is old already.

        An operation: reverted, the rule before it counts again; what was reclaimed meanwhile stays so. Raises UsageError,
        UnknownCollection.
        """
        _check(rule)
        content: dict[str, JSON] = {"history_days": rule.history_days, "expire_days": rule.expire_days}
        return self._write(rule.classification, content, self._named(collection), attribution)

    def unset(
        self, classification: str, attribution: Attribution, *, collection: str | None = None
    ) -> RetentionChange:  # fmt: skip
        """Takes a rule away. Raises UsageError when there is none."""
        named = self._named(collection)
        if classification not in {rule.classification for rule in self.rules(named)}:
            of = f'for the class "{classification}"' if classification else "for the whole collection"
            raise UsageError(f"{named} has no retention rule {of}: `recant retention list` shows them.")
        return self._write(classification, None, named, attribution)

    def _named(self, collection: str | None) -> str:
        return self.settings.collection if collection is None else collection

    def _write(
        self, classification: str, content: dict[str, JSON] | None, collection: str, attribution: Attribution
    ) -> RetentionChange:
        with self.database.transaction() as connection:
            collection_id = _collection_id(connection, collection)

        def write(operation_id: int, batch_id: int) -> dict[str, JSON]:
            given = {"collection_id": collection_id, "operation_id": operation_id, "batch_id": batch_id}
            with self.database.transaction() as connection:
                _add(connection, classification, content, given)
            return {"rules": 1}

        namespace, name = collection_dataset(self.settings, collection)
        operation_id, position = write_at_once(
            self._log,
            KIND,
            attribution,
            write,
            collection=collection,
            parameters={"classification": classification, "removed": content is None, **(content or {})},
            datasets=[Dataset("input", namespace, name), Dataset("output", namespace, name)],
            batch="rule",
        )
        return RetentionChange(operation_id, position, collection, classification, content is None)


def _add(
    connection: Connection, classification: str, content: dict[str, JSON] | None, given: dict[str, Any]
) -> None:  # fmt: skip
    key = f"class:{classification}"
    digest = _TOMBSTONE if content is None else hashlib.sha256(canonical_json([key, content])).digest()
    named = given | {"key": key, "tombstone": content is None, "content_hash": digest}
    connection.execute(_SQL["name_retention"], named)
    row = connection.execute(_SQL["add_retention"], named).fetchone()
    assert row is not None, "the record was named just now"
    if content is not None:
        rule = {"version_id": row["version_id"], "classification": classification}
        connection.execute(_SQL["add_retention_rule"], rule | content)


def _collection_id(connection: Connection, collection: str) -> int:
    known = "\0" not in collection
    row = connection.execute(_SQL["find_collection"], {"collection": collection}).fetchone() if known else None
    if row is None:
        raise UnknownCollection(f"There is no collection {collection!r}: `recant collections` lists them.")
    return int(row["id"])


def _check(rule: RetentionRule) -> None:
    if rule.classification not in ("", *CLASSES):
        raise UsageError(f"There is no class {rule.classification!r}: a rule is for {', '.join(CLASSES)}, or for all.")
    if rule.history_days is None and rule.expire_days is None:
        raise UsageError("Say how long the history is kept, or when documents expire: else the rule would say nothing.")
    for days, least, what in ((rule.history_days, 0, "A history is kept"), (rule.expire_days, 1, "Documents expire")):
        if days is not None and not least <= days <= LONGEST_RETENTION_DAYS:
            raise UsageError(f"{what} after {least} to {LONGEST_RETENTION_DAYS:,} days, not {days}.")
