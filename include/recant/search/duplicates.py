"""Texts that say the same: equal words, or nearly (resemblance after Broder, 1997: shared runs of three words of all there are).

Which pairs are compared at all is told by a few of each text's runs, those with the lowest hashes: of texts that resemble each
other by 0.85, fewer than one pair in a million shares none of eight.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from heapq import nsmallest

from recant.search.tokens import TOKEN

RUN_WORDS = 3
RESEMBLANCE = 0.85
SKETCH_RUNS = 8


def groups(texts: Sequence[str]) -> list[int]:
    """For each text the place of the first one that it repeats: its own where it is the first of its kind."""
    first: list[int] = []
    runs: dict[int, frozenset[int]] = {}
    by_run: dict[int, list[int]] = {}
    for place, text in enumerate(texts):
        own = _runs(text)
        sketch = nsmallest(SKETCH_RUNS, own)
        near = dict.fromkeys(other for run in sketch for other in by_run.get(run, ()))
        same = min((other for other in near if resemblance(own, runs[other]) >= RESEMBLANCE), default=place)
        first.append(same)
        if same == place:
            runs[place] = own
            for run in sketch:
                by_run.setdefault(run, []).append(place)
    return first


def resemblance(one: frozenset[int], other: frozenset[int]) -> float:
    """Runs that both have, as a share of those that either has."""
    either = len(one | other)
    return len(one & other) / either if either else 1.0


def _runs(text: str) -> frozenset[int]:
    """Hashes of the runs; a short text, or one without a word, is one run."""
    words = [word.casefold() for word in TOKEN.findall(text)] or text.split()
    if len(words) < 2 * RUN_WORDS:
        return frozenset((zlib.crc32(" ".join(words).encode(errors="replace")),))
    return frozenset(
        zlib.crc32(" ".join(words[i : i + RUN_WORDS]).encode(errors="replace"))
        for i in range(len(words) - RUN_WORDS + 1)
    )
