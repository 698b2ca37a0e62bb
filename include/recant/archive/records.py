"""Restores what an archive holds besides documents: feedback, quality policies and pins, retention rules, search weights.

Under operations of the kinds that these have when they are first written, because scores and rules are read by them; they
are published with the restored documents, all or none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recant.archive.layout import RECORD_KINDS
from recant.archive.reader import ArchiveFile
from recant.corpus.document import canonical_json
from recant.errors import ArchiveDamaged
from recant.store import Connection, Database, load

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPERATIONS = {
    "feedback": ("feedback",),
    "set_policy": ("quality_policy", "quality_pin", "retention_rule"),
    "set_search_weights": ("search_weights",),
}
"""By kind of operation, the kinds of record that it writes."""
BLOCK_RECORDS = 500
BLOCK_ROWS = 1 << 14
_SQL = load(__package__, "archive.sql")
_SAID = ("chunk_index", "verdict", "comment", "given_by")
_TYPES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "feedback": {"source": str, "target_version_id": int, "target_operation_id": int, "chunk_index": int, "verdict": str,
                 "comment": str, "given_by": str},
    "quality_policy": {"doc_type": str, "half_life_days": (int, float, type(None)), "grace_days": (int, float), "floor": (int, float)},
    "quality_pin": {"source": str, "score": (int, float, type(None))},
    "retention_rule": {"classification": str, "history_days": (int, type(None)), "expire_days": (int, type(None))},
    "search_weights": {"method": str, "semantic_weight": (int, float, type(None))},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecordTarget:
    """Where records are restored to: an open operation's batch, beside that of the documents."""

    collection_id: int
    operation_id: int
    batch_id: int
    restored: int
    """The operation that restores the documents."""


def chosen_records(file: ArchiveFile, kinds: Sequence[str], operations: Sequence[int]) -> NDArray[np.int64]:
    """Rows of `records` of these kinds: what was seen, or, with operations, what these wrote."""
    count = file.rows.get("records", 0) if "records" in file.tables else 0
    found = [np.empty(0, np.int64)]
    for start in range(0, count, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, count)
        kept = (file.read("records", "payload", start, stop) == 0) & (
            file.read("records", "tombstone", start, stop) == 0
        )
        if operations:
            kept &= np.isin(file.read("records", "operation_id", start, stop), np.asarray(operations, np.int64))
        else:
            kept &= file.read("records", "seen", start, stop) == 1
        kept &= np.asarray([kind in kinds for kind in file.texts("records", "kind", start, stop)], np.bool_)
        found.append(start + np.flatnonzero(kept))
    return np.concatenate(found)


def restore_records(
    database: Database, file: ArchiveFile, target: RecordTarget, rows: NDArray[np.int64], documents: Mapping[int, bytes]
) -> dict[str, int]:  # fmt: skip
    """Writes these rows where the collection lacks them; how many, and how many are about nothing that is there.

    `documents`: content hashes of the file's documents by version id, for feedback to find what it is about. Raises
    ArchiveDamaged for content that can't be.
    """
    counts = {"records": 0, "homeless": 0}
    for start in range(0, len(rows), BLOCK_RECORDS):
        block = [
            _parsed(file, file.rows_of("records", row, row + 1)[0])
            for row in rows[start : start + BLOCK_RECORDS].tolist()
        ]
        with database.transaction() as connection:
            for kind in RECORD_KINDS:
                own = [row for row in block if row["kind"] == kind]
                for row, over in _lacking(connection, target, kind, own):
                    counts[_write(connection, target, row, over, documents)] += 1
    return counts


def hashes_of_documents(file: ArchiveFile) -> dict[int, bytes]:
    """By version id, the content hashes of the documents that a file holds with their payload."""
    found: dict[int, bytes] = {}
    for start in range(0, file.rows["documents"], BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, file.rows["documents"])
        hashes = file.read("documents", "content_hash", start, stop)
        ids = file.read("documents", "version_id", start, stop).tolist()
        found |= {version: row.tobytes() for version, row in zip(ids, hashes, strict=True)}
    return found


def _lacking(
    connection: Connection, target: RecordTarget, kind: str, rows: Sequence[dict[str, Any]]
) -> list[tuple[dict[str, Any], int | None]]:
    """Those whose heads say something else, or are none, each with the operation of its head."""
    given = {"collection_id": target.collection_id, "kind": kind, "keys": [row["source"] for row in rows]}
    heads = {head["key"]: head for head in connection.execute(_SQL["heads_of_records"], given)} if rows else {}
    found: list[tuple[dict[str, Any], int | None]] = []
    for row in rows:
        head = heads.get(row["source"])
        if head is None or bytes(head["content_hash"]) != row["content_hash"]:
            found.append((row, head["operation_id"] if head else None))
    return found


def _write(
    connection: Connection, target: RecordTarget, row: dict[str, Any], over: int | None, documents: Mapping[int, bytes]
) -> str:
    kind, content = row["kind"], dict(row["content"])
    where = {"collection_id": target.collection_id, "kind": kind, "key": row["source"]}
    if kind == "feedback":
        about = _about(connection, target, content, documents)
        if about is None:
            return "homeless"
        content |= about
    if kind == "quality_pin":
        connection.execute(_SQL["add_record"], where | {"kind": "document", "key": content["source"]})
    own = {
        "operation_id": target.operation_id,
        "batch_id": target.batch_id,
        "over": over,
        "content_hash": row["content_hash"],
    }
    connection.execute(_SQL["add_record"], where)
    added = connection.execute(_SQL["add_version"], where | own).fetchone()
    assert added is not None, "its record is there"
    connection.execute(
        _SQL[f"add_{kind}"], content | {"version_id": added["version_id"], "collection_id": target.collection_id}
    )
    return "records"


def _about(
    connection: Connection, target: RecordTarget, content: Mapping[str, Any], documents: Mapping[int, bytes]
) -> dict[str, Any] | None:
    digest = documents.get(content["target_version_id"])
    given = {
        "collection_id": target.collection_id,
        "source": content["source"],
        "content_hash": digest,
        "restored": target.restored,
    }
    return connection.execute(_SQL["target_of_feedback"], given).fetchone() if digest else None


def _parsed(file: ArchiveFile, row: dict[str, Any]) -> dict[str, Any]:
    """A row with its content understood; of feedback, held against its hash."""
    content = file.parsed(row["content"], "records/content")
    types = _TYPES[row["kind"]]
    if content.keys() != types.keys() or not all(isinstance(content[name], kind) for name, kind in types.items()):
        raise ArchiveDamaged(f"{file.path}: records/content has something that is no {row['kind']}.")
    if row["kind"] == "feedback":
        said = [content["source"], content["target_operation_id"], *(content[name] for name in _SAID)]
        if hashlib.sha256(canonical_json(said)).digest() != row["content_hash"]:
            raise ArchiveDamaged(f"{file.path}: records/content has feedback that isn't what was said.")
    return row | {"content": content}
