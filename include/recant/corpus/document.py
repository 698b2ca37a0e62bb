"""What is appended for a document, and what a writer sees of it beforehand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recant.json_types import JSON


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A chunk whose embedding is stored already."""

    index: int
    embedding_id: int
    token_count: int
    chunk_type: str
    parent_headers: tuple[str, ...]
    text: str
    attributes: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A new version of a document, whole with its chunks."""

    source: str
    origin: str
    title: str | None
    format: str
    source_hash: bytes
    """sha256 of the content as it was read."""
    fingerprint: bytes
    """sha256 of the content, its attributes and the chunker's settings: equal means unchanged."""
    attributes: Mapping[str, JSON]
    chunks: tuple[ChunkRow, ...]
    over_operation_id: int | None
    """The operation whose version the writer saw as the head."""

    @property
    def content_hash(self) -> bytes:
        """sha256 over everything that is seen of this version: what digests are made of."""
        chunks = [[c.index, c.chunk_type, list(c.parent_headers), c.text, dict(c.attributes)] for c in self.chunks]
        seen = [self.source, self.title, self.format, dict(self.attributes), chunks]
        return hashlib.sha256(canonical_json(seen)).digest()


@dataclass(frozen=True, slots=True)
class Head:
    """The version of a record that a writer sees: the last visible one, or its session's own open one."""

    record_id: int
    version_id: int
    operation_id: int
    open: bool
    tombstone: bool
    fingerprint: bytes | None
    """Null for a tombstone."""


def canonical_json(value: Any) -> bytes:
    """The same bytes for equal values: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str).encode("utf-8")
