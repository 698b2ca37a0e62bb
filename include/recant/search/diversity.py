"""Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): what is found, without saying the same thing twice.

    next = the candidate with the highest  (1 - diversity) * score / best score  -  diversity * its highest cosine with one picked

At 0 the order is that of the scores, at 1 relevance has no say but in who is first. Equal candidates: the better one first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def diverse_order(scores: Sequence[float], vectors: Floats, diversity: float, limit: int) -> list[int]:
    """The places of the `limit` picked, in the order of picking. `scores`: best first; `vectors`: unit length, a row each."""
    count = len(scores)
    best = max(scores[0], 0.0) if count else 0.0
    relevance = np.maximum(np.asarray(scores, np.float64), 0) / best if best > 0 else np.zeros(count)
    nearest = np.full(count, -1.0)
    left = np.ones(count, np.bool_)
    picked: list[int] = []
    while len(picked) < min(limit, count):
        gain = (1 - diversity) * relevance - diversity * (nearest if picked else -relevance)
        place = int(np.argmax(np.where(left, gain, -np.inf)))
        picked.append(place)
        left[place] = False
        nearest = np.maximum(nearest, vectors @ vectors[place])
    return picked
