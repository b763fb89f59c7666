"""What estimators that perturb θ share: policies at other parameters, and mean returns there."""

from collections.abc import Iterator
from math import prod

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.finite.horizon import finite_values
from pgbench.exact.remember import remembered
from pgbench.exact.truth import Truth
from pgbench.policies import NotApplicable
from pgbench.rollout.simulator import Simulator

OTHER_POLICIES = "its rollouts are drawn by policies at other parameters"
"""Why no sampler can give these estimators their data."""

PROBABILITIES = 2**17
"""About so many of the perturbed policies are held at a time: they fit in a cache."""


def require_free(truth: Truth) -> None:
    """NotApplicable where θ cannot be moved along any coordinate."""
    probe = np.arange(1.0, truth.policy.n_parameters + 1)
    if not np.allclose(truth.policy.tangent(probe), probe):
        raise NotApplicable("θ is constrained, so its coordinates cannot be perturbed one by one")


def probabilities(truth: Truth, thetas: FloatArray) -> FloatArray:
    """π (..., S, A) at parameters (..., d)."""
    tables = truth.policy.each_probabilities(thetas.reshape(-1, thetas.shape[-1]))
    return tables.reshape(*thetas.shape[:-1], *truth.policy.shape)


def objective(truth: Truth, theta: FloatArray, horizon: int) -> float:
    """J_H at another θ, exactly."""
    v, _ = finite_values(truth.mdp, truth.policy.probabilities(theta), horizon)
    return float(truth.mdp.mu0 @ v)


def returns_at(
    simulator: Simulator, moves: FloatArray, size: float, uniforms: FloatArray
) -> FloatArray:
    """Returns (m, k, n) at θ + size·moves (m, k, d), driven by (m, k or 1, n, 2H + 1) numbers.

    A part of the replicates at a time, so that the policies fit in memory.
    """
    found = []
    for own, part in parts(simulator, moves.shape[1]):
        thetas = size * moves[part]
        thetas += own.truth.theta[..., None, :]  # of the policy that all share, or of each
        batch = own.driven(uniforms[part], probabilities(own.truth, thetas))
        found.append(batch.returns.reshape(own.m, moves.shape[1], -1))
    return np.concatenate(found)


def parts(simulator: Simulator, k: int) -> Iterator[tuple[Simulator, slice]]:
    """The simulator for a part of its replicates at a time, if each has k policies."""
    size = max(1, PROBABILITIES // (k * prod(simulator.truth.policy.shape)))
    for first in range(0, simulator.m, size):
        part = slice(first, min(first + size, simulator.m))
        own = simulator.part(part)
        yield own, part
        simulator.steps[part] += own.steps


@remembered
def central_differences(truth: Truth, horizon: int, step: float) -> FloatArray:
    """(J_H(θ + εe_k) - J_H(θ - εe_k)) / 2ε (d,), exactly."""
    units = step * np.eye(truth.theta.size)
    ends = [[objective(truth, truth.theta + e, horizon) for e in (-u, u)] for u in units]
    return np.diff(ends, axis=1)[:, 0] / (2 * step)
