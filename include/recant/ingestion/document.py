"""A document's stations: raw, parsed, chunked, or rejected. Keeps out how it gets from one to the next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"
Attributes: TypeAlias = dict[str, JSON]

KNOWN_ATTRIBUTES = (
    "url",
    "author",
    "created_at",
    "updated_at",
    "doc_type",
    "topics",
    "audience",
    "complexity",
    "summary",
    "classification",
    "owner",
    "reviewed_by",
    "reviewed_at",
    "language",
)
"""Attributes of a document with a meaning of their own: strings when present, but `topics`, a list of strings.
The three ending in `_at` are ISO 8601. Every other key is free."""


@dataclass(frozen=True, slots=True)
class RawDocument:
    """Opened and decoded, not parsed: an unchanged document costs only this."""

    source: str
    origin: str
    format: str
    """Never `auto`, and of records (`json`, `jsonl`, `csv`) the format of their text."""
    title: str | None
    content: str | bytes
    """Bytes for PDF only; text has `\\n` line ends, no NUL and no lone surrogate."""
    content_hash: bytes
    """sha256 of the bytes as read; of a record, of its canonical JSON."""
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of a document's structure, as plain text."""

    kind: str
    """`heading`, `paragraph`, `code`, `table` (rows are lines, `| a | b |`), `list` (items start at column 0),
    `quote` or `record`."""
    text: str
    level: int = 0
    """Of a heading, 1 the outermost; 0 is the document's title."""
    language: str | None = None
    """Of code, as its author named it."""
    header_rows: int = 0
    """Of a table: how many of its first lines are repeated in every part when it has to be split."""
    attributes: Attributes = field(default_factory=dict)
    """`page`, `line_start` and `line_end` (1-based, inclusive), `symbol`, `links`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader found in a text: its blocks, and what the text says about itself."""

    blocks: tuple[Block, ...]
    title: str | None = None
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """What a document says, in order."""

    source: str
    origin: str
    format: str
    title: str
    attributes: Attributes
    """Always with `doc_type`; with `summary` where there is a paragraph to take it from."""
    blocks: tuple[Block, ...]
    """Never empty."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a document that is embedded, found and shown on its own."""

    index: int
    """0-based within the document."""
    text: str
    chunk_type: str
    """`text`, `code`, `table`, `list` or `record`: what most of its tokens are."""
    parent_headers: tuple[str, ...]
    """Outermost first. Long ones are cut and far ones left out, so that they take a third of the tokens at most."""
    token_count: int
    """Of `embedding_text`, as the embedding model counts."""
    attributes: Attributes

    @property
    def embedding_text(self) -> str:
        """What is embedded; its sha256 is the embedding's address."""
        return with_headers(self.parent_headers, self.text)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A document that was left out, and why.

    `code` is one of: missing, unreadable, unreachable, http_status, unsupported, empty, binary, encoding, too_large,
    broken_pdf, encrypted, broken_json, broken_csv, broken_record, duplicate, blocked.
    """

    source: str
    reason: str
    """What is wrong and what to do about it, in words."""
    code: str


class LeftOut(Exception):
    """Inside the readers: this document can't be taken. Never leaves the room; it becomes a `Rejected`."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason

    def rejected(self, source: str) -> Rejected:
        """The same, said of a source."""
        return Rejected(source, self.reason, self.code)


def with_headers(headers: Iterable[str], text: str) -> str:
    """The headers joined with ` > ` on a line before the text; without headers the text alone."""
    line = " > ".join(headers)
    return f"{line}\n{text}" if line else text
