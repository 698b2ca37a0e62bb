"""Whether two samples of vectors are of one distribution: maximum mean discrepancy, by a permutation test.

Gretton, Borgwardt, Rasch, Schölkopf & Smola, "A Kernel Two-Sample Test", JMLR 13 (2012): the biased estimate of MMD² with
a Gaussian kernel whose width is the median distance. The threshold is by permutation, so that of samples of the same
distribution no more than the level are taken for drifted, whatever the distribution and the number of dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE = 400
"""Vectors of either side; of one document at most one, since those of one document are alike."""
LEAST_SAMPLE = 30
PERMUTATIONS = 999


@dataclass(frozen=True, slots=True)
class Drift:
    """`distance` is the MMD, from 0 to about 1.4; `p_value` how often as much comes about by chance, from 0.001 to 1."""

    distance: float
    p_value: float


def drift(before: NDArray[np.float32], new: NDArray[np.float32], *, seed: int = 0) -> Drift | None:
    """Compares samples of shapes (n, d) and (m, d); None where either has fewer than LEAST_SAMPLE. The same for the same seed."""
    import numpy as np

    n, m = len(before), len(new)
    if min(n, m) < LEAST_SAMPLE:
        return None
    kernel = _kernel(np.concatenate([before, new]).astype(np.float64))
    rng = np.random.default_rng(seed)
    sides = np.zeros((n + m, PERMUTATIONS + 1))
    sides[:n, 0] = 1
    for column in range(1, PERMUTATIONS + 1):
        sides[rng.permutation(n + m)[:n], column] = 1
    weights = sides / n - (1 - sides) / m
    squared = np.einsum("ij,ij->j", weights, kernel @ weights)
    p_value = float((squared >= squared[0] - 1e-12).mean())
    return Drift(float(np.sqrt(max(squared[0], 0.0))), p_value)


def _kernel(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    norms = (vectors**2).sum(axis=1)
    squared = np.maximum(norms[:, None] + norms[None, :] - 2 * vectors @ vectors.T, 0)
    between = squared[np.triu_indices(len(vectors), 1)]
    width = float(np.median(between[between > 0])) if (between > 0).any() else 1.0
    return np.asarray(np.exp(-squared / width))
