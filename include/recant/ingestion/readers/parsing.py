"""From raw document to structure: chooses the reader, and fills in title, kind and summary where nothing tells them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from recant.ingestion.document import Attributes, Block, LeftOut, ParsedDocument, RawDocument, Reading, Rejected
from recant.ingestion.readers.attributes import Repairs, iso_8601
from recant.ingestion.readers.text import read_text

READERS = {
    "markdown": "markdown:read_markdown",
    "rst": "rst:read_rst",
    "text": "text:read_text",
    "html": "html:read_html",
    "python": "python:read_python",
    "json": "text:read_json_text",
    "record": "text:read_record",
}
"""Module and function of each format's reader, imported with the first document of its kind: parsers are heavy, and most
tasks meet none or one of them."""
SUMMARY_CHARACTERS = 300

_TYPE_OF_FORMAT = {"python": "code", "record": "record", "json": "record"}
_TYPE_OF_NAME = (
    (re.compile(r"readme"), "readme"),
    (re.compile(r"changelog|changes|history|news|release[-_]?notes"), "changelog"),
)
_TYPE_OF_FOLDER = {
    **dict.fromkeys(("decisions", "adr", "adrs"), "decision"),
    **dict.fromkeys(("tutorial", "tutorials"), "tutorial"),
    **dict.fromkeys(("how-to", "howto", "guide", "guides"), "guide"),
    **dict.fromkeys(("reference", "api"), "reference"),
    "explanation": "explanation",
}
_NAMED_BY_FILE = ("python", "json")


def parse(raw: RawDocument) -> ParsedDocument | Rejected:
    """A document's structure. `Rejected` (`broken_pdf`, `encrypted`, `empty`) where there is none to be had.

    What a document says about itself yields to what `raw.attributes` say. A text that a reader can't cope with is read
    as plain text, and `parsed_as` says so.
    """
    try:
        reading = _read(raw)
    except LeftOut as left_out:
        return left_out.rejected(raw.source)
    repairs = Repairs()
    blocks = tuple(_storable(reading.blocks, repairs))
    if not blocks:
        return Rejected(raw.source, "there is no text in it: nothing to do, or look at how it was written", "empty")
    title, blocks = _titled(raw, reading, blocks)
    attributes = reading.attributes | repairs.noted() | raw.attributes
    return ParsedDocument(raw.source, raw.origin, raw.format, title, _completed(attributes, raw, blocks), blocks)


def _read(raw: RawDocument) -> Reading:
    if isinstance(raw.content, bytes):
        from recant.ingestion.readers.pdf import read_pdf

        return read_pdf(raw.content)
    reader = _reader(READERS[raw.format])
    try:
        return reader(raw.content)
    except Exception:  # whatever a third party's parser stumbles over, the text is still there
        return replace(read_text(raw.content), attributes={"parsed_as": "text"})


@cache
def _reader(name: str) -> Callable[[str], Reading]:
    module, _, function = name.partition(":")
    found: Callable[[str], Reading] = getattr(import_module(f"recant.ingestion.readers.{module}"), function)
    return found


def _storable(blocks: tuple[Block, ...], repairs: Repairs) -> Iterator[Block]:
    for block in blocks:
        text = repairs.text(block.text)
        if text.strip():
            yield block if text is block.text else replace(block, text=text)


def _titled(raw: RawDocument, reading: Reading, blocks: tuple[Block, ...]) -> tuple[str, tuple[Block, ...]]:
    """The title, and the blocks with it as outermost heading, unless it is only the name of a file."""
    given = raw.title or reading.title
    first = blocks[0]
    if first.kind == "heading" and first.level <= 1 and raw.format != "python":
        if not given or _repeats(first.text, given):
            return given or first.text, (replace(first, level=0), *blocks[1:])
    else:
        headings = (block.text for block in blocks if block.kind == "heading" and block.level == 1)
        shown = next(headings, None) if raw.format != "python" else None
        given = given or shown
    name = _name(raw.source)
    if given or raw.format in _NAMED_BY_FILE:
        return given or name, (Block("heading", given or name, level=0), *blocks)
    return name, blocks


def _repeats(heading: str, title: str) -> bool:
    plain, wanted = (re.sub(r"\W|_", "", text.casefold()) for text in (heading, title))
    return bool(wanted) and (wanted in plain or plain in wanted)


def _name(source: str) -> str:
    return PurePosixPath(urlsplit(source).path if "://" in source else source).name or source


def _completed(attributes: Attributes, raw: RawDocument, blocks: tuple[Block, ...]) -> Attributes:
    changed = attributes.get("modified_at") or iso_8601(str(attributes.get("last_modified", "")))
    found: Attributes = {"doc_type": _type(raw), "updated_at": changed, "summary": _summary(blocks)}
    return {name: value for name, value in found.items() if value} | attributes


def _type(raw: RawDocument) -> str:
    if raw.format in _TYPE_OF_FORMAT:
        return _TYPE_OF_FORMAT[raw.format]
    path = PurePosixPath(raw.source.lower().partition("#")[0])
    by_name = next((kind for pattern, kind in _TYPE_OF_NAME if pattern.match(path.stem)), None)
    by_folder = (_TYPE_OF_FOLDER[part] for part in reversed(path.parts[:-1]) if part in _TYPE_OF_FOLDER)
    return by_name or next(by_folder, "document")


def _summary(blocks: tuple[Block, ...]) -> str | None:
    """The first paragraph, on one line, cut at a word."""
    first = next((block.text for block in blocks if block.kind == "paragraph"), None)
    if first is None:
        return None
    text = " ".join(first[: SUMMARY_CHARACTERS * 8].split())
    if len(text) <= SUMMARY_CHARACTERS:
        return text
    return text[: SUMMARY_CHARACTERS - 1].rsplit(" ", 1)[0] + "…"
