"""Exact mean and variance of a table estimator over one trajectory of at most H steps.

With X = x_t and g = (the sum from step t)/D_t, for one coordinate of θ and conditional on (s, a):

    X   = σ + κX'          g   = (X - β) ψ + δ g'
    g²  = (X-β)² ψ² + 2 δ ψ (σ - β + κX') g' + δ² g'²
    X g = X (X-β) ψ + δ (σ + κX') g'

so their means obey linear recursions in the steps to go. The total shape (X - β_0) Z, Z = Σψ, needs
E[X^i Z^j], i, j ≤ 2, under (X, Z) ← (σ + κX', ψ + Z').
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pgbench.exact.horizon import descending, occupancies
from pgbench.exact.values import Truth, evaluate
from pgbench.parameters import check_counts
from pgbench.policies import Policy
from pgbench.problems import FiniteMDP
from pgbench.tables import Tables

FloatArray = NDArray[np.float64]

MEMORY_BYTES = 2**30


class TooLarge(ValueError):
    """The exact moments would need more memory than allowed; the message says how much."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Exact mean and per-coordinate variance, (d,) float64 each, of a one-trajectory estimate."""

    mean: FloatArray
    variance: FloatArray


def moments(
    mdp: FiniteMDP, policy: Policy, theta: Any, estimator: str, *, horizon: int, **parameters: Any
) -> Moments:
    """Exact moments of an estimator by name, for one trajectory of at most ``horizon`` steps.

    An average of n independent trajectories has the same mean and 1/n of the variance. Costs
    O(S·A·d) memory and O(H·nnz(P)·d) time.

    Raises
    ------
    ValueError
        For unknown names or parameters, or (TooLarge) beyond 1 GiB of working memory.
    """
    # Estimators are made from exact values and so lie above them; only here does a name lead back.
    from pgbench.estimators import find_estimator

    check_counts(horizon=horizon)
    truth = evaluate(mdp, policy, theta)
    return table_moments(truth, find_estimator(estimator).make(truth, **parameters), horizon)


def table_moments(truth: Truth, tables: Tables, horizon: int) -> Moments:
    """Exact moments of an estimator given by its tables; see ``moments``."""
    S, A = truth.pi.shape
    needed = 8 * 8 * S * A * truth.policy.n_parameters
    if needed > MEMORY_BYTES:
        raise TooLarge(
            f"exact moments need {needed / 2**30:.1f} GiB, more than {MEMORY_BYTES / 2**30:g} GiB"
        )
    psi = truth.policy.scores(truth.theta).reshape(S * A, -1)
    psi[np.repeat(truth.mdp.terminal, A)] = 0.0
    first, second = (_total if tables.total else _per_step)(truth, tables, psi, horizon)
    start = (truth.mdp.mu0[:, None] * truth.pi).ravel()
    mean = start @ first
    return Moments(mean=mean, variance=start @ second - mean**2)


def expected_weights(truth: Truth, tables: Tables, horizon: int) -> FloatArray:
    """E[W] (S, A): its pull-back is the estimator's exact mean, without anything of size d."""
    mdp, pi = truth.mdp, truth.pi
    S, A = pi.shape
    signal = mdp.mean(tables.sigma)
    step = _mean_signal(truth, tables, signal)
    total = np.zeros((S, A))
    if not tables.total:
        carried = occupancies(mdp, pi, tables.delta)
        for x_next in descending(step, S, horizon):
            x = signal + tables.kappa * (mdp.transitions @ x_next).reshape(S, A)
            total += next(carried)[:, None] * pi * (x - tables.beta)
        return total
    # x_0 = Σ_{m<t} K_m σ_m + K_t x_t with K_t = Π_{i<t} κ_i: follow both parts forward in time.
    decayed = occupancies(mdp, pi, tables.kappa)
    past = -mdp.mu0[:, None] * pi * tables.beta
    forward = mdp.transitions.T.tocsr()
    forward_signal = _moment_matrices(truth, tables)[1].T.tocsr()
    live = ~mdp.terminal
    for x_next in descending(step, S, horizon):
        k = next(decayed)[:, None] * pi
        total += past + k * (signal + tables.kappa * (mdp.transitions @ x_next).reshape(S, A))
        arrived = forward @ past.ravel() + forward_signal @ k.ravel()
        past = (live * arrived)[:, None] * pi
    return total


def expectation(truth: Truth, tables: Tables, horizon: int) -> FloatArray:
    """The estimator's exact mean (d,) over trajectories of at most ``horizon`` steps."""
    return truth.policy.pull_back(truth.theta, expected_weights(truth, tables, horizon))


def _mean_signal(truth: Truth, tables: Tables, signal: FloatArray) -> Any:
    mdp, pi = truth.mdp, truth.pi

    def step(x: FloatArray) -> FloatArray:
        x_pair = signal + tables.kappa * (mdp.transitions @ x).reshape(pi.shape)
        return np.einsum("sa,sa->s", pi, x_pair)

    return step


