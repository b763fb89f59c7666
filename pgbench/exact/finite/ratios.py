"""Moments of the ratio of a whole rollout, by which data of another policy are weighed.

W = Π_t w(s_t, a_t) with w = π/μ, over rollouts of at most H steps that μ draws. With
z_h(s) = Σ_a μ(s,a) w(s,a)^k Σ_s' P(s'|s,a) z_{h-1}(s'), 1 at the start and where episodes end, the
moment E[W^k] is μ0·z_H. (Precup, Sutton & Singh 2000, Section 3)
"""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.truth import Truth


def effective_share(truth: Truth, horizon: int) -> float:
    """(E W)²/E[W²] of rollouts of H steps: the effective sample size over that of the data.

    1 on policy, and 0 where E[W²] is too large for a number, or no ratio is above zero.
    (Kong 1992; Owen 2013, eq. 9.13)
    """
    behaviour = truth.process.pi
    w = np.divide(truth.pi, behaviour, out=np.zeros_like(behaviour), where=behaviour > 0)
    with np.errstate(over="ignore", invalid="ignore"):
        first, second = (_moment(truth, behaviour * w**k, horizon) for k in (1, 2))
    return first**2 / second if 0 < second < np.inf else 0.0


def _moment(truth: Truth, carried: FloatArray, horizon: int) -> float:
    """E[W^k] of H steps, from ``carried`` (S, A) = μ w^k."""
    mdp, z = truth.mdp, np.ones(truth.mdp.n_states)
    for _ in range(horizon):
        later = (mdp.transitions @ z).reshape(carried.shape)
        z = np.where(mdp.terminal, 1.0, (carried * later).sum(axis=1))
    return float(mdp.mu0 @ z)
