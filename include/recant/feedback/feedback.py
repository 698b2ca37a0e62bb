"""One reader's word on one chunk, published at once."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from recant.corpus.document import canonical_json
from recant.errors import UsageError
from recant.lineage import collection_dataset
from recant.oplog import Attribution, Dataset, OperationLog
from recant.settings import Settings
from recant.store import Database, Row, load

NEGATIVE = ("outdated", "incorrect", "confusing", "duplicate")
VERDICTS = ("helpful", *NEGATIVE)
LONGEST_COMMENT = 4000
"""Characters."""
_LARGEST_ID = 2**63 - 1
_SQL = load(__package__, "feedback.sql")


@dataclass(frozen=True, slots=True)
class FeedbackReceipt:
    """What was stored."""

    operation_id: int
    position: int
    feedback: str
    """The feedback's own key, a UUID."""
    verdict: str
    document_id: int
    """The document's record."""
    source: str
    about_operation: int
    """The operation that wrote the chunk."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def submit_feedback(
    database: Database, settings: Settings, chunk_id: int, verdict: str, attribution: Attribution, *, comment: str = ""
) -> FeedbackReceipt:
    """Stores a verdict on a chunk as an operation of kind `feedback`, and publishes it.

    If the operation is reverted, the feedback doesn't count any more. It counts while the version that it is about is
    seen, and is nothing that a rollback of that version has to mind. Raises UsageError.
    """
    if verdict not in VERDICTS:
        raise UsageError(f"verdict {verdict!r}: must be one of {', '.join(VERDICTS)}")
    if len(comment) > LONGEST_COMMENT:
        raise UsageError(f"A comment has at most {LONGEST_COMMENT} characters, this one has {len(comment)}.")
    target = _target(database, chunk_id)
    log, key = OperationLog(database), str(uuid.uuid4())
    namespace, name = collection_dataset(settings, target["collection"])
    operation_id = log.open(
        "feedback",
        attribution,
        collection=target["collection"],
        parameters={"chunk_id": chunk_id, "verdict": verdict, "source": target["source"]},
        datasets=[Dataset("input", namespace, name), Dataset("output", namespace, name)],
    )
    try:
        _write(log, operation_id, key, target, verdict, comment.replace("\x00", ""), attribution.agent)
        (position,) = log.publish(operation_id)
    except BaseException as error:
        log.abort(operation_id, f"{type(error).__name__}: {error}", failed=True)
        raise
    return FeedbackReceipt(
        operation_id, position, key, verdict, target["record_id"], target["source"], target["operation_id"]
    )


def _target(database: Database, chunk_id: int) -> Row:
    if not 0 < chunk_id <= _LARGEST_ID:
        raise UsageError(f"There is no chunk {chunk_id}: `recant search --json` shows each hit's `chunk_id`.")
    with database.transaction() as connection:
        row = connection.execute(_SQL["chunk_of"], {"chunk_id": chunk_id}).fetchone()
    if row is None or row["life"] != "published":
        raise UsageError(f"There is no published chunk {chunk_id}: `recant search --json` shows each hit's `chunk_id`.")
    return row


def _write(
    log: OperationLog, operation_id: int, key: str, target: Row, verdict: str, comment: str, given_by: str
) -> None:
    batch_id = log.begin_batch(operation_id, "feedback")
    said = {"chunk_index": target["chunk_index"], "verdict": verdict, "comment": comment, "given_by": given_by}
    content = [target["source"], target["operation_id"], *said.values()]
    version = {
        "key": key,
        "operation_id": operation_id,
        "batch_id": batch_id,
        "content_hash": hashlib.sha256(canonical_json(content)).digest(),
        "target_record_id": target["record_id"],
    }
    about = {"target_version_id": target["version_id"], "target_operation_id": target["operation_id"]}
    with log.database.transaction() as connection:
        added = connection.execute(_SQL["add_feedback"], version).fetchone()
        assert added is not None, "a new key is a new record"
        connection.execute(_SQL["add_feedback_content"], version | about | said | added)
    log.finish_batch(batch_id, {"feedback": 1})
