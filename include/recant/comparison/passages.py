"""A document as lines that can be compared, put together from its chunks without what two of them share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

VERBATIM = ("code", "table")
"""Types of chunks whose lines are kept as they are, and that never begin with the end of the one before."""
LONGEST_OVERLAP_CHARACTERS = 4000
_SEPARATOR = re.compile(r"\n\n| ")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+(?=\S)")


@dataclass(frozen=True, slots=True)
class Passage:
    """What of a chunk is compared."""

    text: str
    chunk_type: str = "text"
    parent_headers: tuple[str, ...] = ()


def document_lines(passages: Iterable[Passage]) -> list[str]:
    """The lines of a document: headings where they change, prose a sentence a line, code and tables as they are.

    A chunk that begins with the last sentences of the one before (the chunker's overlap) gives its own part only, and
    a paragraph that goes on over several chunks is one, so that a document cut anew at other places reads the same.
    """
    lines: list[str] = []
    before: Passage | None = None
    for passage in passages:
        if before is None or passage.parent_headers != before.parent_headers:
            lines += _heading(passage.parent_headers, first=not lines)
            before = None
        shared, continues = overlap(before, passage) if before else (0, False)
        own = list(_lines(passage, passage.text[shared:]))
        lines += own if continues else [*([""] if before else []), *own]
        before = passage
    return lines


def overlap(before: Passage, after: Passage) -> tuple[int, bool]:
    """How many characters at the beginning of a passage repeat the end of the one before; whether a paragraph goes on."""
    if before.chunk_type in VERBATIM or after.chunk_type in VERBATIM:
        return 0, False
    for found in reversed(list(_SEPARATOR.finditer(after.text, 0, LONGEST_OVERLAP_CHARACTERS))):
        repeated = after.text[: found.start()]
        if repeated and _ends_with(before.text, repeated):
            return found.end(), found.group() == " "
    return 0, False


def _ends_with(text: str, end: str) -> bool:
    """At a word's beginning: `cat.` is no repetition of the end of `a bobcat.`"""
    start = len(text) - len(end)
    return text.endswith(end) and (start == 0 or text[start - 1].isspace())


def _heading(headers: Sequence[str], *, first: bool) -> list[str]:
    named = [f"# {' > '.join(headers)}", ""] if headers else []
    return named if first else ["", *named]


def _lines(passage: Passage, text: str) -> Iterator[str]:
    for line in text.splitlines():
        if passage.chunk_type in VERBATIM:
            yield line
        else:
            yield from _SENTENCE_END.split(line)
