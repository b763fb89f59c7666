"""Finite horizons: what a rollout of H steps sees, and how long it must be."""

from collections.abc import Callable
from functools import singledispatch
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.truth import Truth


@singledispatch
def expected_steps(mdp: Any, pi: Any, horizon: int) -> float:
    """Expected number of steps taken by one rollout of at most ``horizon`` steps."""
    raise NotImplementedError(f"no expected steps are known of a {type(mdp).__name__}")


@singledispatch
def finite_objective(truth: Truth, horizon: int) -> tuple[float, FloatArray]:
    """J_H, unit reward, and ∇J_H (d,)."""
    raise NotImplementedError(f"no finite horizons are known of a {type(truth).__name__}")


def finite_gradient(truth: Truth, horizon: int) -> FloatArray:
    """∇J_H (d,)."""
    return finite_objective(truth, horizon)[1]


@singledispatch
def truncated_gradient(truth: Truth, horizon: int) -> FloatArray:
    """Σ_{t<H} γ^t E[A(s_t,a_t) ψ_t], shape (d,): ∇J less the tail beyond step H."""
    raise NotImplementedError(f"no finite horizons are known of a {type(truth).__name__}")


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
