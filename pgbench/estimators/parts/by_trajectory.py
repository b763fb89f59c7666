"""What batch estimators compute trajectory by trajectory: sums of scores, and sums of the others'.

Sums of scores of single trajectories take n·d numbers per replicate, so they are made of as many
replicates at a time as fit.
"""

from collections.abc import Callable
from math import prod

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.process.batch import Batch
from pgbench.rollout.simulator import Simulator

SCORE_NUMBERS = 2**17
"""Numbers that the scores of all trajectories of a part of the replicates may take: a cache's."""


def in_parts(
    simulator: Simulator, batch: Batch, function: Callable[[Simulator, Batch], FloatArray]
) -> FloatArray:
    """``function`` of parts of the replicates, its results one after another."""
    policy, (m, n, _) = simulator.truth.policy, batch.shape
    step = max(1, SCORE_NUMBERS // (n * max(prod(policy.shape), policy.n_parameters)))
    parts = [slice(i, min(i + step, m)) for i in range(0, m, step)]
    return np.concatenate([function(simulator.part(part), batch.part(part)) for part in parts])


def score_sums(simulator: Simulator, batch: Batch, weights: FloatArray | float = 1.0) -> FloatArray:
    """Σ_t weights_t ψ_t of every trajectory (m, n, d); weights broadcasts to (m, n, T)."""
    m, n, T = batch.shape
    steps = np.broadcast_to(weights, batch.shape).reshape(m * n, 1, T)
    return simulator.pull_back_each(batch.alone().tables(steps))


def others(x: FloatArray) -> FloatArray:
    """Sum over the other trajectories, of x (m, n, ...) along the second axis.

    Added up from both sides and not by taking each one off the sum of all, which would leave
    rounding errors of the large where the others are small.
    """
    out = np.zeros_like(x)
    np.cumsum(x[:, :-1], axis=1, out=out[:, 1:])
    out[:, :-1] += np.cumsum(x[:, :0:-1], axis=1)[:, ::-1]
    return out


def ratio(above: FloatArray, below: FloatArray, otherwise: FloatArray | float = 0.0) -> FloatArray:
    """above/below, and something else where there is nothing below."""
    out = np.broadcast_to(np.asarray(otherwise, np.float64), above.shape).copy()
    return np.divide(above, below, out=out, where=np.broadcast_to(below > 0, above.shape))
