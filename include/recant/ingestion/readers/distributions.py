"""Installed Python distributions as documents: the README in their metadata. Reads no other file of theirs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from email.message import Message
from importlib import metadata
from typing import cast

from recant.ingestion.document import Attributes, LeftOut, RawDocument
from recant.ingestion.readers.attributes import Repairs, document_attributes
from recant.ingestion.readers.files import too_large
from recant.ingestion.readers.formats import MEDIA_TYPES, markup_of
from recant.ingestion.source import SourceItem

PREFIX = "dist:"

_LONGEST_LICENSE_NAME = 100
_HOME_LABELS = ("homepage", "home", "home-page", "documentation", "docs", "source", "source code", "repository")


def canonical_name(name: str) -> str:
    """The one spelling of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> Iterator[str]:
    """Canonical names of all installed distributions in alphabetical order; one that is shadowed appears once."""
    names = (cast("str | None", entry.metadata["Name"]) for entry in metadata.distributions())
    yield from sorted({canonical_name(name) for name in names if name})


def open_distribution(item: SourceItem, max_bytes: int) -> RawDocument:
    """The README of an installed distribution. Raises LeftOut `missing`, `unreadable`, `empty` or `too_large`."""
    try:
        message = cast(Message, metadata.distribution(item.locator).metadata)
    except metadata.PackageNotFoundError as error:
        raise LeftOut("missing", "no such distribution is installed: check the name with `pip list`") from error
    except (OSError, UnicodeError) as error:
        raise LeftOut("unreadable", f"its metadata can't be read ({error}): install it again") from error
    data = (readme := _readme(message)).encode(errors="surrogatepass")
    if len(data) > max_bytes:
        raise too_large(len(data), max_bytes)
    repairs = Repairs()
    attributes = _attributes(message, repairs)
    content = repairs.text(readme).replace("\r\n", "\n").replace("\r", "\n")
    return RawDocument(
        source=item.source,
        origin=item.origin,
        format=_format(message, content),
        title=item.locator,
        content=content,
        content_hash=hashlib.sha256(data).digest(),
        attributes=attributes | repairs.noted(),
    )


def _readme(message: Message) -> str:
    body = message.get("Description") or message.get_payload()
    text = body if isinstance(body, str) else ""
    if not text.strip() or text.strip() == "UNKNOWN":
        raise LeftOut("empty", "its metadata holds no README: nothing can be done about it here")
    return text


def _format(message: Message, text: str) -> str:
    told = str(message.get("Description-Content-Type", "")).partition(";")[0].strip().lower()
    if told == "text/plain":
        return "text"
    return MEDIA_TYPES.get(told) or markup_of(text)


def _attributes(message: Message, repairs: Repairs) -> Attributes:
    fields: dict[str, object] = {
        "doc_type": "readme",
        "summary": message.get("Summary"),
        "author": message.get("Author") or _person(message.get("Author-email")),
        "url": _home(message),
        "topics": re.split(r"[,\s]+" if "," not in message.get("Keywords", "") else ",", message.get("Keywords", "")),
        "version": message.get("Version"),
        "license": _license(message),
    }
    told = {name: value for name, value in fields.items() if value and value != "UNKNOWN"}
    return document_attributes(told, repairs)


def _person(address: str | None) -> str | None:
    return re.sub(r"\s*<[^>]*>", "", address).strip() or address if address else None


def _home(message: Message) -> str | None:
    if home := message.get("Home-page"):
        return str(home)
    pairs = (entry.partition(",") for entry in message.get_all("Project-URL", []))
    urls = {label.strip().lower(): url.strip() for label, _, url in pairs}
    return next((urls[label] for label in _HOME_LABELS if label in urls), next(iter(urls.values()), None))


def _license(message: Message) -> str | None:
    named = message.get("License-Expression") or message.get("License") or ""
    first = named.strip().partition("\n")[0]
    if first and len(first) <= _LONGEST_LICENSE_NAME:
        return first
    classifiers = (entry for entry in message.get_all("Classifier", []) if entry.startswith("License ::"))
    return next((entry.rpartition(" :: ")[2] for entry in classifiers), None)
