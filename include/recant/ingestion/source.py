"""What a listing is made of. Keeps out how a source is opened (readers) and how it is found (listing)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One entry of a listing: cheap, and small enough to travel between tasks as a plain dict."""

    source: str
    """Steady name of the document, the record's key: absolute POSIX path, URL without credentials, `dist:NAME`."""
    locator: str
    """How to open it: absolute path, URL as given, or the name of a distribution."""
    origin: str
    """What it was found under, normalised: absolute path of a folder, glob or file, URL, `dist:*`, `dist:NAME`."""
    format: str
    """A key of `recant.ingestion.readers.formats.FORMATS`, or `auto` where only opening it tells."""
    size_bytes: int | None
    """None where only opening it tells."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> SourceItem:
        """The item that `to_dict` was made of."""
        return cls(**fields)
