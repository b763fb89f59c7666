"""Running moments of replicate gradients, one replicate after the other, in a fixed order."""

from typing import NamedTuple

import numpy as np
from numba import njit


class RunningMoments(NamedTuple):
    """State of the sums over R replicates ĝ_r ∈ R^d against a truth g; K blocks of replicates.

    mean, m2 (d,) float64, Welford's mean and sum of squared deviations; block_error (K, d) float64,
    Σ_{r∈b} (ĝ_r - g);
    block_scalars (K, 5) float64, per block the sums of 1, ‖ĝ_r - g‖², cos(ĝ_r, g), 1[ĝ_r·g > 0] and
    environment steps.
    """

    mean: np.ndarray
    m2: np.ndarray
    block_error: np.ndarray
    block_scalars: np.ndarray


def empty_moments(d: int, n_blocks: int) -> RunningMoments:
    """Sums over no replicates."""
    return RunningMoments(
        np.zeros(d),
        np.zeros(d),
        np.zeros((n_blocks, d)),
        np.zeros((n_blocks, 5)),
    )


@njit(cache=True)
def add_replicates(moments, gradients, steps, truth, first, n_replicates):
    """Add replicates ``first``, ``first + 1``, ... with gradients (m, d) and steps (m,).

    (Welford 1962; the loop is sequential in r, so the sums do not depend on how calls are cut.)
    """
    n_blocks, d = moments.block_error.shape
    truth_norm = 0.0
    for k in range(d):
        truth_norm += truth[k] * truth[k]
    truth_norm = np.sqrt(truth_norm)
    for i in range(gradients.shape[0]):
        r = first + i
        block = r * n_blocks // n_replicates
        inverse = 1.0 / (r + 1)
        for k in range(d):
            value = gradients[i, k]
            deviation = value - moments.mean[k]
            moments.mean[k] += deviation * inverse
            moments.m2[k] += deviation * (value - moments.mean[k])
            moments.block_error[block, k] += value - truth[k]
        error = product = norm = 0.0
        for k in range(d):
            value = gradients[i, k]
            error += (value - truth[k]) ** 2
            product += value * truth[k]
            norm += value * value
        scalars = moments.block_scalars[block]
        scalars[0] += 1.0
        scalars[1] += error
        if norm > 0.0 and truth_norm > 0.0:
            scalars[2] += product / (np.sqrt(norm) * truth_norm)
        scalars[3] += product > 0.0
        scalars[4] += steps[i]
