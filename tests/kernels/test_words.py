"""Vectors of words against numpy, lane by lane."""

import numpy as np
import pytest

from pgbench.kernels.jit import kernel
from pgbench.kernels.words import (
    WIDTH,
    choose_below,
    count_set,
    gather,
    load,
    prefetch,
    spread,
    store,
)

RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 2**64, (2, 3 * WIDTH), dtype=np.uint64)
SHIFT, FACTOR = np.uint64(7), np.uint64(0xFFFFFFFF)


@kernel
def arithmetic(x, y, shift, factor, out):
    """Eight results, one after the other."""
    a, b = load(x, 1), load(y, 1)
    c = a
    c ^= b
    c += a
    store(out, 0, a + b)
    store(out, WIDTH, a * factor)
    store(out, 2 * WIDTH, factor & b)
    store(out, 3 * WIDTH, a | b)
    store(out, 4 * WIDTH, a ^ b)
    store(out, 5 * WIDTH, a << shift)
    store(out, 6 * WIDTH, a >> shift)
    store(out, 7 * WIDTH, c)


def test_arithmetic_is_that_of_every_lane():
    out = np.zeros(8 * WIDTH, np.uint64)
    arithmetic(X, Y, SHIFT, FACTOR, out)
    a, b = X[1 : WIDTH + 1], Y[1 : WIDTH + 1]
    expected = a + b, a * FACTOR, FACTOR & b, a | b, a ^ b, a << SHIFT, a >> SHIFT, (a ^ b) + a
    np.testing.assert_array_equal(out, np.concatenate(expected))


@kernel
def moved(table, index, array, out):
    """Entries of a table, low halves of indices spread over an array, and a choice."""
    at = load(index, 0)
    prefetch(table, at)
    found = gather(table, at)
    spread(array, 2, 3, at | (found << np.uint64(32)))
    store(out, 0, choose_below(at, found, at, found))


def test_lanes_read_and_write_where_they_should():
    index = RNG.permutation(WIDTH).astype(np.uint64)
    table = RNG.integers(0, WIDTH, WIDTH).astype(np.uint64)
    array, out = np.full(3 * WIDTH + 2, 7, np.uint32), np.zeros(WIDTH, np.uint64)
    moved(table, index, array, out)
    expected = np.full(3 * WIDTH + 2, 7, np.uint32)
    expected[2::3] = index
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_array_equal(out, np.minimum(index, table[index]))


@kernel
def counted(x):
    """Lanes that are not zero."""
    return count_set(load(x, 0))


@pytest.mark.parametrize("n", [0, 1, WIDTH - 1, WIDTH])
def test_lanes_that_are_not_zero_are_counted(n):
    x = np.zeros(WIDTH, np.uint64)
    x[:n] = np.uint64(1) << np.arange(n, dtype=np.uint64) * np.uint64(2)
    assert counted(x[::-1].copy()) == n
