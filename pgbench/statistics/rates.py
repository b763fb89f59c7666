"""Exponents, fitted as the slopes of straight lines to logarithms."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from pgbench.arrays import FloatArray


@dataclass(frozen=True)
class Line:
    """A straight line by least squares, half the 95 % interval of its slope, and R².

    With two points there is no interval: ``half`` is NaN.
    """

    slope: float
    intercept: float
    half: float
    r_squared: float


def fit_line(x: FloatArray, y: FloatArray) -> Line:
    """The line through points (n,), every one with the same weight; x must take two values.

    The interval is Student's, from the scatter about the line with n - 2 degrees of freedom.
    """
    across, up, freedom = x - x.mean(), y - y.mean(), x.size - 2
    slope = float((across * up).sum() / (across**2).sum())
    left, scatter = float(((up - slope * across) ** 2).sum()), float((up**2).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(left / np.float64(freedom) / (across**2).sum())
        r_squared = float(1 - left / np.float64(scatter))
    half = float(special.stdtrit(freedom, 0.975) * error)
    return Line(slope, float(y.mean() - slope * x.mean()), half, r_squared)


@dataclass(frozen=True)
class Rate:
    """Fitted exponent of y ∝ n^slope with its 95 % interval."""

    slope: float
    low: float
    high: float
    intercept: float


def fit_rate(n: ArrayLike, y: ArrayLike, low: ArrayLike, high: ArrayLike) -> Rate:
    """Slope of log y against log n, for independent y with 95 % intervals.

    All points have the same weight: standard errors as weights would favour samples that missed
    rare events, whose y and error are both too small. The interval of the slope, a sum of log y
    with known coefficients, combines those of y, which may be lopsided (Zou & Donner 2008). Points
    without a positive finite interval are left out; with fewer than two left every field is NaN.
    The interval does not reflect a departure from a straight line.
    """
    n, y, low, high = (np.asarray(x, np.float64) for x in (n, y, low, high))
    good = (n > 0) & (y > 0) & (low > 0) & np.isfinite(high)
    if good.sum() < 2 or np.unique(n[good]).size < 2:
        return Rate(np.nan, np.nan, np.nan, np.nan)
    x, value = np.log(n[good]), np.log(y[good])
    down, up = value - np.log(low[good]), np.log(high[good]) - value
    c = (x - x.mean()) / np.sum((x - x.mean()) ** 2)
    slope = float(np.sum(c * value))
    below = float(np.sqrt(np.sum((c * np.where(c > 0, down, up)) ** 2)))
    above = float(np.sqrt(np.sum((c * np.where(c > 0, up, down)) ** 2)))
    return Rate(slope, slope - below, slope + above, float(value.mean() - slope * x.mean()))
