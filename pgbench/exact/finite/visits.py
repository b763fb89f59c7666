"""Exact moments of Σ_t δ^t φ(s_t) over one trajectory, for rewards φ that depend on states alone.

x = Σ_t δ^t φ(s_t) is the return of a Markov reward process, so with m_h = φ + δ P_π m_{h-1}

    E[x] = Σ_t δ^t u_t·φ          E[x²] = Σ_t δ^{2t} u_t·(2 φ m_{H-t} - φ²)

where u_t(s) = Pr(s_t = s) where data come from, zero on terminal states. (Sobel 1982)
"""

from itertools import islice

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.finite.horizon import occupancies
from pgbench.exact.finite.walk import Walk
from pgbench.exact.table_moments import TooLarge
from pgbench.exact.truth import Truth

WIDTH = 256
"""Columns followed at a time."""

OPERATIONS = 1e10
"""Most multiplications of one computation, some ten seconds."""

ENTRIES = 2**26
"""Most probabilities Pr(s_t = s) that are kept, 512 MiB."""


def visit_variance(truth: Truth, delta: float, horizon: int) -> FloatArray:
    """Var Σ_{t<H} δ^t 1[s_t = s] of every state, (S,).

    Raises TooLarge beyond ``OPERATIONS``, as ``reward_variance`` does.
    """
    S = truth.v.size
    _require(truth, horizon, S)
    parts = [
        reward_variance(truth, np.eye(S, min(WIDTH, S - k), -k), delta, horizon)
        for k in range(0, S, WIDTH)
    ]
    return np.concatenate(parts)


def reward_variance(truth: Truth, phi: FloatArray, delta: float, horizon: int) -> FloatArray:
    """Var Σ_{t<H} δ^t φ(s_t) of every column of φ (S, c), shape (c,)."""
    _require(truth, horizon, phi.shape[1])
    mdp = truth.mdp
    P = Walk.of(mdp, truth.process.pi).matrix
    live = ~mdp.terminal
    phi = np.where(live[:, None], phi, 0.0)
    u = np.array(list(islice(occupancies(mdp, truth.process.pi, delta), horizon)))
    mean = u.sum(axis=0) @ phi
    second = np.zeros(phi.shape[1])
    to_go = np.zeros_like(phi)
    for t in reversed(range(horizon)):
        to_go = phi + delta * (P @ to_go)
        second += delta**t * (u[t] @ (phi * (2 * to_go - phi)))
    return np.maximum(second - mean**2, 0.0)


def _require(truth: Truth, horizon: int, columns: int) -> None:
    operations = float(horizon) * Walk.of(truth.mdp, truth.process.pi).matrix.nnz * columns
    if operations > OPERATIONS or horizon * truth.v.size > ENTRIES:
        raise TooLarge(
            f"too large for exact moments: {operations:.1e} operations and"
            f" {horizon * truth.v.size:.1e} numbers, more than the {OPERATIONS:g} and"
            f" {ENTRIES:g} allowed"
        )
