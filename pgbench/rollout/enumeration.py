"""Every trajectory of a tiny problem with its probability: the strongest oracle there is.

P(τ) = μ0(s0) Π_t π(s_t, a_t) P(slot_t | s_t, a_t)
"""

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.exact.truth import Truth
from pgbench.kernels import reference
from pgbench.process.batch import Batch
from pgbench.process.process import Process
from pgbench.process.tables import Tables
from pgbench.rollout.simulator import Draws, Simulator, recorded


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


def count_trajectories(process: Process, horizon: int) -> float:
    """How many trajectories ``trajectories`` lists; a float, for there may be 10^100."""
    return float(_from_starts(process, horizon).sum())


def count_batches(process: Process, horizon: int, n: int, group_size: int = 1) -> float:
    """How many batches of n trajectories there are, in groups of one start; a float."""
    groups = (_from_starts(process, horizon) ** group_size).sum()
    return float(groups ** (n // group_size))


def _from_starts(process: Process, horizon: int) -> FloatArray:
    """How many trajectories begin in each state where any do."""
    mdp = process.mdp
    number = np.ones(mdp.n_states)
    for _ in range(horizon):
        further = (number[mdp.successor] * (mdp.probability > 0)).sum(axis=(1, 2))
        number = np.where(mdp.terminal, 1.0, further)
    return number[mdp.mu0 > 0]


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


class Enumerator(Simulator):
    """A simulator whose replicates are all batches that there are, each once.

    Where batches have groups, the trajectories of each begin in one state.

    Trajectories of another purpose than the estimate itself are drawn once and are the same in
    every replicate: moments are then conditional on them, as random numbers are.

    Attributes
    ----------
    probability
        (m,) float64 of each batch, once it was asked for.
    random
        Whether random numbers were asked for, so that moments are conditional on them.
    """

    def __init__(self, truth: Truth, horizon: int, n: int, group_size: int | None = None) -> None:
        number = round(count_batches(truth.process, horizon, n, group_size or 1))
        draws = Draws(horizon, n, number, 0, 0, group_size=group_size)
        super().__init__(truth, draws, 0, number)
        self.probability: FloatArray | None = None
        self.random = False

    def generator(self, purpose: str) -> np.random.Generator:
        """Random numbers of this block; that they were asked for is noted."""
        self.random = True
        return super().generator(purpose)

    def _simulate(self, purpose: str, n: int, process: Process) -> Batch:
        if purpose or n != self.n:
            one = Simulator(self.truth, self.draws, 0, 1).batch(purpose, n, process)
            return one.mapped(lambda x: np.repeat(x, self.m, axis=0))
        listed = list(trajectories(process, self.horizon))
        steps = np.array([len(pairs) for _, pairs, _ in listed])
        pair, slot = np.zeros((2, len(listed), self.horizon), np.int32)
        for i, (_, pairs, slots) in enumerate(listed):
            pair[i, : steps[i]], slot[i, : steps[i]] = pairs, slots
        start = (pair[:, 0] // process.mdp.n_actions).astype(np.int64)
        chance = np.array([p for p, _, _ in listed])
        together = self.draws.group_size or 1
        chosen, self.probability = _batches(start, chance, process.mdp.mu0, n, together)
        return recorded(process, pair[chosen], slot[chosen], steps[chosen])


def _batches(
    start: IntArray, chance: FloatArray, mu0: FloatArray, n: int, group_size: int
) -> tuple[IntArray, FloatArray]:
    """Indices (m, n) of the trajectories of every batch, and the probability of each (m,)."""
    groups = [
        np.array(list(product(np.flatnonzero(start == s), repeat=group_size)))
        for s in np.flatnonzero(mu0)
    ]
    # A group has one start, which every one of its trajectories has counted.
    own = [chance[g].prod(axis=1) / mu0[start[g[0, 0]]] ** (group_size - 1) for g in groups]
    listed, probability = np.concatenate(groups), np.concatenate(own)
    chosen = np.array(list(product(range(len(listed)), repeat=n // group_size)))
    return listed[chosen].reshape(len(chosen), n), probability[chosen].prod(axis=1)


def enumerated_batches(
    truth: Truth,
    estimator: Any,
    horizon: int,
    n: int,
    group_size: int | None = None,
    /,
    **given: Any,
) -> Listed:
    """Exact mean and variance of a batch estimator, summed over all batches of n trajectories.

    ValueError if the estimator asks for anything but batches.
    """
    simulator = Enumerator(truth, horizon, n, group_size)
    gradients = estimator.estimate(simulator, **estimator.bound(**given))
    p = simulator.probability
    if p is None:
        raise ValueError(f"{estimator.name} asked for no batch, so there is nothing to list")
    mean = p @ gradients
    return Listed(mean, p @ (gradients - mean) ** 2)
