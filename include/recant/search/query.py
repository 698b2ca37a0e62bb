"""What a keyword query asks for: words, "exact phrases", and -excluded words or -"phrases"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from recant.search.tokens import (
    TOKEN,
    Hash,
    contains_phrase,
    identifier_terms,
    phrase_words,
    split_token,
    word_terms,
)

MAX_WORDS = 64
"""Words of a query that count; what is pasted beyond them is left out."""
_PIECE = re.compile(r'(?P<sign>(?<!\S)-)?(?:"(?P<phrase>[^"]*)"|(?P<word>\w+(?:\.\w+)*))')

Alternatives: TypeAlias = tuple[Hash, ...]
"""One word's terms, one for each language it may be in."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the query, as it may stand in a text."""

    text: str
    alternatives: Alternatives
    common: bool = False
    """A stop word in one of the languages: not every chunk that has it, has its term."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query taken apart, for the languages of a collection."""

    plain: str
    """Without signs and without what is excluded: what an embedding is made of."""
    words: tuple[Word, ...]
    """What is scored, the words of phrases too; a word as often as it is asked for."""
    phrases: tuple[tuple[str, ...], ...]
    """Each has to stand in a hit, word for word."""
    excluded: tuple[tuple[Alternatives, ...], ...]
    """A hit has none of these: each is the terms of one excluded word, which a chunk has all of or isn't excluded."""
    excluded_phrases: tuple[tuple[str, ...], ...]

    @property
    def reads_text(self) -> bool:
        """Whether the terms alone don't tell if a chunk is a hit."""
        return bool(self.phrases or self.excluded_phrases)

    def admits(self, fields: Sequence[str]) -> bool:
        """Whether a chunk with these texts has every phrase, and none that is excluded."""
        words = [phrase_words(text) for text in fields]
        return all(any(contains_phrase(text, phrase) for text in words) for phrase in self.phrases) and not any(
            contains_phrase(text, phrase) for text in words for phrase in self.excluded_phrases
        )


def parse(query: str, languages: Sequence[str]) -> Query:
    """Takes a query apart. Any text is one: what has no meaning as a sign is left out."""
    tokens: list[str] = []
    excluded: list[tuple[Alternatives, ...]] = []
    phrases: dict[bool, list[tuple[str, ...]]] = {True: [], False: []}
    for piece in _PIECE.finditer(query):
        wanted = piece["sign"] is None
        if piece["phrase"] is not None:
            phrases[wanted].append(tuple(phrase_words(piece["phrase"])))
        if not wanted:
            excluded += [_excluded(piece["word"], languages)] if piece["word"] else []
            continue
        tokens += TOKEN.findall(_unsigned(piece))
    words = chain.from_iterable(words_of(token, languages) for token in tokens[:MAX_WORDS])
    return Query(
        plain=" ".join(_PIECE.sub(_unsigned, query).split()),
        words=tuple(words),
        phrases=tuple(phrase for phrase in phrases[True] if phrase),
        excluded=tuple(group for group in excluded if group),
        excluded_phrases=tuple(phrase for phrase in phrases[False] if phrase),
    )


def _unsigned(piece: re.Match[str]) -> str:
    """What a piece says, without its sign; nothing where it is excluded."""
    if piece["sign"]:
        return ""
    return piece["word"] if piece["phrase"] is None else piece["phrase"]


def words_of(token: str, languages: Sequence[str]) -> list[Word]:
    """A token's words in every language: of an identifier itself, then its parts."""
    identifier, parts = split_token(token)
    found = (
        [] if identifier is None else _alternatives(identifier, [identifier_terms(identifier, n) for n in languages])
    )
    for part in parts:
        found += _alternatives(part, [word_terms(part, language) for language in languages])
    return found


def _alternatives(text: str, by_language: Sequence[tuple[Hash, ...]]) -> list[Word]:
    """A word has one term a language, or none; where there are no spaces it has several, the same in each language."""
    if all(len(terms) <= 1 for terms in by_language):
        alternatives = tuple(dict.fromkeys(chain.from_iterable(by_language)))
        return [Word(text, alternatives, common=not all(by_language))] if alternatives else []
    return [Word(text, (term,)) for term in dict.fromkeys(chain.from_iterable(by_language))]


def _excluded(token: str, languages: Sequence[str]) -> tuple[Alternatives, ...]:
    identifier, _ = split_token(token)
    words = words_of(token, languages)
    if identifier is not None and words and words[0].text == identifier:
        return (words[0].alternatives,)
    return tuple(word.alternatives for word in words)
