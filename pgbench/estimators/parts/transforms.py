"""What estimators climb that look at success alone: a function F of its chance p.

Of responses that succeed or fail and are alike otherwise, Σ_i E[w_i Z_i] = F'(p) ∇p: whatever the
weights, the mean is the gradient of a function of the chance of success.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pgbench.arrays import FloatArray
from pgbench.process.responses import Responses, Weights


@dataclass(frozen=True)
class Transform:
    """The function that large groups climb: LaTeX of F(p), and its values, less F(0) if finite."""

    formula: str
    value: Callable[[FloatArray], FloatArray]


CHANCE = Transform("p", lambda p: p)
LOG = Transform(r"\log p", np.log)
ARCSINE = Transform(r"2\arcsin\sqrt{p}", lambda p: 2 * np.arcsin(np.sqrt(p)))


@cache
def passed(k: int) -> Transform:
    """1 - (1-p)^k, the chance that one of k responses succeeds."""
    return Transform(rf"1 - (1-p)^{{{k}}}", lambda p: 1 - (1 - p) ** k)


def transform(weights: Weights, group_size: int, p: ArrayLike) -> FloatArray:
    """F(p) - F(0) of groups of a size, for weights without parameters; shape of p.

    F' is a polynomial in Bernstein's form, so its integral is one: with b_k the chance of k
    successes among G, F(p) = Σ_k b_k(p) Σ_{j<k} s_j, in which s_j is what success adds to the
    weight of a response of which j others succeed.
    """
    p, G = np.asarray(p, np.float64), group_size
    steps = np.concatenate([[0.0], np.cumsum(_worth(weights, G))])
    # De Casteljau's algorithm: a mean of means, exact in every digit that the steps have.
    b = np.broadcast_to(steps, (*p.shape, G + 1))
    for _ in range(G):
        b = b[..., :-1] + p[..., None] * np.diff(b)
    return np.asarray(b[..., 0], np.float64)


def _worth(weights: Weights, G: int) -> FloatArray:
    """What success adds to the weight of a response of which j < G others succeed, (G,)."""
    others = np.arange(G - 1) < np.arange(G)[:, None]

    def of_first(success: float) -> Any:
        returns = np.concatenate([np.full((G, 1), success), others], axis=1)[:, None]
        ones = np.ones_like(returns)
        own = Responses(returns, ones, np.zeros(returns.shape, bool), returns[..., None], 1)
        return weights(own)[:, 0, 0]

    return np.asarray(of_first(1.0) - of_first(0.0), np.float64)
