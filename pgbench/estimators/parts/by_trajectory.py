"""What batch estimators compute trajectory by trajectory: sums of scores, and sums of the others'.

Sums of scores of single trajectories take n·d numbers per replicate, so they are made of as many
replicates at a time as fit.
"""

from collections.abc import Callable

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.process.batch import Batch
from pgbench.rollout.simulator import Simulator

HELD = 2**23
"""Numbers that the scores of all trajectories of a part of the replicates may take, 64 MiB."""


def in_parts(
    simulator: Simulator, batch: Batch, function: Callable[[Batch], FloatArray]
) -> FloatArray:
    """``function`` of parts of the replicates of a batch, its results one after another."""
    truth = simulator.truth
    numbers = batch.shape[1] * max(truth.pi.size, truth.gradient.size)
    step = max(1, HELD // numbers)
    m = batch.shape[0]
    return np.concatenate([function(batch.part(slice(i, i + step))) for i in range(0, m, step)])


def score_sums(simulator: Simulator, batch: Batch, weights: FloatArray | float = 1.0) -> FloatArray:
    """Σ_t weights_t ψ_t of every trajectory (m, n, d); weights broadcasts to (m, n, T)."""
    m, n, T = batch.shape
    steps = np.broadcast_to(weights, batch.shape).reshape(m * n, 1, T)
    return simulator.pull_back(batch.alone().tables(steps)).reshape(m, n, -1)


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
