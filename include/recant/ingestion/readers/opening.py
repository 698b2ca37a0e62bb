"""From a listing's item to raw documents. A whole file or page is held in memory one at a time, records one by one."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from recant.ingestion.document import Attributes, LeftOut, RawDocument
from recant.ingestion.readers.addresses import without_credentials
from recant.ingestion.readers.attributes import iso_from_timestamp
from recant.ingestion.readers.distributions import PREFIX, open_distribution
from recant.ingestion.readers.encoding import declared_in_html, decode
from recant.ingestion.readers.files import modified_at, open_file, read_whole, unreadable
from recant.ingestion.readers.formats import KNOWN_SUFFIXES, format_of_name, format_of_response
from recant.ingestion.readers.records import Opened, read_json, read_stream
from recant.ingestion.source import SourceItem

if TYPE_CHECKING:
    from recant.ingestion.readers.web import Page

STREAMED = ("jsonl", "csv")
VOLATILE_ATTRIBUTES = ("modified_at", "etag", "last_modified")
"""Set here from the file system and the web server: they change without the document changing."""


def open_documents(item: SourceItem, *, max_bytes: int, timeout_seconds: float = 30.0) -> Iterator[Opened]:
    """The documents of one item, opened and decoded: one of a file, page or distribution, one a record of JSON, JSONL
    and CSV. Whatever is wrong with one comes as a `Rejected` in its place; nothing is raised.

    `max_bytes` bounds a document; a JSONL or CSV file may be larger, its records may not. `timeout_seconds` bounds the
    fetching of a page as a whole.
    """
    try:
        if item.source.startswith(PREFIX):
            yield open_distribution(item, max_bytes)
        elif item.locator.startswith(("http://", "https://")):
            yield from _open_page(item, max_bytes, timeout_seconds)
        else:
            yield from _open_file(item, max_bytes)
    except LeftOut as left_out:
        yield left_out.rejected(item.source)
    except OSError as error:
        yield unreadable(item.locator, error).rejected(item.source)


def _open_file(item: SourceItem, max_bytes: int) -> Iterator[Opened]:
    kind = item.format if item.format != "auto" else format_of_name(item.locator)
    with open_file(item.locator) as file:
        if kind in STREAMED:
            yield from read_stream(item, file, kind, max_bytes)
            return
        changed: Attributes = {"modified_at": iso_from_timestamp(modified_at(file))}
        data = read_whole(file, max_bytes)
    yield from _documents(item, kind, data, changed)


def _open_page(item: SourceItem, max_bytes: int, timeout_seconds: float) -> Iterator[Opened]:
    from recant.ingestion.readers.web import fetch

    page = fetch(item.locator, max_bytes=max_bytes, timeout_seconds=timeout_seconds)
    kind = format_of_response(page.media_type, page.url)
    if kind is None:
        told = page.media_type or "no media type"
        raise LeftOut("unsupported", f"the server sends it as {told}: give the address of text, HTML, PDF or records")
    if kind in STREAMED:
        stream: BinaryIO = io.BytesIO(page.data)
        yield from read_stream(item, stream, kind, max_bytes)
        return
    yield from _documents(item, kind, page.data, _page_attributes(page), page.charset)


def _page_attributes(page: Page) -> Attributes:
    """`etag` and `last_modified` are kept for asking the server again whether anything changed."""
    told = {"url": without_credentials(page.url), "etag": page.etag, "last_modified": page.last_modified}
    return {name: value for name, value in told.items() if value}


def _documents(
    item: SourceItem, kind: str | None, data: bytes, attributes: Attributes, charset: str | None = None
) -> Iterator[Opened]:
    if kind is None:
        raise LeftOut("unsupported", f"its format is unknown; known are {KNOWN_SUFFIXES}: convert it")
    if not data.strip():
        raise LeftOut("empty", "it holds no text: nothing to do, or look at how it was written")
    if kind == "json":
        yield from read_json(item, data)
    elif kind == "pdf":
        yield _raw(item, kind, data, data, attributes)
    else:
        text, guessed = decode(data, charset or (declared_in_html(data) if kind == "html" else None))
        if not text.strip():
            raise LeftOut("empty", "it holds no text: nothing to do, or look at how it was written")
        encoding: Attributes = {"encoding": guessed} if guessed else {}
        yield _raw(item, kind, text, data, attributes | encoding)


def _raw(item: SourceItem, kind: str, content: str | bytes, data: bytes, attributes: Attributes) -> RawDocument:
    digest = hashlib.sha256(data).digest()
    return RawDocument(item.source, item.origin, kind, None, content, digest, attributes)
