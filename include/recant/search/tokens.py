"""From text to terms: words by their stems, identifiers whole and in parts, each as a 62-bit hash.

A term is a stem together with its language, so that a query asks every language of the collection at once and each chunk
answers in its own. Identifiers (`snake_case`, `CamelCase`, `dotted.paths`, anything with digits) are terms of no language,
and their parts are words besides. Writing systems without spaces are cut into pairs of characters. Keeps out what is done
with terms (segments, bm25) and what a query's signs mean (query).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from itertools import chain
from typing import TypeAlias

import Stemmer

from recant.search.stop_words import STOP_WORDS

NEUTRAL = ""
"""The language of identifiers."""
DEFAULT_LANGUAGE = "english"
TOKEN = re.compile(r"\w+(?:\.\w+)*")
LONGEST_TOKEN = 100
"""Longer ones (encoded data, say) are one term without parts."""
MEMO_TOKENS = 300_000
SAMPLE_CHARACTERS = 4_000
"""How much of a document is read to tell its language."""
LEAST_EVIDENCE = 3
_HASH_BITS = 62
_ASCII_WORDS = bytes(
    ord(" ") if TOKEN.fullmatch(chr(code)) is None and chr(code) != "." else code for code in range(128)
).ljust(256)
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]+|\d+|[^\W\dA-Z_]+")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_PHRASE_PART = re.compile(f"{_UNSPACED.pattern[:-1]}|[^{_UNSPACED.pattern[1:-2]}]+")
_SCRIPTS = (
    (0x0370, 0x03FF, "greek"), (0x1F00, 0x1FFF, "greek"), (0x0400, 0x052F, "russian"), (0x0530, 0x058F, "armenian"),
    (0x0600, 0x077F, "arabic"), (0x0900, 0x097F, "hindi"), (0x0B80, 0x0BFF, "tamil"),
)  # fmt: skip
LATIN_LANGUAGES = tuple(language for language in STOP_WORDS if language != "russian")
_ALL_STOP_WORDS = frozenset().union(*(STOP_WORDS[language] for language in LATIN_LANGUAGES))
KEEPING_INITIALS = frozenset(LATIN_LANGUAGES) - {"dutch"}
"""Languages whose stemmers change the ends of words only: a stem begins with the word's first letter."""

Hash: TypeAlias = int


def analysis() -> str:
    """What terms depend on: a segment made otherwise is not read."""
    return f"2/{Stemmer.version()}"


def split_token(token: str) -> tuple[str | None, list[str]]:
    """An identifier, folded, or None for a plain word; and the words that it consists of, folded."""
    text = token if token.isascii() else unicodedata.normalize("NFKC", token)
    if len(text) > LONGEST_TOKEN:
        return text.casefold(), []
    if text.isalpha() and (text.islower() or text.isupper() or text[1:].islower() or len(text) == 1):
        return None, [text.casefold()]
    words = [part.casefold() for part in _PART.findall(text)]
    if text.isalpha() and len(words) < 2:
        return None, [text.casefold()]
    return text.casefold().strip("_"), _worth_a_term(words, text)


def _worth_a_term(words: list[str], text: str) -> list[str]:
    """An identifier's parts, snake_case components among them; without what is the whole again, and single letters."""
    components = [c.casefold().strip("_") for c in text.split(".")] if "." in text else []
    parts = [word for word in words if len(word) > 1 or word.isdigit()]
    known = {*parts, text.casefold().strip("_")}
    return parts + [c for c in components if c and c not in known]


def word_language(word: str, language: str) -> str:
    """In whose grammar a word is stemmed: its script's where that tells, otherwise its document's."""
    code = ord(word[0])
    if code < 0x0370:
        return language
    return next((name for low, high, name in _SCRIPTS if low <= code <= high), language)


def word_terms(word: str, language: str) -> tuple[Hash, ...]:
    """The terms of a folded word in one language: none for a stop word, several where there are no spaces."""
    if "_" in word or (not word.isalpha() and not word.isdigit() and "." not in word and not _UNSPACED.search(word)):
        return (term_hash(NEUTRAL, word),)
    if _UNSPACED.search(word):
        return tuple(chain.from_iterable(_unspaced(run, language) for run in _runs(word)))
    spoken = word_language(word, language)
    if word in STOP_WORDS.get(spoken, ()):
        return ()
    return (term_hash(spoken, _stem(spoken, word)),) if not word.isdigit() else (term_hash(NEUTRAL, word),)


