"""Typing errors: a word that no chunk has is looked for as the word, one slip of a finger away, that most chunks have.

A slip is a letter left out, added, changed, or swapped with its neighbour (Damerau 1964: four in five misspellings are one).
All words so near are made and looked up by their hashes: there is no dictionary to keep, and since only chunks that are seen
count, the answer is the same as if a withdrawn operation had never been.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Sequence

from recant.search.query import Word, words_of

SHORTEST = 4
LONGEST = 24
_ALPHABETS = (
    string.ascii_lowercase + "äöüßàáâãåæçèéêëìíîïñòóôõøùúûýœ",
    "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
    "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώ",
)


def corrections(
    word: str, languages: Sequence[str], frequencies: Callable[[Sequence[Word]], Sequence[int]]
) -> Word | None:
    """The likeliest word that was meant: in most chunks, then first by alphabet. None where none is near, or for short words.

    `frequencies` tells in how many chunks that are seen each of some words is.
    """
    if not SHORTEST <= len(word) <= LONGEST or not word.isalpha():
        return None
    near = [found[0] for text in sorted(set(slips(word)) - {word}) if len(found := words_of(text, languages)) == 1]
    counted = list(zip(frequencies(near), near, strict=True))
    often, best = max(counted, key=lambda pair: pair[0], default=(0, None))
    return best if often else None


def slips(word: str) -> Iterator[str]:
    """Every word one slip away. The first letter is taken to be right: it mostly is."""
    alphabet = next((letters for letters in _ALPHABETS if word[-1] in letters), "")
    if word.isascii():
        alphabet = string.ascii_lowercase
    for i in range(1, len(word) + 1):
        head, tail = word[:i], word[i:]
        for letter in alphabet:
            yield head + letter + tail
            if tail:
                yield head + letter + tail[1:]
        if tail:
            yield head + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
    yield word[1] + word[0] + word[2:]
