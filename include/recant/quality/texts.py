"""What one text says of itself: the language that it is in, and whether it was read in a wrong encoding.

py3langid tells languages (naive Bayes over byte n-grams, 97 languages, Lui & Baldwin 2012), ftfy finds mojibake. Both carry
what they need, and fetch nothing.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

PROSE = ("text", "list")
LEAST_LETTERS = 100
"""Shorter texts are in no language that can be told: names, headings, numbers."""
LEAST_PROBABILITY = 0.9
READ_CHARACTERS = 600
"""So much of a text tells its language."""
LEAST_SHARE = 0.05
"""A language that fewer of a collection's texts are in is none of the collection's."""
LEAST_TEXTS = 20
"""From fewer texts a collection's languages can't be told."""
_LETTERS = re.compile(r"[^\W\d_]")


def language_of(text: str, chunk_type: str) -> str | None:
    """ISO 639-1 code, or None where it can't be told: too short, no prose, or the classifier isn't sure."""
    if chunk_type not in PROSE:
        return None
    start = text[:READ_CHARACTERS]
    if len(_LETTERS.findall(start)) < LEAST_LETTERS:
        return None
    language, probability = _identifier().classify(start)
    return str(language) if probability >= LEAST_PROBABILITY else None


def mojibake_share(text: str) -> float:
    """Share of characters that go away when text that was decoded in a wrong encoding is decoded rightly, 0 to 1.

    Of "Ã¼" for "ü" that is half. What ftfy can't mend isn't counted, so that rare but legitimate sequences aren't.
    """
    if text.isascii():
        return 0.0
    from ftfy import fix_encoding

    mended = fix_encoding(text)
    return 0.0 if mended == text else max(len(text) - len(mended), 1) / len(text)


def languages_among(counts: dict[str, int]) -> frozenset[str]:
    """The languages of a collection: those that a twentieth of the texts are in; none where there are too few texts."""
    told = sum(counts.values())
    if told < LEAST_TEXTS:
        return frozenset()
    return frozenset(language for language, count in counts.items() if count >= LEAST_SHARE * told)


@cache
def known_languages() -> frozenset[str]:
    """The codes that can be told."""
    return frozenset(map(str, _identifier().labels))


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
