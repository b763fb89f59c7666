"""Finite horizons: what a rollout of H steps sees, and how long it must be.

V_h = r_π + γ P_π V_{h-1},  V_0 = 0        Q_h(s,a) = r(s,a) + γ Σ_s' P(s'|s,a) V_{h-1}(s')
∇J_H = Σ_{t<H} γ^t Σ_s Pr(s_t = s) Σ_a π(s,a) Q_{H-t}(s,a) ∇log π(s,a)
"""

from collections.abc import Callable, Iterator
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pgbench.problems import FiniteMDP

if TYPE_CHECKING:
    from pgbench.exact.values import Truth

FloatArray = NDArray[np.float64]


def finite_horizon(
    mdp: FiniteMDP, pi: FloatArray, horizon: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """V_H (S,), Q_H (S, A), d_H (S,) and the (S, A) weights of ∇J_H.

    Takes O(S·√H) memory and O(nnz(P)·H) time.
    """
    S, A = pi.shape
    visitation, weights = np.zeros(S), np.zeros((S, A))
    q_first = np.zeros((S, A))
    occupancy = occupancies(mdp, pi, mdp.gamma)
    rewards = (pi * mdp.expected_reward).sum(axis=1)

    def step(v: FloatArray) -> FloatArray:
        return rewards + mdp.gamma * np.einsum("sa,sa->s", pi, (mdp.transitions @ v).reshape(S, A))

    for t, v_next in enumerate(descending(step, S, horizon)):
        q = mdp.expected_reward + mdp.gamma * (mdp.transitions @ v_next).reshape(S, A)
        if t == 0:
            q_first = q
        u = next(occupancy)
        visitation += u
        weights += u[:, None] * pi * advantages(q, np.einsum("sa,sa->s", pi, q))
    v_first = (pi * q_first).sum(axis=1)
    return v_first, q_first, visitation, weights


def advantages(q: FloatArray, v: FloatArray) -> FloatArray:
    """Q - V (S, A), exactly zero where the two agree to rounding: noise is no advantage."""
    difference = q - v[:, None]
    rounding = 8 * np.finfo(float).eps * (np.abs(q) + np.abs(v[:, None]))
    return np.where(np.abs(difference) > rounding, difference, 0.0)


def truncated_visitation(mdp: FiniteMDP, pi: FloatArray, horizon: int) -> FloatArray:
    """d_H(s) = Σ_{t<H} γ^t Pr(s_t = s), shape (S,)."""
    occupancy = occupancies(mdp, pi, mdp.gamma)
    total = np.zeros(mdp.n_states)
    for _ in range(horizon):
        total += next(occupancy)
    return total


def expected_steps(mdp: FiniteMDP, pi: FloatArray, horizon: int) -> float:
    """Expected number of steps taken by one rollout of at most ``horizon`` steps."""
    if not mdp.terminal.any():
        return float(horizon)
    occupancy = occupancies(mdp, pi, 1.0)
    return float(sum(next(occupancy).sum() for _ in range(horizon)))


def truncated_gradient(truth: "Truth", horizon: int) -> FloatArray:
    """Σ_{t<H} γ^t E[A(s_t,a_t) ψ_t], shape (d,): ∇J less the tail beyond step H."""
    d = truncated_visitation(truth.mdp, truth.pi, horizon)
    return truth.policy.pull_back(truth.theta, d[:, None] * truth.pi * truth.advantage)


def shortest_horizon(truth: "Truth", tolerance: float = 0.01, cap: int = 1000) -> int:
    """Smallest H ≤ cap with ‖∇J_H - ∇J‖ ≤ tolerance·‖∇J‖, or the cap if there is none.

    The search assumes that the truncation bias falls once it is small; it returns an H that meets
    the tolerance while H - 1 does not.
    """
    target = tolerance * float(np.linalg.norm(truth.gradient))

    def excess(horizon: int) -> float:
        _, _, _, weights = finite_horizon(truth.mdp, truth.pi, horizon)
        gap = truth.policy.pull_back(truth.theta, weights) - truth.gradient
        return float(np.linalg.norm(gap)) - target

    gamma = truth.mdp.gamma
    guess = 16 if gamma in (0.0, 1.0) else int(np.ceil(np.log(tolerance) / np.log(gamma)))
    low, high = 0, min(max(guess, 1), cap)
    while excess(high) > 0:
        if high == cap:
            return cap
        low, high = high, min(2 * high, cap)
    return _bisect(excess, low, high)


def _bisect(excess: Callable[[int], float], low: int, high: int) -> int:
    while high - low > 1:
        middle = (low + high) // 2
        if excess(middle) > 0:
            low = middle
        else:
            high = middle
    return high


def occupancies(mdp: FiniteMDP, pi: FloatArray, carry: FloatArray | float) -> Iterator[FloatArray]:
    """E[D_t 1(s_t = s)], t = 0, 1, ..., with D_{t+1} = carry(s,a) D_t; zero on terminal states."""
    forward = mdp.transitions.T.tocsr()
    live = ~mdp.terminal
    weights = pi * carry
    u = mdp.mu0
    while True:
        yield u
        u = live * (forward @ (u[:, None] * weights).ravel())


def descending(
    step: Callable[[FloatArray], FloatArray], n_states: int, horizon: int
) -> Iterator[FloatArray]:
    """x_{H-1}, x_{H-2}, ..., x_0 of the recursion x_h = step(x_{h-1}), x_0 = 0.

    Keeps only about 2√H of the (S,) vectors at a time and computes each one twice.
    """
    stride = max(1, isqrt(horizon))
    kept = [x := np.zeros(n_states)]
    for h in range(1, horizon):
        x = step(x)
        if h % stride == 0:
            kept.append(x)
    while kept:
        segment = [kept.pop()]
        for _ in range(min(stride, horizon - len(kept) * stride) - 1):
            segment.append(step(segment[-1]))
        yield from reversed(segment)
