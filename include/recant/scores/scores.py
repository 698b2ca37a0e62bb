"""A chunk's score with its parts; recalculating those of a collection; checking that they are what they should be."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from recant.errors import UsageError
from recant.lineage import collection_dataset
from recant.oplog import Attribution, Dataset, OperationLog, refresh_projections
from recant.scores.rules import Pin, Policy, RuleChange, Rules
from recant.settings import Settings
from recant.store import Database, load

BASE = 50.0
KIND = "recalculate_quality"
LEASE_SECONDS = 3600.0
FOLDED_AT_ONCE = 5_000
"""Scores that are stored in one transaction, for which feedback may have to wait."""
_LARGEST_ID = 2**63 - 1
_SQL = load(__package__, "scores.sql")


@dataclass(frozen=True, slots=True)
class QualityScore:
    """One chunk's score as it is stored, and what it is made of: base + feedback + access + freshness, from 0 to 100."""

    chunk_id: int
    collection: str
    source: str
    document_id: int
    """The document's record."""
    chunk_index: int
    operation_id: int
    """The operation that wrote this version of the document."""
    score: float
    base: float
    feedback: float
    """-50 to 50."""
    access: float
    """-3 to 9: shown by searches, cited, asked again in other words."""
    freshness: float
    """0 and below: what age took."""
    pinned: bool
    """The score is the pin's, whatever the parts say."""
    holds_at: datetime | None
    """The time of the recalculation that access and freshness are of; None where the chunk is younger, or there was none."""
    recalculation: int | None
    """The operation that it was."""
    true_position: int
    """The position in the log up to which the stored scores are true."""
    words: tuple[dict[str, Any], ...]
    """Each agent's last word, which is what counts: given_by, verdict, operation_id, position."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        told = asdict(self) | {"words": list(self.words)}
        return told | {"holds_at": self.holds_at.isoformat() if self.holds_at else None}


@dataclass(frozen=True, slots=True)
class Recalculation:
    """What a recalculation came to."""

    operation_id: int
    position: int
    collection: str
    at: datetime
    """The time that its scores hold for."""
    scored: int
    """Chunks that aren't neutral."""
    changed: int
    """Scores that were written or removed."""
    seconds: float
    """Until its scores counted; storing them in their place goes on a little longer."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"at": self.at.isoformat(), "seconds": round(self.seconds, 3)}


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A score that isn't what the log says; None: neutral, no row."""

    chunk_id: int
    stored: float | None
    expected: float | None


