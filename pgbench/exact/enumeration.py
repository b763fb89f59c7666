"""Every trajectory of a tiny problem with its probability: the strongest oracle there is.

P(τ) = μ0(s0) Π_t π(s_t, a_t) P(slot_t | s_t, a_t)
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pgbench.exact.values import Truth
from pgbench.kernels import reference
from pgbench.process import Process
from pgbench.tables import Tables

FloatArray = NDArray[np.float64]


class Listed(NamedTuple):
    """Mean and per-coordinate variance, (d,) float64 each."""

    mean: FloatArray
    variance: FloatArray


def trajectories(process: Process, horizon: int) -> Iterator[tuple[float, list[int], list[int]]]:
    """(probability, flat (s, a) indices, flat (s, a, slot) indices) of every trajectory.

    A trajectory ends in a terminal state or after ``horizon`` steps. There are up to
    S'·(A·B)^H of them.
    """
    mdp, pi = process.mdp, process.pi

    def extend(
        s: int, probability: float, pairs: list[int], slots: list[int]
    ) -> Iterator[tuple[float, list[int], list[int]]]:
        if len(pairs) == horizon or mdp.terminal[s]:
            yield probability, pairs, slots
            return
        for a in range(mdp.n_actions):
            pair = s * mdp.n_actions + a
            for k in np.flatnonzero(mdp.probability[s, a]):
                chance = probability * pi[s, a] * mdp.probability[s, a, k]
                slot = pair * mdp.branching + int(k)
                yield from extend(
                    int(mdp.successor[s, a, k]), chance, [*pairs, pair], [*slots, slot]
                )

    for s in np.flatnonzero(mdp.mu0):
        yield from extend(int(s), float(mdp.mu0[s]), [], [])


def enumerated_moments(truth: Truth, tables: Tables, horizon: int) -> Listed:
    """Exact mean and variance of a one-trajectory estimate, summed over all trajectories."""
    sigma, kappa, beta, delta = (
        table.ravel() for table in (tables.sigma, tables.kappa, tables.beta, tables.delta)
    )
    probabilities, weights = [], []
    for probability, pairs, slots in trajectories(tables.process, horizon):
        probabilities.append(probability)
        weights.append(reference.weights(sigma, kappa, beta, delta, tables.total, pairs, slots))
    table = np.array(weights).reshape(-1, *tables.process.pi.shape)[:, tables.process.scored]
    gradients = truth.policy.pull_back(truth.theta, table)
    p = np.array(probabilities)
    mean = p @ gradients
    return Listed(mean, p @ (gradients - mean) ** 2)
