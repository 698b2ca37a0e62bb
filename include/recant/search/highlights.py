"""Where in a text a query's words stand: what is shown in colour."""

from __future__ import annotations

from itertools import compress, islice
from typing import TypeAlias

from recant.search.tokens import TOKEN, Hash, terms_by_token

Span: TypeAlias = tuple[int, int]
MAX_SPANS = 100


class Wanted(dict[str, bool]):
    """Whether a token has one of the terms in a language; remembers each that it was asked about."""

    def __init__(self, terms: frozenset[Hash], language: str) -> None:
        super().__init__()
        self._terms, self._known = terms, terms_by_token(language)

    def __missing__(self, token: str) -> bool:
        found = self[token] = not self._terms.isdisjoint(self._known[token])
        return found


def highlights(text: str, wanted: Wanted) -> tuple[Span, ...]:
    """First and last (exclusive) character of each token that is wanted, at most MAX_SPANS, in order."""
    flags = list(map(wanted.__getitem__, TOKEN.findall(text)))
    if True not in flags:
        return ()
    return tuple(token.span() for token in islice(compress(TOKEN.finditer(text), flags), MAX_SPANS))
