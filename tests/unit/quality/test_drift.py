"""Drift: equal distributions are rarely told apart, different ones are."""

from __future__ import annotations

import numpy as np

from recant.quality.drift import LEAST_SAMPLE, drift


def unit(rng: np.random.Generator, count: int, *, towards: float = 0.0, dimensions: int = 24) -> np.ndarray:
    """Vectors of unit length, more or less in the direction of the first axis."""
    vectors = rng.normal(size=(count, dimensions)).astype(np.float32)
    vectors[:, 0] += towards
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_of_the_same_distribution_few_are_taken_for_drifted() -> None:
    """In 100 comparisons at most 13 p-values are below 0.05: more would come about once in a thousand times."""
    rng = np.random.default_rng(11)
    low = [found for n in range(100) if (found := drift(unit(rng, 60), unit(rng, 40), seed=n)) and found.p_value < 0.05]
    assert len(low) <= 13


def test_a_shift_is_found() -> None:
    """Vectors that lean to one side, by far less than one could see in two of them, have the lowest p-value there is."""
    rng = np.random.default_rng(12)
    found = [drift(unit(rng, 150), unit(rng, 150, towards=1.2), seed=n) for n in range(10)]
    assert [one.p_value for one in found if one] == [0.001] * 10
    near, far = drift(unit(rng, 99), unit(rng, 99)), drift(unit(rng, 99), unit(rng, 99, towards=3))
    assert near is not None
    assert far is not None
    assert near.distance < far.distance


def test_it_is_the_same_for_the_same_seed_and_needs_enough_vectors() -> None:
    """Thirty of either side; identical vectors throughout are no drift."""
    rng = np.random.default_rng(13)
    before, new = unit(rng, 50), unit(rng, 50)
    assert drift(before, new, seed=4) == drift(before, new, seed=4)
    assert drift(before[: LEAST_SAMPLE - 1], new) is None
    same = drift(np.ones((40, 3), np.float32), np.ones((40, 3), np.float32))
    assert (same and same.p_value) == 1.0
