"""Alias tables: draw from a discrete distribution with one load and one comparison.

Row i of n entries becomes n packed words ``alias << 32 | threshold``. A 32-bit random u picks entry
k = ⌊u·n / 2³²⌋; if the fraction (u·n mod 2³²) is below the threshold the answer is k, else the
alias. Probabilities are resolved to 2⁻³². Aliases are indices into the whole flat table, so the
answer is a flat index too. (Walker 1977; Vose 1991)
"""

from typing import NamedTuple

import numpy as np
from numba import njit, uint64


class Sampler(NamedTuple):
    """Everything a rollout draws from, as flat arrays.

    start (K,), action (S·A,), slot (S·A·B,) uint64 packed alias tables of the start distribution,
    of π and of the transitions; start_state (K,) and successor (S·A·B,) int32; terminal (S,) bool.
    """

    start: np.ndarray
    start_state: np.ndarray
    action: np.ndarray
    slot: np.ndarray
    successor: np.ndarray
    terminal: np.ndarray


def make_sampler(mu0, pi, successor, probability, terminal) -> Sampler:
    """Tables for the start (S,), the policy (S, A), and transitions with (S, A, B) slots."""
    start_state = np.flatnonzero(mu0).astype(np.int32)
    if probability.size >= 2**31:
        raise ValueError(
            f"the problem has {probability.size} slots, at most {2**31 - 1} can be sampled"
        )
    return Sampler(
        start=alias_table(np.ascontiguousarray(mu0[start_state])[None, :]),
        start_state=start_state,
        action=alias_table(np.ascontiguousarray(pi)),
        slot=alias_table(np.ascontiguousarray(probability).reshape(-1, probability.shape[-1])),
        successor=np.ascontiguousarray(successor, np.int32).ravel(),
        terminal=np.ascontiguousarray(terminal, np.bool_),
    )


@njit(cache=True)
def alias_table(probability):
    """Packed alias table (rows·n,) uint64 of (rows, n) distributions, by Vose's method."""
    rows, n = probability.shape
    packed = np.empty(rows * n, np.uint64)
    scaled, small, large = np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(rows):
        n_small = n_large = 0
        for k in range(n):
            scaled[k] = probability[i, k] * n
            packed[i * n + k] = uint64(i * n + k) << uint64(32)
            if scaled[k] < 1.0:
                small[n_small] = k
                n_small += 1
            else:
                large[n_large] = k
                n_large += 1
        while n_small > 0 and n_large > 0:
            n_small -= 1
            low, high = small[n_small], large[n_large - 1]
            threshold = min(np.floor(scaled[low] * 4294967296.0 + 0.5), 4294967295.0)
            packed[i * n + low] = (uint64(i * n + high) << uint64(32)) | uint64(threshold)
            scaled[high] -= 1.0 - scaled[low]
            if scaled[high] < 1.0:
                n_large -= 1
                small[n_small] = high
                n_small += 1
        # What is left is 1 up to rounding, whichever list it is in; but an entry of probability
        # zero must never be drawn: it takes an entry that can be.
        for k in range(n):
            if probability[i, k] == 0.0 and packed[i * n + k] >> uint64(32) == uint64(i * n + k):
                packed[i * n + k] = uint64(i * n + np.argmax(probability[i])) << uint64(32)
    return packed


@njit(cache=True)
def draw(table, first, n, u):
    """Flat index drawn from the row of ``n`` entries at ``first`` with a 32-bit uniform ``u``."""
    x = u * uint64(n)
    index = first + np.int64(x >> uint64(32))
    entry = table[index]
    if (x & uint64(0xFFFFFFFF)) < (entry & uint64(0xFFFFFFFF)):
        return index
    return np.int64(entry >> uint64(32))
