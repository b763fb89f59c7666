"""Alias tables: draw from a discrete distribution with one or two loads and one comparison.

A distribution over n outcomes becomes n packed words. The high half of a 64-bit word u picks entry
k = ⌊n·u_high / 2³²⌋; the answer is k if the low half of u is below the entry's threshold, else the
entry's alias. Probabilities are resolved to 2⁻³². (Walker 1977; Vose 1991)
"""

import numpy as np
from numba import uint64

from pgbench.kernels.jit import kernel, part


def alias_tables(probability, pi, shift=0):
    """Tables (S, A·B) uint64 of the outcomes (a, k), of probability π(s, a) P(k | s, a).

    probability (S, A, B), pi (S, A) float64. An entry is ``threshold << 32 | alias << shift``.
    """
    S, A, B = probability.shape
    # Made by numpy, for it asks for huge pages.
    packed = np.empty((S, A * B), np.uint64)
    # Views, for it is not the caller's arrays that become read-only.
    given = [np.ascontiguousarray(x).view() for x in (probability, pi)]
    for array in given:
        array.setflags(write=False)
    _fill_alias_tables(given[0], given[1], shift, packed)
    return packed


@kernel
def _fill_alias_tables(probability, pi, shift, packed):
    """``alias_tables``."""
    S, A, B = probability.shape
    n = A * B
    p, small, large = np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64)
    for s in range(S):
        fill_row(probability[s], pi[s], shift, packed[s], p, small, large)


@part
def fill_row(probability, pi, shift, packed, p, small, large):
    """The table (A·B,) of one state by Vose's method; p, small, large (A·B,) are scratch."""
    A, B = probability.shape
    n = A * B
    total = 0.0
    for a in range(A):
        for b in range(B):
            p[a * B + b] = pi[a] * probability[a, b]
            total += p[a * B + b]
    likeliest = np.argmax(p)
    n_small = n_large = 0
    for k in range(n):
        # An entry of probability zero must never be drawn: its alias is one that can be.
        alias = likeliest if p[k] == 0.0 else k
        p[k] *= n / total
        packed[k] = uint64(alias) << uint64(shift)
        if p[k] < 1.0:
            small[n_small] = k
            n_small += 1
        else:
            large[n_large] = k
            n_large += 1
    while n_small > 0 and n_large > 0:
        n_small -= 1
        low, high = small[n_small], large[n_large - 1]
        threshold = min(np.floor(p[low] * 4294967296.0 + 0.5), 4294967295.0)
        packed[low] = uint64(threshold) << uint64(32) | uint64(high) << uint64(shift)
        p[high] -= 1.0 - p[low]
        if p[high] < 1.0:
            n_large -= 1
            small[n_small] = high
            n_small += 1
    # What is left is 1 up to rounding, whichever list it is in, and its own alias.
