"""Running moments of replicate gradients, one replicate after the other, in a fixed order."""

from typing import NamedTuple

import numpy as np
from numba import njit


class RunningMoments(NamedTuple):
    """State of the sums over R replicates ĝ_r ∈ R^d; K contiguous blocks of replicates.

    mean, m2 (d,) float64, Welford's mean and sum of squared deviations; block_error (K, d) float64,
    Σ_{r∈b} (ĝ_r - g);
    scalars (R, 5) float64, per replicate ‖ĝ_r - g‖², ‖ĝ_r - E ĝ‖², cos(ĝ_r, g), 1[ĝ_r·g > 0] and
    environment steps.
    """

    mean: np.ndarray
    m2: np.ndarray
    block_error: np.ndarray
    scalars: np.ndarray


def empty_moments(d: int, replicates: int, n_blocks: int) -> RunningMoments:
    """Sums over no replicates."""
    return RunningMoments(
        np.zeros(d), np.zeros(d), np.zeros((n_blocks, d)), np.zeros((replicates, 5))
    )


@njit(cache=True)
def add_replicates(moments, gradients, steps, truth, expected, first):
    """Add replicates ``first``, ``first + 1``, ... with gradients (m, d) and steps (m,).

    ``truth`` is g (d,), ``expected`` the exact mean E ĝ (d,). (Welford 1962; the loop is sequential
    in r, so the sums do not depend on how calls are cut.)
    """
    n_blocks, d = moments.block_error.shape
    replicates = moments.scalars.shape[0]
    truth_norm = 0.0
    for k in range(d):
        truth_norm += truth[k] * truth[k]
    truth_norm = np.sqrt(truth_norm)
    for i in range(gradients.shape[0]):
        r = first + i
        block = r * n_blocks // replicates
        inverse = 1.0 / (r + 1)
        for k in range(d):
            value = gradients[i, k]
            deviation = value - moments.mean[k]
            moments.mean[k] += deviation * inverse
            moments.m2[k] += deviation * (value - moments.mean[k])
            moments.block_error[block, k] += value - truth[k]
        error = spread = product = norm = 0.0
        for k in range(d):
            value = gradients[i, k]
            error += (value - truth[k]) ** 2
            spread += (value - expected[k]) ** 2
            product += value * truth[k]
            norm += value * value
        scalars = moments.scalars[r]
        scalars[0] = error
        scalars[1] = spread
        if norm > 0.0 and truth_norm > 0.0:
            scalars[2] = product / (np.sqrt(norm) * truth_norm)
        scalars[3] = product > 0.0
        scalars[4] = steps[i]
