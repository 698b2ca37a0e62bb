"""Measures against cases worked out by hand, a second implementation, and scikit-learn's where that is installed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recant.evaluation.measures import average_precision, ndcg, percentile, recall, reciprocal_rank

GRADES = st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.0, 3.0]), min_size=1, max_size=12)


def test_by_hand() -> None:
    """Two of three relevant documents are found, at ranks 2 and 3."""
    ranking, grades = [0, 2, 1, 0], [2, 1, 1]
    gain = 2 / math.log2(3) + 1 / math.log2(4)
    best = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg(ranking, grades, 10) == pytest.approx(gain / best)
    assert ndcg(ranking, grades, 2) == pytest.approx((2 / math.log2(3)) / (2 + 1 / math.log2(3)))
    assert average_precision(ranking, grades) == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert recall(ranking, grades, 2) == pytest.approx(1 / 3)
    assert recall(ranking, grades, 100) == pytest.approx(2 / 3)
    assert reciprocal_rank(ranking) == 0.5


def test_of_nothing() -> None:
    """Where nothing is found, or nothing is relevant, all are 0; a grade below 0 counts as 0."""
    assert [ndcg([], [1], 10), average_precision([], [1]), recall([], [1], 5), reciprocal_rank([])] == [0, 0, 0, 0]
    assert [ndcg([0], [0], 10), average_precision([0], [0]), recall([0], [0], 5)] == [0, 0, 0]
    assert ndcg([-1, 1], [-1, 1], 10) == pytest.approx(1 / math.log2(3))


@settings(deadline=None)
@given(GRADES, st.integers(1, 12))
def test_ndcg_as_a_second_implementation_has_it(ranking: list[float], k: int) -> None:
    """By arrays: gains over discounts, of this order and of the best one."""
    discounts = 1 / np.log2(np.arange(2, len(ranking) + 2))
    gains, best = np.array(ranking), np.sort(ranking)[::-1]
    expected = (gains * discounts)[:k].sum() / (best * discounts)[:k].sum() if best[0] else 0.0
    assert ndcg(ranking, ranking, k) == pytest.approx(expected)


@settings(deadline=None)
@given(GRADES.filter(any), st.integers(1, 12))
def test_ndcg_as_scikit_learn_has_it(ranking: list[float], k: int) -> None:
    """`sklearn.metrics.ndcg_score` of the same order."""
    sklearn = pytest.importorskip("sklearn.metrics")
    if len(ranking) < 2:
        return
    scores = -np.arange(len(ranking), dtype=float)
    assert ndcg(ranking, ranking, k) == pytest.approx(sklearn.ndcg_score([ranking], [scores], k=k))


@settings(deadline=None)
@given(GRADES.filter(any))
def test_average_precision_as_scikit_learn_has_it(ranking: list[float]) -> None:
    """`average_precision_score` of the same order, where everything relevant is in it."""
    sklearn = pytest.importorskip("sklearn.metrics")
    relevant = [grade > 0 for grade in ranking]
    scores = -np.arange(len(ranking), dtype=float)
    assert average_precision(ranking, ranking) == pytest.approx(sklearn.average_precision_score(relevant, scores))


@settings(deadline=None)
@given(st.lists(st.floats(0, 10), min_size=1), st.floats(0, 1))
def test_percentiles_are_numpys(values: list[float], share: float) -> None:
    """Linear interpolation."""
    assert percentile(values, share) == pytest.approx(np.quantile(values, share))
    assert percentile([], share) == 0
