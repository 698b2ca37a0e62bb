"""Erasing a document: the payload of every version of it is destroyed, at every position. It can't be undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from recant.errors import UnknownCollection, UsageError
from recant.lineage import collection_dataset
from recant.oplog import Attribution
from recant.oplog.identifiers import new_run_id
from recant.settings import Settings
from recant.store import Connection, Row, json_parameter, load

_SQL = load(__package__, "storage.sql")

STAYS = (
    "the log's entries, with the document's source, the times of its versions and sha256 hashes of their content",
    "recorded searches: who was shown it and when, without the words of the query",
    "the words of such queries in rollback plans stored before",
    "the write-ahead log, until it is recycled, and every backup",
    "the bytes in the data files, until VACUUM gives them back",
)
"""What an erasure doesn't reach."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was destroyed, for good. `applied` is false when there was nothing left to destroy; `message` says so."""

    source: str
    collection: str
    document_id: int
    applied: bool
    message: str
    operation_id: int | None = None
    """The erasure; of one that wasn't applied, the operation that erased the document before, if any did."""
    position: int | None = None
    versions: int = 0
    chunks: int = 0
    embeddings: int = 0
    shared_embeddings: int = 0
    """Left, because another document has the same text."""
    queries: int = 0
    """Recorded searches that showed the document, whose words are gone: they may quote it."""
    stays: tuple[str, ...] = STAYS
    files: tuple[dict[str, Any], ...] = ()
    """Archives and exports that hold the document still: artifact_id, kind, path. To be written again, or removed."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"stays": list(self.stays), "files": list(self.files)}


def erase_document(
    connection: Connection, settings: Settings, collection: str, source: str, attribution: Attribution
) -> Erasure:
    """Destroys the chunks, title, attributes and embeddings of every version, open operations' too, in one transaction.

    Versions, positions and hashes stay: as a head, an erased version shows its document as absent, never an older one.
    Raises UnknownCollection, and UsageError when the collection never held such a document or no reason is given.
    """
    if not attribution.message.strip():
        raise UsageError("Say why the document is erased: it can't be undone, and the reason is all that stays (-m).")
    document = find_document(connection, collection, source)
    given = _given(settings, collection, source, document["record_id"], attribution)
    done = connection.execute(_SQL["erase_document"], given).fetchone()
    forgotten = connection.execute(_SQL["forget_queries"], given).fetchone()
    files = tuple(connection.execute(_SQL["files_holding"], given))
    if done is None:
        by = document["erased_by"]
        message = f"{source} was erased before, by operation {by}" if by else f"Nothing of {source} is left to destroy"
        return Erasure(
            source, collection, document["record_id"], False, f"{message}; nothing was changed.", by, files=files
        )
    erasure = _erasure(source, collection, document["record_id"], done)
    return replace(erasure, files=files, queries=forgotten["forgotten"] if forgotten else 0)


def find_document(connection: Connection, collection: str, source: str) -> Row:
    """record_id, and erased_by: the last operation that erased it. Raises UnknownCollection, UsageError."""
    if "\0" in source or "\0" in collection:
        raise UsageError("A name holds no NUL characters.")
    if connection.execute(_SQL["find_collection"], {"collection": collection}).fetchone() is None:
        raise UnknownCollection(f'There is no collection "{collection}": `recant collections` lists them.')
    row = connection.execute(_SQL["find_document"], {"collection": collection, "source": source}).fetchone()
    if row is None:
        raise UsageError(
            f'The collection "{collection}" never held a document {source!r}: give its source as searches and '
            "`recant show` name it."
        )
    return row


def _given(
    settings: Settings, collection: str, source: str, record_id: int, attribution: Attribution
) -> Mapping[str, Any]:
    namespace, name = collection_dataset(settings, collection)
    return {
        "record_id": record_id,
        "agent": attribution.agent,
        "session": attribution.session,
        "run_id": attribution.run_id,
        "lineage_run_id": new_run_id(),
        "message": attribution.message,
        "parameters": json_parameter({"source": source, "document_id": record_id}),
        "context": json_parameter(dict(attribution.context)),
        "datasets": json_parameter([{"direction": "output", "namespace": namespace, "name": name}]),
    }


def _erasure(source: str, collection: str, record_id: int, done: Row) -> Erasure:
    message = f"Operation {done['control_id']}, position {done['position']}: {source} is erased at every position."
    return Erasure(
        source=source,
        collection=collection,
        document_id=record_id,
        applied=True,
        message=message,
        operation_id=done["control_id"],
        position=done["position"],
        versions=done["versions"],
        chunks=done["chunks"],
        embeddings=done["embeddings"],
        shared_embeddings=done["shared"],
    )
