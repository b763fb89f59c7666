"""Alias tables: what they draw is what they were given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbench.kernels.alias import alias_table, draw, make_sampler
from pgbench.problems import make_problem

WORDS = 2**32


def unpack(table, rows):
    """Thresholds and aliases (rows, n) of a packed table, as Python integers."""
    entries = [int(entry) for entry in table]
    n = len(entries) // rows
    return (
        [[e % WORDS for e in entries[i * n : (i + 1) * n]] for i in range(rows)],
        [[e // WORDS - i * n for e in entries[i * n : (i + 1) * n]] for i in range(rows)],
    )


def reconstructed(table, rows):
    """The probabilities (rows, n) that a packed table stands for."""
    thresholds, aliases = unpack(table, rows)
    n = len(thresholds[0])
    probability = np.zeros((rows, n))
    for i in range(rows):
        for k in range(n):
            share = thresholds[i][k] / WORDS / n
            probability[i, k] += share
            probability[i, aliases[i][k]] += 1 / n - share
    return probability


def counted(table, n):
    """The number of 32-bit words u for which each entry of a table of one row is drawn, exactly.

    Word u picks cell k = ⌊u n / 2³²⌋ and stays there while u n mod 2³² is below the threshold.
    """
    (thresholds,), (aliases,) = unpack(table, 1)
    counts = [0] * n
    for k in range(n):
        first, last = -(-k * WORDS // n), -(-(k + 1) * WORDS // n)
        stay = max(0, min(last, -(-(k * WORDS + thresholds[k]) // n)) - first)
        counts[k] += stay
        counts[aliases[k]] += last - first - stay
    return counts


@st.composite
def distributions(draw_from, most=40):
    """A distribution on 1 to ``most`` entries, spread over many orders of magnitude, with zeros."""
    exponents = st.floats(-12, 0).map(lambda x: 10**x)
    weights = draw_from(st.lists(st.one_of(st.just(0.0), exponents), min_size=1, max_size=most))
    p = np.array(weights)
    p[draw_from(st.integers(0, p.size - 1))] += 1e-3
    return p / p.sum()


@given(distributions())
def test_table_stands_for_the_distribution(p):
    table = alias_table(p[None, :])
    np.testing.assert_allclose(reconstructed(table, 1)[0], p, rtol=0, atol=2.0**-31)


@given(distributions())
def test_draws_over_all_words_follow_the_distribution(p):
    """Each of the n cells adds at most two words of rounding."""
    counts = counted(alias_table(p[None, :]), p.size)
    assert sum(counts) == WORDS
    np.testing.assert_allclose(counts, p * WORDS, rtol=0, atol=2 * p.size)


@given(distributions())
def test_what_cannot_happen_is_never_drawn(p):
    counts = np.array(counted(alias_table(p[None, :]), p.size))
    assert (counts[p == 0] == 0).all()


@given(distributions(most=8), st.lists(st.integers(0, WORDS - 1), min_size=1, max_size=50))
def test_compiled_draw_is_the_plain_one(p, words):
    table, n = alias_table(p[None, :]), p.size
    (thresholds,), (aliases,) = unpack(table, 1)
    for u in [*words, 0, WORDS - 1]:
        k = u * n // WORDS
        expected = k if u * n % WORDS < thresholds[k] else aliases[k]
        assert draw(table, 0, n, np.uint64(u)) == expected


def test_counting_agrees_with_drawing():
    p = np.array([0.5, 0.0, 0.125, 0.375])
    table = alias_table(p[None, :])
    words = np.arange(0, WORDS, 2**16, dtype=np.uint64)
    drawn = np.bincount([draw(table, 0, 4, u) for u in words[:: 2**6]], minlength=4)
    np.testing.assert_array_equal(drawn, p * drawn.sum())


def test_rows_are_independent_tables():
    p = np.random.default_rng(0).dirichlet(np.ones(5), size=7)
    table = alias_table(p)
    np.testing.assert_allclose(reconstructed(table, 7), p, rtol=0, atol=2.0**-31)
    for i in range(7):
        for u in (0, 2**31, WORDS - 1):
            assert i * 5 <= draw(table, i * 5, 5, np.uint64(u)) < (i + 1) * 5


def test_one_entry_is_certain():
    table = alias_table(np.ones((3, 1)))
    for i in range(3):
        assert draw(table, i, 1, np.uint64(0)) == i
        assert draw(table, i, 1, np.uint64(WORDS - 1)) == i


def test_large_uniform_table():
    """2²⁰ entries: every cell keeps to itself."""
    n = 2**20
    table = alias_table(np.full((1, n), 1 / n))
    np.testing.assert_array_equal(table >> np.uint64(32), np.arange(n, dtype=np.uint64))


def test_sampler_leaves_out_states_without_a_start():
    mdp = make_problem("riverswim")
    pi = np.full((6, 2), 0.5)
    sampler = make_sampler(mdp.mu0, pi, mdp.successor, mdp.probability, mdp.terminal)
    np.testing.assert_array_equal(sampler.start_state, [0])
    assert sampler.start.size == 1
    np.testing.assert_allclose(
        reconstructed(sampler.slot, 12), mdp.probability.reshape(12, 3), rtol=0, atol=2.0**-31
    )
    np.testing.assert_array_equal(sampler.successor, mdp.successor.ravel())


def test_too_many_slots_are_refused():
    huge = np.broadcast_to(1.0, (2**20, 2**6, 2**5))
    with pytest.raises(ValueError, match="the problem has 2147483648 slots, at most 2147483647"):
        make_sampler(np.ones(1), np.ones((1, 1)), np.zeros(1), huge, np.zeros(1, bool))
