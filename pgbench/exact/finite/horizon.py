"""Values and visits of a finite number of steps on a finite problem.

V_h = r_π + γ P_π V_{h-1},  V_0 = 0        Q_h(s,a) = r(s,a) + γ Σ_s' P(s'|s,a) V_{h-1}(s')
∇J_H = Σ_{t<H} γ^t Σ_s Pr(s_t = s) Σ_a π(s,a) Q_{H-t}(s,a) ∇log π(s,a)
"""

from collections.abc import Iterator

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.finite.walk import Walk
from pgbench.problems import FiniteMDP


def finite_values(mdp: FiniteMDP, pi: FloatArray, horizon: int) -> tuple[FloatArray, FloatArray]:
    """V_H (S,) and Q_H (S, A)."""
    walk = Walk.of(mdp, pi)
    v = np.zeros(mdp.n_states)
    if horizon > 1:
        v = walk.backward(mdp.gamma, walk.mean(mdp.expected_reward)).sum(horizon - 1)
    q = mdp.expected_reward + mdp.gamma * walk.following(v)
    return walk.mean(q), q


def finite_worth(mdp: FiniteMDP, pi: FloatArray, horizon: int) -> tuple[FloatArray, FloatArray]:
    """d_H (S,), and C = Σ_{t<H} γ^t Pr(s_t = s) A_{H-t}(s,a), (S, A), of ∇J_H = Σ C ∇π."""
    walk = Walk.of(mdp, pi).within(horizon)
    reward = mdp.expected_reward[walk.states]
    occupied, later = walk.swept(mdp.gamma, mdp.gamma, walk.mean(reward), horizon)
    returns = occupied[:, None] * reward + mdp.gamma * later
    visitation, worth = np.zeros(mdp.n_states), np.zeros(pi.shape)
    visitation[walk.states] = occupied
    worth[walk.states] = advantages(returns, walk.mean(returns))
    return visitation, worth


def advantages(q: FloatArray, v: FloatArray) -> FloatArray:
    """Q - V (S, A), exactly zero where the two agree to rounding: noise is no advantage."""
    difference = q - v[:, None]
    difference[np.abs(difference) <= _ROUNDING * (np.abs(q) + np.abs(v)[:, None])] = 0.0
    return difference


def truncated_visitation(mdp: FiniteMDP, pi: FloatArray, horizon: int) -> FloatArray:
    """d_H(s) = Σ_{t<H} γ^t Pr(s_t = s), shape (S,)."""
    walk = Walk.of(mdp, pi).within(horizon)
    visitation = np.zeros(mdp.n_states)
    visitation[walk.states] = walk.forward(mdp.gamma).sum(horizon)
    return visitation


def occupancies(mdp: FiniteMDP, pi: FloatArray, carry: FloatArray | float) -> Iterator[FloatArray]:
    """E[D_t 1(s_t = s)], t = 0, 1, ..., with D_{t+1} = carry(s,a) D_t; zero on terminal states."""
    backward = Walk.of(mdp, pi).scaled(carry).T
    u = mdp.mu0
    while True:
        yield u
        u = backward @ u


_ROUNDING = 8 * np.finfo(np.float64).eps
