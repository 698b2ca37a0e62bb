"""Metadata as it is found → the attributes of a document: known names, known types, and only what Postgres can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

from recant.ingestion.document import JSON, KNOWN_ATTRIBUTES, Attributes

SYNONYMS = {
    "date": "created_at",
    "created": "created_at",
    "published": "created_at",
    "updated": "updated_at",
    "modified": "updated_at",
    "last_modified": "updated_at",
    "lastmod": "updated_at",
    "tags": "topics",
    "keywords": "topics",
    "categories": "topics",
    "authors": "author",
    "lang": "language",
    "description": "summary",
    "abstract": "summary",
    "type": "doc_type",
    "homepage": "url",
}
"""What authors write in front matter and page headers → what it is called here. Records are taken at their word."""


class Repairs:
    """Makes text and JSON storable (no NUL, no lone surrogate, no NaN or infinity), and counts what that took."""

    def __init__(self) -> None:
        self.nuls = self.surrogates = 0

    def text(self, value: str) -> str:
        """Without NUL characters; a lone surrogate becomes U+FFFD."""
        if "\0" in value:
            self.nuls += value.count("\0")
            value = value.replace("\0", "")
        try:
            value.encode()
        except UnicodeEncodeError:
            whole = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
            self.surrogates += whole.count("\ufffd") - value.count("\ufffd")
            return whole
        return value

    def json(self, value: object) -> JSON:
        """The nearest JSON value: dates as ISO 8601, what JSON can't say as text, NaN and infinities as null."""
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.json(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.json(item) for item in value]
        return value.isoformat() if isinstance(value, date) else self.text(str(value))

    def noted(self) -> Attributes:
        """What was repaired, as an attribute; empty when nothing was."""
        counts: Attributes = {"nul_characters_removed": self.nuls, "lone_surrogates_replaced": self.surrogates}
        found: Attributes = {name: count for name, count in counts.items() if count}
        return {"repaired": found} if found else {}


def document_attributes(fields: Mapping[str, object], repairs: Repairs, *, synonyms: bool = False) -> Attributes:
    """Attributes from metadata fields. Known ones get the type that KNOWN_ATTRIBUTES promises; an unreadable date is
    kept as `NAME_as_given`; a known one without a value is left out. Free ones stay as they are.

    `synonyms` reads the field's other names too (SYNONYMS), where the proper one is absent.
    """
    attributes: Attributes = {}
    for field, value in fields.items():
        name = _proper_name(field, fields) if synonyms else field
        stored = repairs.json(value)
        if name not in KNOWN_ATTRIBUTES:
            attributes[repairs.text(str(name))] = stored
        elif stored not in (None, "", [], {}):
            attributes.update(_known(name, stored))
    return attributes


def iso_8601(text: str) -> str | None:
    """A date or time in ISO 8601, from ISO 8601, an e-mail's or a web header's form; None where it can't be read."""
    text = text.strip()
    try:
        datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        return text
    try:
        return parsedate_to_datetime(text).isoformat()
    except (TypeError, ValueError, IndexError):
        return None


def iso_from_timestamp(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def _proper_name(field: str, fields: Mapping[str, object]) -> str:
    plain = str(field).strip().lower().replace("-", "_").replace(" ", "_")
    name = SYNONYMS.get(plain, plain if plain in KNOWN_ATTRIBUTES else field)
    return field if name != field and name in fields else name


def _known(name: str, value: JSON) -> Attributes:
    if name == "topics":
        topics = _topics(value)
        return {"topics": topics} if topics else {}
    text = _one_line(value)
    if not name.endswith("_at"):
        return {name: text}
    when = iso_8601(text)
    return {name: when} if when else {f"{name}_as_given": value}


def _topics(value: JSON) -> list[JSON]:
    parts = value if isinstance(value, list) else str(value).split(",")
    return list(dict.fromkeys(text for part in parts if (text := _one_line(part).strip())))


def _one_line(value: JSON) -> str:
    if isinstance(value, list):
        return ", ".join(_one_line(item) for item in value)
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
