"""The transform of the success probability whose gradient an outcome estimator follows.

Where a return is 1 or 0 and weights see nothing else, E ĝ = F'(p) ∇p at each start: with p the
success probability and j successes among the G - 1 others

    F'(p) = Σ_j C(G-1, j) p^j (1-p)^(G-1-j) D_j,      D_j = G (w(1, j) - w(0, j))

a polynomial in Bernstein's form, which is integrated exactly. F' = 1 is the plain gradient.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pgbench.arrays import FloatArray
from pgbench.process.responses import Responses, Weights


@dataclass(frozen=True, eq=False)
class Transform:
    """F(p) with F(0) = 0, and its derivative.

    Attributes
    ----------
    coefficients
        (G,) float64, D_j by the number j of successes among the others.
    """

    coefficients: FloatArray

    def slope(self, p: ArrayLike) -> FloatArray:
        """F'(p), of the shape of p."""
        return bernstein(self.coefficients, p)

    def value(self, p: ArrayLike) -> FloatArray:
        """F(p) = ∫₀ᵖ F', of the shape of p."""
        sums = np.concatenate([[0.0], np.cumsum(self.coefficients)])
        return bernstein(sums / self.coefficients.size, p)


def bernstein(coefficients: FloatArray, p: ArrayLike) -> FloatArray:
    """Σ_j C(n, j) p^j (1-p)^(n-j) b_j of coefficients (n + 1,), by de Casteljau's algorithm."""
    x = np.asarray(p, np.float64)[..., None]
    b = np.broadcast_to(coefficients, (*x.shape[:-1], coefficients.size))
    while b.shape[-1] > 1:
        b = (1 - x) * b[..., :-1] + x * b[..., 1:]
    return np.asarray(b[..., 0], np.float64)


def transform(weights: Weights, group_size: int) -> Transform:
    """The transform that weights follow which see one group of returns 0 and 1, all else equal.

    Responses are of one step of one, not cut, and their only outcome is success.
    """
    G = group_size
    j = np.arange(G)
    others = np.arange(1, G) <= j[:, None]
    own = np.array([1.0, 0.0])[:, None, None]
    returns = np.concatenate(
        [np.broadcast_to(own, (2, G, 1)), np.broadcast_to(others, (2, G, G - 1))], axis=2
    )[:, :, None]
    responses = Responses(
        returns, np.ones_like(returns), np.zeros(returns.shape, bool), returns[..., None], limit=1
    )
    won, lost = weights(responses)[..., 0, 0]
    return Transform(G * (won - lost))
