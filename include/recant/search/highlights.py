"""Where in a text a query's words stand: what is shown in colour."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress
from operator import not_
from typing import TypeAlias

from recant.search.tokens import Hash, terms_by_token, tokens

Span: TypeAlias = tuple[int, int]
MAX_SPANS = 100


def highlights(text: str, wanted: frozenset[Hash], language: str) -> tuple[Span, ...]:
    """First and last (exclusive) character of each token that has a wanted term, at most MAX_SPANS, in order."""
    found = list(set(tokens(text)))
    others = map(wanted.isdisjoint, map(terms_by_token(language).__getitem__, found))
    spans = [span for token in compress(found, map(not_, others)) for span in _spans(text, token)]
    return tuple(sorted(spans)[:MAX_SPANS])


def _spans(text: str, token: str) -> Iterator[Span]:
    """Wherever the token stands by itself."""
    start = text.find(token)
    while start >= 0:
        end = start + len(token)
        if not _joined(text[max(start - 2, 0) : start][::-1]) and not _joined(text[end : end + 2]):
            yield start, end
        start = text.find(token, end)


def _joined(beside: str) -> bool:
    """Whether what stands beside it, the nearest character first, makes it a part of a longer token."""
    return _is_word(beside[:1]) or (beside[:1] == "." and _is_word(beside[1:]))


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
