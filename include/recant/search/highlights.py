"""Where in a text a query's words stand: what is shown in colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import compress
from operator import not_
from typing import TypeAlias

from recant.search.tokens import KEEPING_INITIALS, Hash, terms_by_token, tokens, without_accents

Span: TypeAlias = tuple[int, int]
MAX_SPANS = 100
REMEMBERED_WORDS = 65_536


def highlights(text: str, wanted: frozenset[Hash], language: str, initials: frozenset[str] | None) -> tuple[Span, ...]:
    """First and last (exclusive) character of each token that has a wanted term, at most MAX_SPANS, in order.

    `initials`: what plain words must begin with to have one (`initials_of`); None: anything.
    """
    found = set(tokens(text))
    asked = list(found) if initials is None else [token for token in found if token[0] in initials or not _plain(token)]
    others = map(wanted.isdisjoint, map(terms_by_token(language).__getitem__, asked))
    spans = [span for token in compress(asked, map(not_, others)) for span in _spans(text, token)]
    return tuple(sorted(spans)[:MAX_SPANS])


def initials_of(words: Iterable[str], language: str) -> frozenset[str] | None:
    """With which letters the plain words begin that may have the same terms as these; None where a stem doesn't tell."""
    return frozenset(without_accents(word)[:1] for word in words) if language in KEEPING_INITIALS else None


@lru_cache(maxsize=REMEMBERED_WORDS)
def _plain(token: str) -> bool:
    return token.islower() and token.isalpha() and token.isascii()


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
