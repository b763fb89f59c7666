"""Shares of yes-or-no replicates with their intervals."""

from scipy import special, stats

from pgbench.statistics.estimate import CONFIDENCE


def clopper_pearson(ones: float, n: int) -> tuple[float, float]:
    """Interval of a share (Clopper & Pearson 1934), which covers at every share."""
    tail = (1 - CONFIDENCE) / 2
    low = float(special.betaincinv(ones, n - ones + 1, tail)) if ones > 0 else 0.0
    high = float(special.betaincinv(ones + 1, n - ones, 1 - tail)) if ones < n else 1.0
    return low, high


def wilson(ones: int, n: int) -> tuple[float, float]:
    """Interval of a share (Wilson 1927), which covers on the average over shares."""
    interval = stats.binomtest(ones, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)
