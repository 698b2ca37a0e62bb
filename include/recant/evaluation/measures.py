"""Measures of a ranking against judgements, as trec_eval computes them.

A ranking is the grades of its documents, best first, 0 for what was not judged; `grades` are those of all judged documents.
A grade above 0 means relevant. Without a relevant document no measure says anything: such a query is left out beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

_ROUNDS_AT_ONCE = 500


def ndcg(ranking: Sequence[float], grades: Iterable[float], k: int) -> float:
    """Normalised discounted cumulative gain of the first k, from 0 to 1: gain is the grade, discount log2(rank + 1).

    Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4), 2002.
    """
    best = _gain(sorted((max(grade, 0.0) for grade in grades), reverse=True)[:k])
    return _gain(ranking[:k]) / best if best else 0.0


def average_precision(ranking: Sequence[float], grades: Iterable[float]) -> float:
    """The mean, over all relevant documents, of the precision at their ranks; 0 for those that weren't found."""
    relevant, found, total = _relevant(grades), 0, 0.0
    for rank, grade in enumerate(ranking, start=1):
        if grade > 0:
            found += 1
            total += found / rank
    return total / relevant if relevant else 0.0


def recall(ranking: Sequence[float], grades: Iterable[float], k: int) -> float:
    """The share of the relevant documents that are among the first k."""
    relevant = _relevant(grades)
    return sum(grade > 0 for grade in ranking[:k]) / relevant if relevant else 0.0


def reciprocal_rank(ranking: Sequence[float]) -> float:
    """One over the rank of the first relevant document; 0 when there is none."""
    return next((1 / rank for rank, grade in enumerate(ranking, start=1) if grade > 0), 0.0)


def randomisation_test(differences: Sequence[float], rounds: int = 10_000, seed: int = 0) -> float:
    """How often chance makes a mean difference as large, of either sign: two-sided, from 1 / (rounds + 1) to 1.

    Signs are swapped at random, as if which of the two rankings is which didn't matter (Smucker, Allan and Carterette, A
    comparison of statistical significance tests for information retrieval evaluation, CIKM 2007).
    """
    told, random = np.array([one for one in differences if one]), np.random.default_rng(seed)
    observed, as_large = abs(told.sum()) - 1e-9, 0
    for start in range(0, rounds, _ROUNDS_AT_ONCE):
        signs = random.integers(0, 2, (min(_ROUNDS_AT_ONCE, rounds - start), len(told))) * 2 - 1
        as_large += int(np.count_nonzero(np.abs(signs @ told) >= observed))
    return (as_large + 1) / (rounds + 1)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of them don't exceed, interpolated; 0 of none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _gain(grades: Sequence[float]) -> float:
    return sum(max(grade, 0.0) / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))


def _relevant(grades: Iterable[float]) -> int:
    return sum(grade > 0 for grade in grades)
