"""Texts that are nearly the same as an earlier one, found without comparing each with each.

Similarity is Jaccard's, of the sets of shingles of five words (Broder 1997). Signatures of 64 minima under random hash
functions are cut into 16 bands of 4: texts that agree in a band are compared (Leskovec, Rajaraman, Ullman: Mining of
Massive Datasets, 3.4), each comparison exact. At similarity 0.8 a pair is compared with probability 0.9998, at 0.7 with
0.988. Memory is 272 bytes a text.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Places = NDArray[np.int64]

SHINGLE_WORDS = 5
BANDS = 16
BAND_ROWS = 4
MINIMA = BANDS * BAND_ROWS
LEAST_SIMILARITY = 0.7
"""Below it the bands would miss too many."""
COMPARED = 16
"""In a larger band, a text is compared with so many: half of them the earliest, half those right before it."""
TEXTS_AT_ONCE = 1_000
PAIRS_AT_ONCE = 20_000
_WORD = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\\W_]+")
"""Where words aren't set apart by spaces, a character is a word."""


def shingles(text: str) -> Hashes:
    """The set of 64-bit hashes of a text's shingles, ascending; of all words for fewer than five, of the text without any."""
    import numpy as np

    words = _WORD.findall(text.casefold()) or [text.strip()]
    hashes = np.fromiter((zlib.crc32(word.encode("utf-8", "replace")) for word in words), np.uint64, len(words))
    length = min(SHINGLE_WORDS, len(words))
    mixed = np.full(len(words) - length + 1, length, np.uint64)
    for place in range(length):
        mixed = _mixed(mixed * np.uint64(31) + hashes[place : len(words) - length + 1 + place])
    return np.unique(mixed)


def similarity(one: Hashes, other: Hashes) -> float:
    """Jaccard's: the share of what either has that both have."""
    import numpy as np

    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / (len(one) + len(other) - both)


def signatures(texts: Sequence[str]) -> NDArray[np.uint32]:
    """The minima of n texts, of shape (n, 64)."""
    import numpy as np

    sets = [shingles(text) for text in texts]
    found = np.empty((len(sets), MINIMA), np.uint32)
    if not sets:
        return found
    starts = np.cumsum([0, *(len(one) for one in sets[:-1])])
    every = np.concatenate(sets)
    for column, salt in enumerate(_salts()):
        found[:, column] = np.minimum.reduceat((_mixed(every ^ salt) >> np.uint64(32)).astype(np.uint32), starts)
    return found


def near_duplicates(
    minima: NDArray[np.uint32], read: Callable[[Sequence[int]], Mapping[int, str]], least: float
) -> dict[int, int]:
    """For each of n texts that is similar to an earlier one: such a one, both by their place.

    `minima` are their signatures, of shape (n, 64); `read` gives texts by place, and leaves out those that are gone.
    """
    import numpy as np

    found: dict[int, int] = {}
    alone = np.ones(len(minima), bool)
    for band in range(BANDS):
        groups = list(_groups(_band_keys(minima, band)))
        for turn in range(COMPARED):
            groups = [group for group in groups if len(group) > turn + 1]
            earlier, later = _to_compare(groups, turn)
            earlier, later = earlier[alone[later]], later[alone[later]]
            likely = _promising(minima, earlier, later, least)
            for one, other in _similar(earlier[likely], later[likely], read, least):
                found[other] = one
                alone[other] = False
    return found


def _similar(
    earlier: Places, later: Places, read: Callable[[Sequence[int]], Mapping[int, str]], least: float
) -> Iterator[tuple[int, int]]:
    for start in range(0, len(later), TEXTS_AT_ONCE):
        end = start + TEXTS_AT_ONCE
        share = list(zip(earlier[start:end].tolist(), later[start:end].tolist(), strict=True))
        texts = read(sorted({place for pair in share for place in pair}))
        sets = {place: shingles(text) for place, text in texts.items()}
        for one, other in share:
            if one in sets and other in sets and similarity(sets[one], sets[other]) >= least:
                yield one, other


def _promising(minima: NDArray[np.uint32], earlier: Places, later: Places, least: float) -> NDArray[np.bool_]:
    """Whose signatures agree in about as many places; four standard errors of the estimate are allowed for."""
    import numpy as np

    enough = least - 4 * np.sqrt(least * (1 - least) / MINIMA)
    kept = np.empty(len(later), bool)
    for start in range(0, len(later), PAIRS_AT_ONCE):
        share = slice(start, start + PAIRS_AT_ONCE)
        kept[share] = (minima[earlier[share]] == minima[later[share]]).mean(axis=1) >= enough
    return kept


def _to_compare(groups: Sequence[Places], turn: int) -> tuple[Places, Places]:
    """Pairs of a turn: in small groups each with the one at that place; in larger ones half of the turns with what is right before it."""
    import numpy as np

    earlier, later = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for group in groups:
        numbers = np.arange(turn + 1, len(group))
        near = (numbers > COMPARED) & (turn >= COMPARED // 2)
        earlier.append(group[np.where(near, numbers - COMPARED + turn, turn)])
        later.append(group[numbers])
    return np.concatenate(earlier), np.concatenate(later)


def _groups(keys: Hashes) -> Iterator[Places]:
    """The places that have the same key, ascending; only where there are two or more."""
    import numpy as np

    order = np.argsort(keys, kind="stable")
    ends = np.flatnonzero(np.diff(keys[order])) + 1
    for start, end in zip([0, *ends], [*ends, len(order)], strict=True):
        if end - start > 1:
            yield order[start:end]


def _band_keys(minima: NDArray[np.uint32], band: int) -> Hashes:
    import numpy as np

    keys = np.full(len(minima), band, np.uint64)
    for column in range(band * BAND_ROWS, (band + 1) * BAND_ROWS):
        keys = _mixed(keys ^ minima[:, column])
    return keys


def _salts() -> Hashes:
    import numpy as np

    return np.random.default_rng(20_260_101).integers(0, 2**64, MINIMA, np.uint64)


def _mixed(values: Hashes) -> Hashes:
    """Every bit of the result hangs on every bit of the value (splitmix64, Steele, Lea & Flood 2014)."""
    import numpy as np

    values = (values + np.uint64(0x9E3779B97F4A7C15)) & np.uint64(0xFFFFFFFFFFFFFFFF)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
