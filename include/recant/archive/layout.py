"""What stands where in an archive: tables of columns, each column one or two HDF5 datasets (docs/reference/archive-format.md).

Keeps out how they are written and read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from recant.json_types import JSON

FORMAT: Final = "recant-archive"
VERSION: Final = 2
"""Of what is written. Version 1 lacks the table `records`, and is read as well."""
READ_VERSIONS: Final = (1, 2)
RECORD_KINDS: Final = ("feedback", "quality_policy", "quality_pin", "retention_rule", "search_weights")
"""Kinds of record in the table `records`, whose content is JSON."""

HASH_BYTES: Final = 32
PAYLOADS: Final = ("kept", "erased", "reclaimed")
"""What the column `payload` counts."""

_VERSION_OF_RECORD: Final = {
    "version_id": "i8",
    "record_id": "i8",
    "operation_id": "i8",
    "position": "i8",
    "over_operation_id": "i8",
    "seen": "u1",
    "tombstone": "u1",
    "payload": "u1",
    "content_hash": "hash",
    "source": "text",
}
TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "documents": {
        **_VERSION_OF_RECORD,
        "origin": "text",
        "title": "text",
        "has_title": "u1",
        "format": "text",
        "source_hash": "hash",
        "fingerprint": "hash",
        "attributes": "text",
        "token_count": "i8",
        "first_chunk": "i8",
        "chunk_count": "i4",
    },
    "chunks": {
        "chunk_id": "i8",
        "document": "i8",
        "index": "i4",
        "token_count": "i4",
        "chunk_type": "text",
        "parent_headers": "text",
        "text": "text",
        "attributes": "text",
        "vector": "i8",
    },
    "vectors": {"text_hash": "hash", "vector": "vector"},
    "watermarks": {**_VERSION_OF_RECORD, "document_count": "i8", "listing_hash": "hash", "state": "text"},
    "records": {**_VERSION_OF_RECORD, "kind": "text", "content": "text"},
    "operations": {
        "operation_id": "i8",
        "position": "i8",
        "seen": "u1",
        "control": "u1",
        "kind": "text",
        "agent": "text",
        "published_at": "text",
        "message": "text",
        "entry": "text",
        "chain": "hash",
    },
    "verdicts": {"control_id": "i8", "operation_id": "i8", "record_id": "i8", "shows": "u1"},
    "history": {"operation_id": "i8", "record_id": "i8", "from_position": "i8", "visible": "u1"},
    "dependencies": {
        "operation_id": "i8",
        "input_operation_id": "i8",
        "input_version_id": "i8",
        "version_id": "i8",
        "class": "text",
    },
}
"""By table, its columns: a numpy type; `hash` (n, 32) of bytes; `vector` (n, dimensions) of float16; `text`, which is two
datasets: the texts' UTF-8 one after the other, and NAME_offsets with n + 1 places where one begins."""
FILE_COLUMNS: Final[dict[str, JSON]] = {name: dict(columns) for name, columns in TABLES.items()}
"""The same for the log."""


def tables_of(version: int) -> dict[str, Mapping[str, str]]:
    """TABLES as a version of the format has them."""
    return {table: columns for table, columns in TABLES.items() if version > 1 or table != "records"}


def datasets(version: int = VERSION) -> Iterator[tuple[str, str, str]]:
    """(table, dataset, type) of every dataset of an archive."""
    for table, columns in tables_of(version).items():
        for name, kind in columns.items():
            if kind == "text":
                yield table, name, "u1"
                yield table, f"{name}_offsets", "i8"
            else:
                yield table, name, kind


def element_type(kind: str) -> str:
    """The numpy type of a dataset's elements, little-endian."""
    return {"hash": "|u1", "u1": "|u1", "vector": "<f2"}.get(kind, f"<{kind}")


def row_shape(kind: str, dimensions: int) -> tuple[int, ...]:
    """The shape of one row: () for numbers."""
    return {"hash": (HASH_BYTES,), "vector": (dimensions,)}.get(kind, ())
