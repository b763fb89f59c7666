"""What the largest of some numbers say of those that were not seen.

The mean of positive numbers with a heavy tail hangs on values beyond the largest of a sample, and
a sample that has none of them looks light. Above a high threshold s numbers are taken to have a
Pareto tail, P(X > x | X > s) = (x/s)^(-1/ξ), with ξ from the √R largest (Hill 1975).
"""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

HEAVIEST = 0.95
"""Largest tail index: at 1 there is no mean."""


def tail_index(x: FloatArray) -> tuple[float, float]:
    """ξ of the √R largest of R numbers x (R,) ≥ 0, and the threshold s; ξ is 0 without a tail.

    ξ = mean of log(x/s) over the k = ⌊√R⌋ largest, s the one before them (Hill 1975, *Ann. Stat.*
    3, 1163-1174).
    """
    k = int(np.sqrt(x.size))
    largest = np.partition(x, x.size - k - 1)[x.size - k - 1 :] if k < x.size else x
    s = float(largest.min())
    if not s > 0:
        return 0.0, 0.0
    return min(float(np.log(largest / s).sum()) / k, HEAVIEST), s


def unseen_mean(x: FloatArray) -> float:
    """Expected contribution to the mean of what lies beyond the largest of x (R,) ≥ 0.

    E[X; X > M] = P(X > M) M/(1 - ξ) with P(X > M) = (k/R)(M/s)^(-1/ξ), M the largest (Weissman
    1978, *J. Am. Stat. Assoc.* 73, 812-815).
    """
    xi, s = tail_index(x)
    if xi == 0:
        return 0.0
    largest = float(x.max())
    beyond = int(np.sqrt(x.size)) / x.size * (largest / s) ** (-1 / xi)
    return beyond * largest / (1 - xi)
