"""The exact variance of a table estimator to which every step adds a function of its state.

    g = (X - β) ψ + φ(s) + δ g',   X = σ + κ X'

of one trajectory, per coordinate, with recursions backward in the steps to go for E[X], E[X²],
E[g], E[Xg] and E[g²]. All scores are held, so it is for small problems.
"""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.finite.scores import state_gradients
from pgbench.exact.table_moments import Size, require_fitting
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables

LIMIT = Size(memory_bytes=2**30, operations=1e10)
"""The largest variances that are worked out: a few seconds."""


def stepwise_variance(truth: Truth, tables: Tables, own: FloatArray, horizon: int) -> FloatArray:
    """Variance (d,) of one trajectory's Σ_t D_t ((x_t - β_t) ψ_t + Σ_a W(s_t,a) ψ(s_t,a)).

    Parameters
    ----------
    truth
        Of one policy on a finite problem.
    tables
        The estimator without what is added, per step, of the problem's own states.
    own
        W (S, A), what every visit of a state adds.
    horizon
        Number of steps.

    Raises
    ------
    TooLarge
        Beyond ``LIMIT``.
    """
    mdp = tables.process.mdp
    numbers = float(mdp.probability.size) * truth.gradient.size
    require_fitting(Size(8 * 8 * numbers, 12 * numbers * horizon), LIMIT)
    psi = truth.policy.scores(truth.theta)[:, :, None]
    phi = state_gradients(truth.policy, truth.theta, own)[:, None, None]
    chance = tables.process.pi[:, :, None] * mdp.probability * ~mdp.terminal[:, None, None]
    sigma = tables.sigma
    kappa, beta, delta = (t[:, :, None] for t in (tables.kappa, tables.beta, tables.delta))
    S, d = mdp.n_states, truth.gradient.size
    x, xx, g, xg, gg = np.zeros(S), np.zeros(S), *np.zeros((3, S, d))
    for _ in range(horizon):
        X, G, XG = x[mdp.successor], g[mdp.successor], xg[mdp.successor]
        first = sigma + kappa * X
        second = sigma**2 + 2 * sigma * kappa * X + kappa**2 * xx[mdp.successor]
        less, square = first - beta, second - 2 * beta * first + beta**2
        step = _wide(less) * psi + phi
        carried = _wide(sigma) * G + _wide(kappa) * XG  # X g' of what follows
        gg = _mean(chance, _wide(square) * psi**2 + 2 * _wide(less) * psi * phi + phi**2
                   + 2 * _wide(delta) * (psi * (carried - _wide(beta) * G) + phi * G)
                   + _wide(delta**2) * gg[mdp.successor])  # fmt: skip
        xg = _mean(chance, _wide(second - beta * first) * psi + _wide(first) * phi
                   + _wide(delta) * carried)  # fmt: skip
        g = _mean(chance, step + _wide(delta) * G)
        x, xx = (chance * first).sum(axis=(1, 2)), (chance * second).sum(axis=(1, 2))
    mean = mdp.mu0 @ g
    return np.asarray(np.maximum(mdp.mu0 @ gg - mean**2, 0.0), np.float64)


def _wide(table: FloatArray) -> FloatArray:
    """A table (S, A, B) with an axis of coordinates."""
    return table[..., None]


def _mean(chance: FloatArray, values: FloatArray) -> FloatArray:
    """The mean over actions and slots (S, d) of values (S, A, B, d)."""
    return np.asarray(np.einsum("sab,sabk->sk", chance, values), np.float64)
