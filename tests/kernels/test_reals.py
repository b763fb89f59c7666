"""Vectors of numbers against numpy, lane by lane."""

import numpy as np
import pytest

from pgbench.kernels.jit import kernel
from pgbench.kernels.reals import lane, load, load_eight, store, zeros

X, Y = np.random.default_rng(0).standard_normal((2, 9))


@kernel
def arithmetic(x, y, factor, out):
    """Four results, one after the other."""
    four = np.uint64(4)
    a, b = load(x, np.uint64(1), four), load(y, np.uint64(2), four)
    c = zeros(a)
    c += a - b
    c *= factor
    store(out, np.uint64(0), four, a + b)
    store(out, four, four, a * b)
    store(out, np.uint64(8), four, a * factor)
    store(out, np.uint64(12), four, c)


def test_arithmetic_is_that_of_every_lane():
    out = np.zeros(16)
    arithmetic(X, Y, 0.3, out)
    a, b = X[1:5], Y[2:6]
    np.testing.assert_array_equal(out, np.concatenate([a + b, a * b, a * 0.3, (a - b) * 0.3]))


@kernel
def copied(x, m, out):
    """Write the first m of four to ``out``; the last lane that was read."""
    vector = load(x, np.uint64(0), m)
    store(out, np.uint64(1), m, vector)
    return lane(vector, np.uint64(3))


@pytest.mark.parametrize("m", [0, 1, 3, 4, 7])
def test_lanes_beyond_the_first_are_zero_and_nothing_is_written_there(m):
    out, n = np.full(6, np.nan), min(m, 4)
    assert copied(X, np.uint64(m), out) == (X[3] if n == 4 else 0.0)
    np.testing.assert_array_equal(out[1 : n + 1], X[:n])
    assert np.isnan(out[n + 1 :]).all()


@kernel
def widened(x, out):
    """Eight numbers of 32 bits, doubled."""
    vector = load_eight(x, np.uint64(1)) * 2.0
    for q in range(8):
        out[q] = lane(vector, np.uint64(q))


def test_numbers_of_32_bits_are_exact_in_64():
    x, out = X.astype(np.float32), np.zeros(8)
    widened(x, out)
    np.testing.assert_array_equal(out, 2 * x[1:].astype(np.float64))
