"""How far rounding moves what a function computes, estimated from its values at near points.

    σ_k² = γ_k / (p - k) Σ_i (Δ^k f_i)²,   γ_k = (k!)² / (2k)!

for the k-th differences of p values f_i along a line: what is smooth of f is gone from them, and
what is left is noise of standard deviation σ. (Moré & Wild 2011, SIAM J. Sci. Comput. 33, eq. 2.2)
The points are so near that only the last digits of their numbers differ. So whatever a function
does inside is seen, also where it computes in less than double precision.
"""

from collections.abc import Iterator
from math import comb

import numpy as np

from pgbench.arrays import FloatArray

POINTS = 9
ORDER = 2
SPACING = 2.0**-48
"""Between neighbouring points, beside the size of each number."""


def nearby(x: FloatArray) -> Iterator[FloatArray]:
    """Points near x on a line, each number moved by multiples of 16 of its last digits."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], x.shape)
    for i in range(POINTS):
        yield x * (1.0 + (i - POINTS // 2) * SPACING * signs)


def computational_noise(values: FloatArray) -> FloatArray:
    """Standard deviations σ of the noise of functions from their values (p, ...) at near points."""
    differences = np.diff(values, n=ORDER, axis=0)
    return np.sqrt(np.mean(differences**2, axis=0) / comb(2 * ORDER, ORDER))
