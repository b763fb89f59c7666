"""Correction of the t statistic for the skewness of what is averaged (Hall 1992).

All of it hangs on a = γ̂/√R, the skewness of a mean of R numbers of skewness γ̂. Laws are those of
``scipy.special``: the methods of ``scipy.stats`` take a hundred times as long for one number.
"""

import numpy as np
from scipy import special

from pgbench.arrays import FloatArray


def skewness_of_mean(
    cubes: FloatArray, cubed_deviation: FloatArray | float, replicates: int
) -> FloatArray:
    """a = γ̂/√R from third powers (R, ...) of deviations, and of their standard deviation."""
    return np.asarray(cubes.mean(axis=0) / cubed_deviation / np.sqrt(replicates))


def corrected(t: FloatArray | float, a: FloatArray | float) -> FloatArray:
    """g(t) = t + a (t²/3 + 1/6) + a² t³/27, increasing in t (Hall 1992, eq. 2.2)."""
    return np.asarray(t + a * (t**2 / 3 + 1 / 6) + a**2 * t**3 / 27)


def corrected_test(t: float, a: float, freedom: int) -> tuple[float, float]:
    """g(t), and the two-sided p-value that Student's law gives it."""
    score = float(corrected(t, a))
    return score, 2 * float(special.stdtr(freedom, -abs(score)))


def inverse_corrected(z: float, a: float) -> float:
    """t with g(t) = z: g(t) = ((1 + a t/3)³ - 1)/a + a/6."""
    if abs(a) < 1e-6:
        return z - a * (z**2 / 3 + 1 / 6)
    return 3 / a * (float(np.cbrt(1 + a * (z - a / 6))) - 1)
