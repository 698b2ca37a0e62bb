"""Cuts a text that is too long at its most natural edges. Knows kinds of text, not documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

Edge: TypeAlias = "re.Pattern[str]"
"""Where a text may be cut: at the end of each match."""

MAX_CHARACTERS_PER_TOKEN = 10
"""A longer text counts as too long without being counted: WordPiece takes a word of a megabyte for one token."""

_CODE_GROUP = re.compile(r"\n[^\S\n]*\n(?=\S)")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_PROMPT = re.compile(r"\n(?=>>> \S)")
_LINE = re.compile(r"\n")
_ITEM = re.compile(r"\n(?=\S)")
_SENTENCE = re.compile(r"""[.!?…]['")\]*_”’»]*\s+|[。！？]|\n\s*\n""")
_WORD = re.compile(r"\s+")

EDGES: dict[str, tuple[Edge, ...]] = {
    "code": (_CODE_GROUP, _BLANK_LINE, _PROMPT, _LINE, _WORD),
    "table": (_LINE, _WORD),
    "list": (_ITEM, _LINE, _SENTENCE, _WORD),
    "record": (_LINE, _SENTENCE, _WORD),
    "text": (_SENTENCE, _WORD),
}
"""Kind of text → where to cut it, best first; between characters when nothing else helps."""


class Ruler:
    """Measures texts in tokens, without the special ones that a model puts around each."""

    def __init__(self, count_tokens: Callable[[str], int]) -> None:
        self.count = count_tokens
        self.special_tokens = count_tokens("")

    def size(self, text: str, limit: int) -> int:
        """Tokens of a text; more than `limit` for one too long to be worth counting."""
        if len(text) > limit * MAX_CHARACTERS_PER_TOKEN:
            return limit + 1
        return self.count(text) - self.special_tokens


def split(text: str, edges: Sequence[Edge], limit: int, ruler: Ruler) -> Iterator[tuple[str, int]]:
    """Parts with their sizes, at most `limit` tokens each, as few as filling them in order gives; joined they are the
    text. A size is the sum of what the part was put together from.

    A part is cut at a worse edge only when nothing shorter can be had at a better one.
    """
    if not edges:
        yield from _split_characters(text, limit, ruler)
        return
    gathered, gathered_size = "", 0
    for part in _parts(text, edges[0]):
        size = ruler.size(part, limit)
        fits = gathered_size + size <= limit and len(gathered) + len(part) <= limit * MAX_CHARACTERS_PER_TOKEN
        if gathered and not fits:
            yield gathered, gathered_size
            gathered, gathered_size = "", 0
        if size > limit:
            yield from split(part, edges[1:], limit, ruler)
        else:
            gathered, gathered_size = gathered + part, gathered_size + size
    if gathered:
        yield gathered, gathered_size


def split_table(text: str, header_rows: int, limit: int, ruler: Ruler) -> Iterator[tuple[str, int]]:
    """Parts of a table, cut between rows, each beginning with the header; a header over half the limit stays put."""
    lines = text.split("\n")
    header = "".join(f"{line}\n" for line in lines[:header_rows])
    size = ruler.size(header, limit) if header else 0
    if not 0 < size <= limit // 2 or len(lines) == header_rows:
        yield from split(text, EDGES["table"], limit, ruler)
        return
    for rows, rows_size in split("\n".join(lines[header_rows:]), EDGES["table"], limit - size, ruler):
        yield header + rows, size + rows_size


def last_sentences(text: str, limit: int, ruler: Ruler) -> str:
    """The end of a text, `limit` tokens at most: whole sentences, or words where the last sentence is longer."""
    tail = text[-limit * MAX_CHARACTERS_PER_TOKEN :]
    by_sentence = _tail(list(_parts(tail, _SENTENCE)), limit, ruler)
    return by_sentence or _tail(list(_parts(tail, _WORD))[1:][-limit:], limit, ruler)


def _tail(parts: list[str], limit: int, ruler: Ruler) -> str:
    taken: list[str] = []
    for part in reversed(parts):
        limit -= ruler.size(part, max(limit, 1))
        if limit < 0:
            break
        taken.append(part)
    return "".join(reversed(taken)).strip()


def _parts(text: str, edge: Edge) -> Iterator[str]:
    start = 0
    for found in edge.finditer(text):
        if found.end() > start:
            yield text[start : found.end()]
        start = found.end()
    if start < len(text):
        yield text[start:]


def _split_characters(text: str, limit: int, ruler: Ruler) -> Iterator[tuple[str, int]]:
    start, length = 0, limit * MAX_CHARACTERS_PER_TOKEN
    while start < len(text):
        while (size := ruler.size(text[start : start + length], limit)) > limit and length > 1:
            length //= 2
        yield text[start : start + length], size
        start += length