def _moment_matrices(truth: Truth, tables: Tables) -> list[sparse.csr_array]:
    """Sparse (S·A, S) matrices Σ_slots P σ^i for i = 0, 1, 2; rows of terminal states are empty."""
    mdp = truth.mdp
    n_pairs, B = mdp.n_states * mdp.n_actions, mdp.branching
    live = np.repeat(~mdp.terminal, mdp.n_actions)[:, None]
    p, sigma = mdp.probability.reshape(n_pairs, B) * live, tables.sigma.reshape(n_pairs, B)
    rows = np.arange(0, n_pairs * B + 1, B)
    matrices = []
    for i in range(3):
        # A copy, because adding up duplicates works in place.
        matrix = sparse.csr_array(
            ((p * sigma**i).ravel(), mdp.successor.ravel(), rows),
            shape=(n_pairs, mdp.n_states),
            copy=True,
        )
        matrix.sum_duplicates()
        matrices.append(matrix)
    return matrices


def _to_states(truth: Truth, *pair_values: FloatArray) -> Iterator[FloatArray]:
    """Σ_a π(s,a) of each (S·A, k) table, shape (S, k)."""
    S, A = truth.pi.shape
    for values in pair_values:
        yield np.einsum("sa,sak->sk", truth.pi, values.reshape(S, A, -1))


def _per_step(
    truth: Truth, tables: Tables, psi: FloatArray, horizon: int
) -> tuple[FloatArray, FloatArray]:
    """E[g | s, a] and E[g² | s, a], shape (S·A, d), with ``horizon`` steps to go."""
    P, P1, P2 = _moment_matrices(truth, tables)
    S, d = truth.mdp.n_states, psi.shape[1]
    kappa, beta, delta = (t.reshape(-1, 1) for t in (tables.kappa, tables.beta, tables.delta))
    sigma1, sigma2 = P1.sum(axis=1)[:, None], P2.sum(axis=1)[:, None]
    x, x2, g, xg, g2 = np.zeros((S, 1)), np.zeros((S, 1)), *np.zeros((3, S, d))
    for _ in range(horizon):
        mean = sigma1 + kappa * (P @ x)
        square = sigma2 + 2 * kappa * (P1 @ x) + kappa**2 * (P @ x2)
        Pg = P @ g
        crossed = P1 @ g + kappa * (P @ xg)
        g_pair = (mean - beta) * psi + delta * Pg
        xg_pair = (square - beta * mean) * psi + delta * crossed
        g2_pair = (
            (square - 2 * beta * mean + beta**2) * psi**2
            + 2 * delta * psi * (crossed - beta * Pg)
            + delta**2 * (P @ g2)
        )
        x, x2, g, xg, g2 = _to_states(truth, mean, square, g_pair, xg_pair, g2_pair)
    return g_pair, g2_pair


def _total(
    truth: Truth, tables: Tables, psi: FloatArray, horizon: int
) -> tuple[FloatArray, FloatArray]:
    """E[ĝ | s, a] and E[ĝ² | s, a], shape (S·A, d), of the total shape."""
    P, P1, P2 = _moment_matrices(truth, tables)
    S, d = truth.mdp.n_states, psi.shape[1]
    kappa, beta = tables.kappa.reshape(-1, 1), tables.beta.reshape(-1, 1)
    sigma1, sigma2 = P1.sum(axis=1)[:, None], P2.sum(axis=1)[:, None]
    x, x2 = np.zeros((S, 1)), np.zeros((S, 1))
    z, z2, xz, xz2, x2z, x2z2 = np.zeros((6, S, d))
    for _ in range(horizon):
        # Means over the successor of X, X² alone and times Z', Z'²; then Z = ψ + Z' is expanded.
        ex = sigma1 + kappa * (P @ x)
        ex2 = sigma2 + 2 * kappa * (P1 @ x) + kappa**2 * (P @ x2)
        ez, ez2 = P @ z, P @ z2
        exz, exz2 = P1 @ z + kappa * (P @ xz), P1 @ z2 + kappa * (P @ xz2)
        ex2z = P2 @ z + 2 * kappa * (P1 @ xz) + kappa**2 * (P @ x2z)
        ex2z2 = P2 @ z2 + 2 * kappa * (P1 @ xz2) + kappa**2 * (P @ x2z2)
        pairs = (
            ex,
            ex2,
            psi + ez,
            psi**2 + 2 * psi * ez + ez2,
            ex * psi + exz,
            ex * psi**2 + 2 * psi * exz + exz2,
            ex2 * psi + ex2z,
            ex2 * psi**2 + 2 * psi * ex2z + ex2z2,
        )
        x, x2, z, z2, xz, xz2, x2z, x2z2 = _to_states(truth, *pairs)
    _, _, z_pair, z2_pair, xz_pair, xz2_pair, _, x2z2_pair = pairs
    return xz_pair - beta * z_pair, x2z2_pair - 2 * beta * xz2_pair + beta**2 * z2_pair
