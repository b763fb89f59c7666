"""Shares of yes-or-no replicates with their intervals."""

import numpy as np
from scipy import special

from pgbench.statistics.estimate import CONFIDENCE, NORMAL


def clopper_pearson(ones: float, n: int) -> tuple[float, float]:
    """Interval of a share (Clopper & Pearson 1934), which covers at every share."""
    tail = (1 - CONFIDENCE) / 2
    low = float(special.betaincinv(ones, n - ones + 1, tail)) if ones > 0 else 0.0
    high = float(special.betaincinv(ones + 1, n - ones, 1 - tail)) if ones < n else 1.0
    return low, high


def wilson(ones: int, n: int) -> tuple[float, float]:
    """Interval of a share (Wilson 1927), which covers on the average over shares."""
    share, whole = ones / n, 2 * (n + NORMAL**2)
    centre = (2 * ones + NORMAL**2) / whole
    half = NORMAL / whole * float(np.sqrt(4 * ones * (1 - share) + NORMAL**2))
    return centre - half if ones > 0 else 0.0, centre + half if ones < n else 1.0
