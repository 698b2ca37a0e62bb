"""Bytes → text. Says which encoding it was, where that had to be guessed; rejects what is no text at all."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from recant.ingestion.document import LeftOut

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""In the order in which they must be tried: UTF-16's little-endian mark begins UTF-32's."""

_GUESSED_FROM_BYTES = 256 * 1024
_DECLARED_IN_HTML = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_CONTROL = bytes([*range(0x01, 0x09), *range(0x0E, 0x1B), *range(0x1C, 0x20)])
_MOST_CONTROL = 0.05
_WESTERN_SHARE = 0.2
_WESTERN_SIGNS = frozenset("–—‘’“”„…•€§°·«»©®™¡¿£×\xa0")


def marked_encoding(start: bytes) -> str | None:
    """The encoding that a byte order mark announces."""
    return next((name for mark, name in BYTE_ORDER_MARKS if start.startswith(mark)), None)


def decode(data: bytes, declared: str | None = None) -> tuple[str, str | None]:
    """Text with `\\n` line ends, and the encoding's name where it isn't UTF-8.

    Tried in this order: byte order mark, UTF-8, the `declared` one, a guess. Raises LeftOut `binary` (NUL bytes, or
    mostly control characters) and `encoding`.
    """
    marked = marked_encoding(data)
    if marked is None and _is_binary(data):
        raise binary()
    for name in (marked,) if marked else ("utf-8", _known_codec(declared)):
        if name and (text := _decoded(data, name)) is not None:
            return _checked(text), None if name.startswith("utf-8") else name
    if marked:
        raise LeftOut("encoding", f"it begins as {marked} and goes on as something else: save it as UTF-8")
    return _guessed(data)


def declared_in_html(data: bytes) -> str | None:
    """The charset of a page's `<meta>`, looked for in its first kilobyte as browsers do."""
    found = _DECLARED_IN_HTML.search(data[:1024])
    return found.group(1).decode("ascii") if found else None


def binary() -> LeftOut:
    """The rejection of content that is no text."""
    return LeftOut("binary", "it holds binary data, not text: convert it, or leave it out")


def _is_binary(data: bytes) -> bool:
    start = data[:65536]
    return b"\0" in data or len(start) - len(start.translate(None, _CONTROL)) > _MOST_CONTROL * len(start)


def _guessed(data: bytes) -> tuple[str, str]:
    if _is_western(data):
        return _checked(data.decode("cp1252")), "cp1252"
    best = from_bytes(data[:_GUESSED_FROM_BYTES]).best()
    if best is None:
        raise LeftOut("encoding", "its encoding can't be told: save it as UTF-8")
    text = _decoded(data, best.encoding)
    if text is None:
        raise LeftOut("encoding", f"it looks like {best.encoding}, but parts of it aren't: save it as UTF-8")
    return _checked(text), best.encoding


def _is_western(data: bytes) -> bool:
    """Mostly ASCII, and all else letters and signs of Western Europe: there statistics guess worse than this."""
    text = _decoded(data, "cp1252")
    if text is None:
        return False
    foreign = [sign for sign in text if not sign.isascii()]
    return len(foreign) <= _WESTERN_SHARE * len(text) and all(s.isalpha() or s in _WESTERN_SIGNS for s in set(foreign))


def _decoded(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (UnicodeError, LookupError):
        return None


def _known_codec(name: str | None) -> str | None:
    try:
        return codecs.lookup(name).name if name else None
    except (LookupError, ValueError):
        return None


def _checked(text: str) -> str:
    if "\0" in text:
        raise binary()
    return text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
