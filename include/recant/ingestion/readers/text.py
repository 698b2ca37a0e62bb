"""Plain text: what stands between blank lines is a paragraph. Also the shape of records and of JSON files."""

from __future__ import annotations

import re

from recant.ingestion.document import Block, Reading

_BLANK_LINES = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+|\f")


def read_text(text: str) -> Reading:
    """Paragraphs, lines kept as they are."""
    return Reading(tuple(paragraphs(text)))


def read_record(text: str) -> Reading:
    """A record without a text field: `name: value` lines that belong together."""
    return Reading((Block("record", text.strip()),))


def read_json_text(text: str) -> Reading:
    """A pretty-printed JSON file."""
    return Reading((Block("code", text, language="json"),))


def paragraphs(text: str) -> list[Block]:
    """One block for each run of lines without a blank one between them."""
    return [Block("paragraph", part.strip()) for part in _BLANK_LINES.split(text) if part.strip()]
