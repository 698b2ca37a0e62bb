"""What an ingest is asked for, and what it answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from recant.corpus import Citation
from recant.errors import UsageError

POLICIES = ("strict", "quarantine")


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """What to ingest, into which collection, and how strictly."""

    sources: tuple[str, ...]
    """Files, folders, globs, http(s) addresses, `dist:NAME`, `dist:*`."""
    collection: str
    policy: str = "strict"
    """What a critical finding of the gate does: `strict` aborts the operation, `quarantine` leaves those documents out."""
    chunk_tokens: int = 200
    """Longest chunk in tokens of the embedding model, its headers and special tokens included."""
    overlap_tokens: int = 30
    """How much of a text chunk its successor in the same section repeats."""
    retire_removed: bool = True
    """Whether documents that their origin no longer holds get a tombstone."""
    based_on: tuple[Citation, ...] = ()
    """What it was made from, in the knowledge base: chunk ids, and sources of documents in the collection."""

    suite: str | None = None
    """The file of the gate's suite of expectations; None: the default one."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise UsageError("Name at least one source: a file, a folder, a glob, an address, or dist:NAME.")
        if self.policy not in POLICIES:
            raise UsageError(f"policy {self.policy!r}: must be one of {', '.join(POLICIES)}")
        for item in self.based_on:
            if isinstance(item, bool) or not isinstance(item, (int, str)) or not item:
                raise UsageError(f"based_on: {item!r} is neither a chunk's id nor a document's source.")
        if not 0 <= self.overlap_tokens < self.chunk_tokens:
            raise UsageError(
                f"overlap_tokens ({self.overlap_tokens}) must be below chunk_tokens ({self.chunk_tokens}) and not negative"
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` is its inverse."""
        return asdict(self) | {"sources": list(self.sources), "based_on": list(self.based_on)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> IngestRequest:
        """Raises UsageError for what an ingest doesn't know."""
        if unknown := sorted(set(given) - {f.name for f in fields(cls)}):
            raise UsageError(f"unknown settings {unknown} in an ingest's request")
        lists = {name: tuple(given[name]) for name in ("sources", "based_on") if name in given}
        return cls(**{**given, **lists})


def citation(text: str) -> Citation:
    """As a person types it: digits are a chunk's id, all else is a source."""
    return int(text) if text.isascii() and text.isdecimal() else text


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of an ingest that was published, or held for its session."""

    operation_id: int
    position: int | None
    """Null while it is held."""
    documents: int
    """New versions written; unchanged and removed ones not counted."""
    unchanged: int
    removed: int
    chunks: int
    embedded: int
    """Texts whose vector was computed; the other chunks' were known."""
    reused: int
    rejected: list[dict[str, str]] = field(default_factory=list)
    """source, code, reason; the first 1,000."""
    rejected_count: int = 0
    gate: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    held: bool = False
    """Open, and seen in its session only, until the session is merged."""
    lease_until: datetime | None = None
    """When upkeep aborts it, where it is held and not merged by then."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, times in ISO 8601."""
        return asdict(self) | {"lease_until": self.lease_until.isoformat() if self.lease_until else None}