class Scores:
    """The quality scores of one database. Safe to share between threads."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.rules = Rules(database, settings)
        self._log = OperationLog(database)

    def show(self, chunk_id: int) -> QualityScore:
        """A published chunk's score with its parts. Raises UsageError."""
        row = None
        if 0 < chunk_id <= _LARGEST_ID:
            with self.database.snapshot() as connection:
                row = connection.execute(_SQL["chunk_score"], {"chunk_id": chunk_id}).fetchone()
                words = connection.execute(_SQL["words_on"], {"chunk_id": chunk_id}).fetchall()
        if row is None:
            raise UsageError(f"There is no published chunk {chunk_id}: `recant search --json` shows each `chunk_id`.")
        for part in ("score", "feedback", "access", "freshness"):
            row[part] = round(row[part], 1)
        return QualityScore(**row, base=BASE, words=tuple(words))

    def recalculate(
        self, attribution: Attribution, *, collection: str | None = None, at: datetime | None = None
    ) -> Recalculation:
        """Works out the scores of a collection as of a time (now), and stores those that changed, as one operation.

        Beside whoever writes, searches or rolls back. If the operation is reverted, the scores are those of the
        recalculation before it. Raises UnknownCollection; UsageError for a time that is still to come.
        """
        started, moment = time.perf_counter(), _moment(at)
        name = self.named(collection)
        collection_id = self.rules.collection_id(name)
        self._clear_up(collection_id)
        operation_id = self._open(name, moment, attribution)
        try:
            drafted = self._draft(operation_id)
            published = self._publish(operation_id, drafted)
        except BaseException as error:
            self._log.abort(operation_id, f"{type(error).__name__}: {error}", failed=True)
            raise
        scored, changed = int(drafted["scored"]), int(published["changed"])
        seconds = time.perf_counter() - started
        self._fold(collection_id)
        return Recalculation(operation_id, int(published["position"]), name, moment, scored, changed, seconds)

    def refresh(self) -> None:
        """Makes good what a crash left out, right after a publish, a rollback or a recalculation. Else there is nothing to do."""
        refresh_projections(self.database)
        with self.database.transaction() as connection:
            unfinished = [row["collection_id"] for row in connection.execute(_SQL["scored_collections"])]
        for collection_id in unfinished:
            self._fold(collection_id)

    def check(self, collection: str | None = None, *, limit: int = 20) -> list[Disagreement]:
        """Scores that differ from those worked out from nothing; none, unless something went wrong. Changes nothing."""
        given = {"collection_id": self.rules.collection_id(self.named(collection)), "limit": limit}
        with self.database.snapshot() as connection:
            rows = connection.execute(_SQL["disagreements"], given).fetchall()
        return [Disagreement(row["chunk_id"], row["stored"], row["expected"]) for row in rows]

    def policies(self, collection: str | None = None) -> list[Policy]:
        """How documents age, by doc_type; none is set in the beginning, and then nothing ages. Raises UnknownCollection."""
        return self.rules.policies(self.named(collection))

    def pins(self, collection: str | None = None) -> list[Pin]:
        """What doesn't age, by source. Raises UnknownCollection."""
        return self.rules.pins(self.named(collection))

    def set_policy(self, policy: Policy, attribution: Attribution, *, collection: str | None = None) -> RuleChange:
        """An operation that can be taken back; counts from the next recalculation on. Raises UsageError."""
        return self.rules.set_policy(policy, self.named(collection), attribution)

    def unset_policy(self, doc_type: str, attribution: Attribution, *, collection: str | None = None) -> RuleChange:
        """Takes a policy away, from the next recalculation on. Raises UsageError when there is none."""
        return self.rules.unset_policy(doc_type, self.named(collection), attribution)

    def pin(
        self, source: str, attribution: Attribution, *, score: float | None = None, collection: str | None = None
    ) -> RuleChange:
        """Keeps a document from ageing, at once; with `score`, at that score whatever its readers say. Raises UsageError."""
        return self.rules.pin(source, score, self.named(collection), attribution)

    def unpin(self, source: str, attribution: Attribution, *, collection: str | None = None) -> RuleChange:
        """Takes a pin away. Raises UsageError when there is none."""
        return self.rules.unpin(source, self.named(collection), attribution)

    def named(self, collection: str | None) -> str:
        """The installation's collection where none is named."""
        return self.settings.collection if collection is None else collection

    def _open(self, collection: str, at: datetime, attribution: Attribution) -> int:
        with self.database.transaction() as connection:
            taken = connection.execute(_SQL["take_accesses"]).fetchone()
        assert taken is not None, "take_accesses answers with one row"
        namespace, name = collection_dataset(self.settings, collection)
        return self._log.open(
            KIND,
            attribution,
            collection=collection,
            parameters={"at": at.isoformat(), "access_until": taken["access_until"]},
            datasets=[Dataset("input", namespace, name), Dataset("output", namespace, name)],
            lease_seconds=LEASE_SECONDS,
        )

    def _draft(self, operation_id: int) -> dict[str, Any]:
        batch_id = self._log.begin_batch(operation_id, "scores", lease_seconds=LEASE_SECONDS)
        with self.database.transaction() as connection:
            drafted = connection.execute(_SQL["draft_quality"], {"operation_id": operation_id}).fetchone()
        assert drafted is not None, "draft_quality answers with one row"
        self._log.finish_batch(batch_id, {"scored": drafted["scored"], "changed": drafted["changed"]})
        return drafted

    def _publish(self, operation_id: int, drafted: dict[str, Any]) -> dict[str, Any]:
        given = {"operation_id": operation_id, "drafted_at": drafted["position"]}
        with self.database.transaction() as connection:
            published = connection.execute(_SQL["publish_quality"], given).fetchone()
        assert published is not None, "publish_quality answers with one row"
        return published

    def _fold(self, collection_id: int) -> None:
        """In short transactions, so that feedback waits for none of them long. Which scores count doesn't change by it."""
        last_chunk: int | None = 0
        while last_chunk is not None:
            given = {"collection_id": collection_id, "after": last_chunk, "at_most": FOLDED_AT_ONCE}
            with self.database.transaction() as connection:
                row = connection.execute(_SQL["fold_scores"], given).fetchone()
            last_chunk = row["last_chunk"] if row else None

    def _clear_up(self, collection_id: int) -> None:
        """What recalculations left that broke off."""
        with self.database.transaction() as connection:
            connection.execute(_SQL["forget_drafts"])
        self._fold(collection_id)


def _moment(at: datetime | None) -> datetime:
    now = datetime.now(UTC)
    moment = now if at is None else at if at.tzinfo else at.replace(tzinfo=UTC)
    if moment > now:
        raise UsageError(f"Scores can't hold for a time that is still to come ({moment.isoformat()}).")
    return moment
