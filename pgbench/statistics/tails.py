"""How much of a mean its sample may have missed: heavy tails of positive numbers.

The larger numbers of a sample are taken to be lognormal, which products of ratios and polynomials
of normal numbers nearly are. The mean of R of them is mostly below its expectation, for what is
rare and large is mostly not among them, and by how much at most is known.
"""

import numpy as np
from scipy import optimize, special

from pgbench.arrays import FloatArray

SHARES = (0.1, 0.25)
"""Shares of a sample, the largest numbers, to which tails are fitted."""

LEVEL = 0.005
"""Probability of a mean that is lower still. Fits err, so it is a fifth of an interval's 2.5 %."""

LIGHT = 1.0
"""Up to this shape, about that of squares of normal numbers, a tail is no heavy one."""

_HEAVIEST = 6.0
"""Of this shape and heavier 10⁶ replicates hold nearly nothing."""

_FLOOR = 1e-12
"""What is smaller relative to the largest number counts as this; zeros have no logarithm."""

_NODES = np.linspace(-9.0, 9.0, 361)
_LOG_WEIGHTS = -(_NODES**2) / 2 - np.log(np.exp(-(_NODES**2) / 2).sum())


def tail_shape(x: FloatArray) -> float:
    """σ of the lognormal law that the largest of R numbers x (R,) ≥ 0 follow, the greater of two.

    Slope of their logarithms against normal quantiles, at the plotting positions of Blom (1958),
    for the largest tenth of the numbers, one standard error σ/√k of k added, and for a quarter.
    Slopes hang little on the largest number of all, so a sample that missed it does not look light.
    """
    R = x.size
    counts = [max(2, int(share * R)) for share in SHARES]
    largest = np.sort(x)[::-1][: counts[-1]]
    logs = np.log(np.maximum(largest, _FLOOR * largest[0])) if largest[0] > 0 else 0.0 * largest
    quantiles = -special.ndtri((np.arange(1, largest.size + 1) - 0.375) / (R + 0.25))
    tenth, quarter = (_slope(quantiles[:k], logs[:k]) for k in counts)
    return max(tenth * (1 + 1 / np.sqrt(counts[0])), quarter)


def _slope(x: FloatArray, y: FloatArray) -> float:
    centred = x - x.mean()
    return float((centred * y).sum() / (centred**2).sum())


def least_share(shape: float, replicates: int) -> float:
    """What the mean of R lognormal numbers is at least, as a share of its expectation.

    With probability 1 - ``LEVEL``, where log x has the standard deviation ``shape``; 1 where tails
    are light. The share q with √(2R I(q)) the normal quantile, I the rate function of Cramér
    (1938); that is the leading term of the tail probability of Lugannani & Rice (1980). Within a
    tenth of simulated quantiles for shapes up to 3 and 200 replicates or more.
    """
    if shape <= LIGHT:
        return 1.0
    if shape >= _HEAVIEST:
        return 0.0
    x = np.exp(shape * _NODES - shape**2 / 2)
    least = float(special.ndtri(LEVEL)) ** 2 / (2 * replicates)

    def tilted(log_t: float) -> tuple[float, float]:
        """Mean q under the law tilted by e^(-tx), and I(q) = -tq - log E e^(-tx)."""
        t = np.exp(log_t)
        exponents = _LOG_WEIGHTS - t * x
        top = exponents.max()
        weights = np.exp(exponents - top)
        q = float((weights * x).sum() / weights.sum())
        return q, -t * q - float(top + np.log(weights.sum()))

    root = optimize.brentq(lambda log_t: tilted(log_t)[1] - least, -40.0, 40.0, xtol=1e-9)
    return tilted(root)[0]
