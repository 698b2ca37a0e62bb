"""How documents age, and which don't: policies and pins, versions under operations of kind `set_policy`."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from typing import Any

from recant.corpus.document import canonical_json
from recant.errors import UnknownCollection, UsageError
from recant.json_types import JSON
from recant.lineage import collection_dataset
from recant.oplog import Attribution, Dataset, OperationLog
from recant.settings import Settings
from recant.store import Connection, Database, load

DEFAULT_FLOOR = 25.0
LONGEST_DAYS = 1_000_000.0
NEUTRAL = 50.0
_TOMBSTONE = hashlib.sha256(b"tombstone").digest()
_SQL = load(__package__, "scores.sql")


@dataclass(frozen=True, slots=True)
class Policy:
    """How documents of one type age: above the floor, what is left halves in `half_life_days`, once the grace is over."""

    doc_type: str
    """Empty: all those without a policy of their own."""
    half_life_days: float | None
    """None: they don't age."""
    grace_days: float = 0.0
    floor: float = DEFAULT_FLOOR
    """0 to 50: what age alone comes to in the end."""
    operation_id: int | None = None
    agent: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Pin:
    """A document that doesn't age; with a score, one that keeps it, whatever its readers say."""

    source: str
    score: float | None
    operation_id: int
    agent: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RuleChange:
    """The operation that set or took away a policy or a pin."""

    operation_id: int
    position: int
    collection: str
    what: str
    """`policy` or `pin`."""
    key: str
    """The doc_type or the source."""
    removed: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Draft:
    what: str
    key: str
    content: dict[str, JSON] | None
    target_record_id: int | None = None

    @property
    def kind(self) -> str:
        return f"quality_{self.what}"

    @property
    def record_key(self) -> str:
        return f"{self.what}:{self.key}"


class Rules:
    """The policies and pins of one database."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    def policies(self, collection: str) -> list[Policy]:
        """Those set now, by doc_type. Raises UnknownCollection."""
        given = {"collection_id": self.collection_id(collection)}
        with self.database.snapshot() as connection:
            return [Policy(**row) for row in connection.execute(_SQL["policies"], given)]

    def pins(self, collection: str) -> list[Pin]:
        """Those set now, by source. Raises UnknownCollection."""
        given = {"collection_id": self.collection_id(collection)}
        with self.database.snapshot() as connection:
            return [Pin(**row) for row in connection.execute(_SQL["pins"], given)]

    def set_policy(self, policy: Policy, collection: str, attribution: Attribution) -> RuleChange:
        """Counts from the next recalculation on. Raises UsageError, UnknownCollection."""
        _check(policy)
        content: dict[str, JSON] = {
            "half_life_days": policy.half_life_days,
            "grace_days": policy.grace_days,
            "floor": policy.floor,
        }
        return self._write(_Draft("policy", policy.doc_type, content), collection, attribution)

    def unset_policy(self, doc_type: str, collection: str, attribution: Attribution) -> RuleChange:
        """Takes a policy away. Raises UsageError when there is none."""
        if doc_type not in {policy.doc_type for policy in self.policies(collection)}:
            named = f'for doc_type "{doc_type}"' if doc_type else "for the whole collection"
            raise UsageError(f"{collection} has no policy {named}: `recant quality policy list` shows them.")
        return self._write(_Draft("policy", doc_type, None), collection, attribution)

    def pin(self, source: str, score: float | None, collection: str, attribution: Attribution) -> RuleChange:
        """Counts at once, for every version of the document. Raises UsageError, UnknownCollection."""
        if score is not None and not 0 <= score <= 100:
            raise UsageError(f"A score is from 0 to 100, not {score}.")
        given = {"collection_id": self.collection_id(collection), "source": source}
        with self.database.transaction() as connection:
            row = connection.execute(_SQL["document_named"], given).fetchone()
        if row is None or not row["present"]:
            raise UsageError(f'There is no document "{source}" in {collection}: searches show each hit\'s source.')
        return self._write(_Draft("pin", source, {"score": score}, row["id"]), collection, attribution)

    def unpin(self, source: str, collection: str, attribution: Attribution) -> RuleChange:
        """Takes a pin away. Raises UsageError when there is none."""
        if source not in {pin.source for pin in self.pins(collection)}:
            raise UsageError(f'"{source}" is not pinned in {collection}: `recant quality pins` shows what is.')
        return self._write(_Draft("pin", source, None), collection, attribution)

    def collection_id(self, collection: str) -> int:
        """Raises UnknownCollection."""
        with self.database.transaction() as connection:
            row = connection.execute(_SQL["collection_of"], {"collection": collection}).fetchone()
        if row is None:
            raise UnknownCollection(f'There is no collection "{collection}": `recant collections` lists them.')
        return int(row["id"])

    def _write(self, draft: _Draft, collection: str, attribution: Attribution) -> RuleChange:
        log, collection_id = OperationLog(self.database), self.collection_id(collection)
        namespace, name = collection_dataset(self.settings, collection)
        operation_id = log.open(
            "set_policy",
            attribution,
            collection=collection,
            parameters={draft.what: draft.key, "removed": draft.content is None, **(draft.content or {})},
            datasets=[Dataset("input", namespace, name), Dataset("output", namespace, name)],
        )
        try:
            batch_id = log.begin_batch(operation_id, "rule")
            given = {"collection_id": collection_id, "operation_id": operation_id, "batch_id": batch_id}
            with self.database.transaction() as connection:
                _add(connection, draft, given)
            log.finish_batch(batch_id, {"rules": 1})
            (position,) = log.publish(operation_id)
        except BaseException as error:
            log.abort(operation_id, f"{type(error).__name__}: {error}", failed=True)
            raise
        return RuleChange(operation_id, position, collection, draft.what, draft.key, draft.content is None)


def _add(connection: Connection, draft: _Draft, given: dict[str, Any]) -> None:
    named = given | {"kind": draft.kind, "key": draft.record_key}
    connection.execute(_SQL["name_rule"], named)
    content = draft.content
    digest = _TOMBSTONE if content is None else hashlib.sha256(canonical_json([draft.record_key, content])).digest()
    row = connection.execute(
        _SQL["add_rule"], named | {"tombstone": content is None, "content_hash": digest}
    ).fetchone()
    assert row is not None, "the record was named just now"
    if content is not None:
        told = content | {"version_id": row["version_id"], "doc_type": draft.key}
        told["target_record_id"] = draft.target_record_id
        connection.execute(_SQL[f"add_{draft.what}"], told)


def _check(policy: Policy) -> None:
    half_life = policy.half_life_days
    if half_life is not None and not (math.isfinite(half_life) and 0 < half_life <= LONGEST_DAYS):
        raise UsageError(f"A half-life is more than 0 and at most {LONGEST_DAYS:,.0f} days, not {half_life}.")
    if not (math.isfinite(policy.grace_days) and 0 <= policy.grace_days <= LONGEST_DAYS):
        raise UsageError(f"A grace is from 0 to {LONGEST_DAYS:,.0f} days, not {policy.grace_days}.")
    if not 0 <= policy.floor <= NEUTRAL:
        raise UsageError(f"A floor is from 0 to {NEUTRAL:.0f}, the score of a chunk of which nobody spoke.")
    if len(policy.doc_type) > 200 or "\x00" in policy.doc_type:
        raise UsageError("A doc_type has at most 200 characters.")
