"""Exact moments of the return and of its products with the score sum.

R = Σ_t γ^t r_t and Z = Σ_t ψ_t over one trajectory of at most H steps; E[Z] = 0 wherever every
action is taken, if ever so rarely.
"""

from typing import Any, NamedTuple

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.finite.horizon import finite_values
from pgbench.exact.finite.recursion import slot_moments
from pgbench.exact.finite.values import FiniteTruth
from pgbench.exact.remember import remembered
from pgbench.exact.returns import Return, return_moments
from pgbench.exact.table_moments import table_moments
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables


class Mixed(NamedTuple):
    """Mixed moments of the return about its mean, and of each coordinate of the score sum.

    r, r2
        E[R] and Var R.
    z, rz, z2, rz2, r2z2
        (d,) each: E[Z] = 0, E[(R - E R) Z] = ∇J_H, E[Z²], E[(R - E R) Z²] and E[(R - E R)² Z²]. On
        the boundary of the simplex the first is not 0, and the second not ∇J_H.
    """

    r: float
    r2: float
    z: FloatArray
    rz: FloatArray
    z2: FloatArray
    rz2: FloatArray
    r2z2: FloatArray


@return_moments.register
@remembered
def finite_return_moments(truth: FiniteTruth, horizon: int) -> Return:
    """Mean and variance by Sobel's recursion, state by state."""
    mdp, gamma = truth.mdp, truth.mdp.gamma
    v, _ = finite_values(mdp, truth.pi, horizon)
    mean = float(mdp.mu0 @ v)
    tables = Tables.build(truth.process, sigma=mdp.reward, kappa=gamma, total=True)
    P, P1, P2 = slot_moments(tables)
    signal, signal2 = P1.sum(axis=1), P2.sum(axis=1)
    x, x2 = np.zeros((2, mdp.n_states))
    for _ in range(horizon):
        first = signal + gamma * (P @ x)
        second = signal2 + 2 * gamma * (P1 @ x) + gamma**2 * (P @ x2)
        x, x2 = ((y.reshape(truth.pi.shape) * truth.pi).sum(axis=1) for y in (first, second))
    return Return(mean, max(float(mdp.mu0 @ x2) - mean**2, 0.0))


@remembered
def mixed_moments(truth: Truth, horizon: int) -> Mixed:
    """Mixed moments of return and score sum over H steps; TooLarge as exact moments are."""
    mean, variance = return_moments(truth, horizon)
    gamma, reward = truth.mdp.gamma, truth.mdp.reward

    def second(sigma: Any, b: float) -> tuple[FloatArray, FloatArray]:
        tables = Tables.build(truth.process, sigma=sigma, kappa=gamma, beta=b, total=True)
        exact = table_moments(truth, tables, horizon)
        return exact.mean, exact.variance + exact.mean**2

    rz, r2z2 = second(reward, mean)
    z, z2 = second(0.0, -1.0)
    c = np.sqrt(variance) or 1.0
    rz2 = (second(reward, mean - c)[1] - second(reward, mean + c)[1]) / (4 * c)
    return Mixed(mean, variance, z, rz, z2, rz2, r2z2)