def identifier_terms(identifier: str, language: str) -> tuple[Hash, ...]:
    """An identifier as a whole; one of letters only is a word, so that `camelcase` finds `CamelCase`."""
    if identifier.isalpha():
        return word_terms(identifier, language)
    return (term_hash(NEUTRAL, identifier),)


def _runs(word: str) -> list[str]:
    return re.findall(f"{_UNSPACED.pattern}|[^{_UNSPACED.pattern[1:-2]}]+", word)


def _unspaced(run: str, language: str) -> tuple[Hash, ...]:
    if not _UNSPACED.match(run):
        return word_terms(run, language)
    pairs = [run[i : i + 2] for i in range(len(run) - 1)] or [run]
    return tuple(term_hash(NEUTRAL, pair) for pair in pairs)


def _stem(language: str, word: str) -> str:
    return without_accents(_stemmer(language).stemWord(word))


@cache
def _stemmer(language: str) -> Stemmer.Stemmer:
    return Stemmer.Stemmer(language)


def without_accents(word: str) -> str:
    """As it is, where that would leave nothing."""
    if word.isascii():
        return word
    plain = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    return plain or word


def term_hash(language: str, stem: str) -> Hash:
    """62 bits: no collision is to be expected among a billion terms' pairs of one query."""
    digest = blake2b(f"{language}:{stem}".encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest) >> (64 - _HASH_BITS)


class _Memo(dict[str, tuple[Hash, ...]]):
    """Terms by token, in one language; emptied when it is full."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self.language = language

    def __missing__(self, token: str) -> tuple[Hash, ...]:
        found = token_terms(token, self.language)
        if len(self) >= MEMO_TOKENS:
            self.clear()
        if len(token) <= LONGEST_TOKEN:
            self[token] = found
        return found


def token_terms(token: str, language: str) -> tuple[Hash, ...]:
    """All terms of a token as it stands in a text: of an identifier itself first, then of its parts."""
    identifier, words = split_token(token)
    whole = () if identifier is None else identifier_terms(identifier, language)
    return whole + tuple(chain.from_iterable(word_terms(word, language) for word in words))


@cache
def _memo(language: str) -> _Memo:
    return _Memo(language)


def terms_by_token(language: str) -> Mapping[str, tuple[Hash, ...]]:
    """The terms of any token in a language, remembered."""
    return _memo(language)


def tokens(text: str) -> list[str]:
    """What TOKEN finds, three times as fast where all is ASCII: cut at what is neither letter, digit, _ nor dot."""
    if not text.isascii():
        return TOKEN.findall(text)
    pieces = (text.encode().translate(_ASCII_WORDS).decode() + " ").replace(". ", " ")
    found = pieces.split()
    if "." not in pieces:
        return found
    return list(chain.from_iterable([token] if "." not in token else TOKEN.findall(token) for token in found))


def terms(text: str, language: str) -> list[Hash]:
    """The terms of a text, in order, each as often as it occurs."""
    return list(chain.from_iterable(map(_memo(language).__getitem__, tokens(text))))


def language_of(texts: Iterable[str]) -> str:
    """The language of a document: whose stop words it has most of. English when there is little to tell by."""
    sample = _sample(texts)
    words = Counter(filter(_ALL_STOP_WORDS.__contains__, tokens(sample.casefold())))
    counted = [(sum(words[word] for word in words.keys() & STOP_WORDS[of]), of) for of in LATIN_LANGUAGES]
    most, language = max(counted, key=lambda pair: pair[0])
    english = counted[LATIN_LANGUAGES.index(DEFAULT_LANGUAGE)][0]
    return language if most >= LEAST_EVIDENCE and most > english else DEFAULT_LANGUAGE


def _sample(texts: Iterable[str]) -> str:
    found: list[str] = []
    size = 0
    for text in texts:
        found.append(text[: SAMPLE_CHARACTERS - size])
        size += len(found[-1])
        if size >= SAMPLE_CHARACTERS:
            break
    return "\n".join(found)


def phrase_words(text: str) -> list[str]:
    """What phrases are compared by: words and identifiers, folded but not stemmed, stop words too."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not _UNSPACED.search(folded):
        return TOKEN.findall(folded)
    return [part for token in TOKEN.findall(folded) for part in _PHRASE_PART.findall(token)]


def contains_phrase(words: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether the phrase's words stand in a row among the words."""
    if not phrase:
        return True
    size = len(phrase)
    return any(
        words[i] == phrase[0] and list(words[i : i + size]) == list(phrase) for i in range(len(words) - size + 1)
    )
