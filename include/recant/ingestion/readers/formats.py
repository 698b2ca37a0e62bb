"""Which format a document is in: by file name, by media type, or by the look of its text. Opens nothing."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import urlsplit

FORMATS: dict[str, tuple[str, ...]] = {
    "markdown": (".md", ".markdown"),
    "rst": (".rst",),
    "text": (".txt", ".text"),
    "html": (".html", ".htm", ".xhtml"),
    "pdf": (".pdf",),
    "python": (".py", ".pyi"),
    "json": (".json",),
    "jsonl": (".jsonl", ".ndjson"),
    "csv": (".csv", ".tsv"),
}
"""Format → suffixes of file names, in lower case."""

MEDIA_TYPES = {
    "text/markdown": "markdown",
    "text/x-markdown": "markdown",
    "text/x-rst": "rst",
    "text/prs.fallenstein.rst": "rst",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "text/x-python": "python",
    "application/json": "json",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
}
UNTOLD_MEDIA_TYPES = ("", "text/plain", "application/octet-stream", "binary/octet-stream")
"""Media types under which servers send anything: the name says more."""

KNOWN_SUFFIXES = ", ".join(suffix for suffixes in FORMATS.values() for suffix in suffixes)

_BADGE = re.compile(r"badge|shields\.io|\.svg(?:$|\?)", re.IGNORECASE)
_FORMAT_OF_SUFFIX = {suffix: name for name, suffixes in FORMATS.items() for suffix in suffixes}
_MARKDOWN = re.compile(r"^#{1,6} \S|^```|^\s*[-*] \[|\]\(https?://|^\*\*[^*]+\*\*", re.MULTILINE)
_RST = re.compile(r"^\.\. |^([=\-~^\"'#*+`])\1{3,}\s*$|::\s*$|``[^`]+``|`_(?:\W|$)", re.MULTILINE)
_STRONG_MARKDOWN = re.compile(r"^#{1,6} \S|^```|\]\(https?://", re.MULTILINE)


def format_of_name(name: str) -> str | None:
    """The format that a file's name or a URL's path announces; None for an unknown one."""
    return _FORMAT_OF_SUFFIX.get(PurePosixPath(name).suffix.lower())


def format_of_response(media_type: str, url: str) -> str | None:
    """The format of a web page, from its media type (without parameters) and its address."""
    known = MEDIA_TYPES.get(media_type)
    if known or media_type not in UNTOLD_MEDIA_TYPES:
        return known
    by_name = format_of_name(urlsplit(url).path)
    return by_name or ("text" if media_type == "text/plain" else None)


def is_badge(image_url: str) -> bool:
    """Whether an image, by its address, only shows a state (build, version, coverage) and says nothing in words."""
    return _BADGE.search(image_url) is not None


def markup_of(text: str) -> str:
    """`markdown`, `rst` or `text`, by the look of a text that nobody named a format for."""
    if _STRONG_MARKDOWN.search(text):
        return "markdown"
    if _RST.search(text):
        return "rst"
    return "markdown" if _MARKDOWN.search(text) else "text"
