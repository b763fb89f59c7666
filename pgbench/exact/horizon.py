"""Finite horizons: what a rollout of H steps sees, and how long it must be.

V_h = r_π + γ P_π V_{h-1},  V_0 = 0        Q_h(s,a) = r(s,a) + γ Σ_s' P(s'|s,a) V_{h-1}(s')
∇J_H = Σ_{t<H} γ^t Σ_s Pr(s_t = s) Σ_a π(s,a) Q_{H-t}(s,a) ∇log π(s,a)
"""

from collections.abc import Callable, Iterator
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgbench.exact.finite.walk import Walk
from pgbench.exact.truth import Truth
from pgbench.problems import FiniteMDP

FloatArray = NDArray[np.float64]

_ROUNDING = 8 * np.finfo(np.float64).eps


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


@singledispatch
def expected_steps(mdp: Any, pi: Any, horizon: int) -> float:
    """Expected number of steps taken by one rollout of at most ``horizon`` steps."""
    if not mdp.terminal.any():
        return float(horizon)
    return float(Walk.of(mdp, pi).within(horizon).forward(1.0).sum(horizon).sum())


@singledispatch
def finite_objective(truth: Truth, horizon: int) -> tuple[float, FloatArray]:
    """J_H, unit reward, and ∇J_H (d,)."""
    visitation, worth = finite_worth(truth.mdp, truth.pi, horizon)
    rewards = (truth.pi * truth.mdp.expected_reward).sum(axis=1)
    return float((visitation * rewards).sum()), truth.policy.derivative(truth.theta, worth)


def finite_gradient(truth: Truth, horizon: int) -> FloatArray:
    """∇J_H (d,)."""
    return finite_objective(truth, horizon)[1]


@singledispatch
def truncated_gradient(truth: Truth, horizon: int) -> FloatArray:
    """Σ_{t<H} γ^t E[A(s_t,a_t) ψ_t], shape (d,): ∇J less the tail beyond step H."""
    d = truncated_visitation(truth.mdp, truth.pi, horizon)
    return np.asarray(truth.policy.derivative(truth.theta, truth.advantage, d), np.float64)


def shortest_horizon(truth: Truth, tolerance: float = 0.01, cap: int = 1000) -> int:
    """Smallest H ≤ cap with ‖∇J_H - ∇J‖ ≤ tolerance·‖∇J‖, or the cap if there is none.

    The search assumes that the truncation bias falls once it is small; it returns an H that meets
    the tolerance while H - 1 does not. Where ∇J is zero, or cannot be told from it, no H is better
    than another, and H is that of γ^H ≤ tolerance.
    """
    gamma = truth.mdp.gamma
    guess = {0.0: 1, 1.0: 16}.get(gamma) or int(np.ceil(np.log(tolerance) / np.log(gamma)))
    guess = min(max(guess, 1), cap)
    if not truth.resolved:
        return guess
    size = float(np.linalg.norm(truth.gradient))

    def excess(horizon: int) -> float:
        """log of the gap over what is allowed."""
        gap = np.linalg.norm(finite_gradient(truth, horizon) - truth.gradient)
        return float(np.log(max(float(gap) / (tolerance * size), np.finfo(float).tiny)))

    low, high, above, below = 0, guess, -np.log(tolerance), excess(guess)
    while below > 0:
        if high == cap:
            return cap
        low, above = high, below
        high = min(2 * high, cap)
        below = excess(high)
    return _crossing(excess, (low, above), (high, below))


def _crossing(
    excess: Callable[[int], float], low: tuple[int, float], high: tuple[int, float]
) -> int:
    """Least H in (low, high] with excess(H) ≤ 0; ends are (H, excess), the second is not above 0.

    The logarithm of a truncation bias is nearly a line: where that crosses zero is tried first, and
    the middle where a try has not halved what is left.
    """
    while (width := high[0] - low[0]) > 1:
        slope = (high[1] - low[1]) / width
        tried = int(np.ceil(low[0] - low[1] / slope)) if slope < 0 else 0
        for H in (min(max(tried, low[0] + 1), high[0] - 1), (low[0] + high[0]) // 2):
            if low[0] < H < high[0] and high[0] - low[0] > width // 2:
                point = (H, excess(H))
                low, high = (point, high) if point[1] > 0 else (low, point)
    return high[0]


def occupancies(mdp: FiniteMDP, pi: FloatArray, carry: FloatArray | float) -> Iterator[FloatArray]:
    """E[D_t 1(s_t = s)], t = 0, 1, ..., with D_{t+1} = carry(s,a) D_t; zero on terminal states."""
    backward = Walk.of(mdp, pi).scaled(carry).T
    u = mdp.mu0
    while True:
        yield u
        u = backward @ u
