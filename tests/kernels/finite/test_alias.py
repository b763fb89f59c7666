"""Alias tables: what they draw is what they were given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbench.kernels.finite import make_sampler
from pgbench.kernels.finite.alias import alias_tables
from pgbench.problems import FiniteMDP, make_problem

HALF = 2**32


def table_of(p):
    """Thresholds and aliases of the table of one distribution, as Python integers."""
    entries = [int(entry) for entry in alias_tables(p[None, None, :], np.ones((1, 1)))[0]]
    return [e // HALF for e in entries], [e % HALF for e in entries]


def reconstructed(thresholds, aliases):
    """The probabilities that a table stands for, with cells of equal size."""
    n = len(thresholds)
    probability = np.zeros(n)
    for k in range(n):
        share = thresholds[k] / HALF / n
        probability[k] += share
        probability[aliases[k]] += 1 / n - share
    return probability


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
    """Each entry's threshold is rounded to 2⁻³²; a cell has 1/n of the probability."""
    np.testing.assert_allclose(reconstructed(*table_of(p)), p, rtol=0, atol=2.0**-31)


@given(distributions())
def test_what_cannot_happen_is_never_drawn(p):
    thresholds, aliases = table_of(p)
    for k in np.flatnonzero(p == 0):
        assert thresholds[k] == 0
        assert k not in aliases


@given(distributions(), distributions(most=6))
def test_outcomes_are_pairs_of_action_and_slot(pi, p):
    """Rows with other slots for every action; the table holds the products."""
    A = pi.size
    slots = np.stack([np.roll(p, a) for a in range(A)])
    entries = alias_tables(slots[None], pi[None], 5)[0]
    thresholds = [int(e) // HALF for e in entries]
    aliases = [int(e) % HALF >> 5 for e in entries]
    expected = (pi[:, None] * slots).ravel()
    np.testing.assert_allclose(reconstructed(thresholds, aliases), expected, rtol=0, atol=2.0**-31)


def test_rows_are_independent_tables():
    p = np.random.default_rng(0).dirichlet(np.ones(5), size=(7, 1))
    tables = alias_tables(p, np.ones((7, 1)))
    for i in range(7):
        alone = alias_tables(p[i : i + 1], np.ones((1, 1)))
        np.testing.assert_array_equal(tables[i], alone[0])


def test_large_uniform_table():
    """2²⁰ entries: every cell keeps to itself."""
    n = 2**20
    tables = alias_tables(np.full((1, 1, n), 1 / n), np.ones((1, 1)))
    np.testing.assert_array_equal(tables[0] % HALF, np.arange(n, dtype=np.uint64))


@pytest.mark.parametrize("name", ["riverswim", "corridor", "gridworld"])
def test_sampler_holds_successors_and_their_ends(name):
    mdp = make_problem(name, **({"size": 5} if name == "gridworld" else {}))
    S, A, B = mdp.probability.shape
    sampler = make_sampler(mdp, np.full((S, A), 1 / A))
    bits = int(sampler.bits)
    assert 2**bits >= S
    low = sampler.step.astype(np.int64) % HALF
    np.testing.assert_array_equal(low % 2**bits, mdp.successor.reshape(S, A * B))
    np.testing.assert_array_equal(low >> bits & 1, mdp.terminal[mdp.successor].reshape(S, A * B))
    assert (low >> bits + 1 < A * B).all()
    assert sampler.any_terminal == mdp.terminal.any()
    np.testing.assert_array_equal(sampler.start_state, np.flatnonzero(mdp.mu0))
    assert sampler.start.size == sampler.start_state.size


class Huge:
    """The shape of a problem that nobody has the memory for."""

    def __init__(self, *shape):
        self.probability = np.broadcast_to(1.0, shape)


def test_too_many_slots_are_refused():
    with pytest.raises(ValueError, match="the problem has 2147483648 slots, at most 2147483647"):
        make_sampler(Huge(2**20, 2**6, 2**5), None)


def test_entries_that_cannot_be_packed_are_refused():
    """17 bits for a state, 15 for an outcome, one for the flag; 2³¹ slots are not reached."""
    with pytest.raises(ValueError, match="65537 states with 32767 slots each, too many to sample"):
        make_sampler(Huge(2**16 + 1, 1, 2**15 - 1), None)


def test_one_state_has_no_bits():
    mdp = FiniteMDP.from_arrays(np.ones((1, 2, 1)), np.zeros((1, 2)), np.ones(1), 0.5)
    sampler = make_sampler(mdp, np.array([[0.25, 0.75]]))
    assert sampler.bits == 0
    assert (sampler.step % np.uint64(2) == 0).all()


def test_the_callers_arrays_stay_writable():
    pi, mdp = np.full((6, 2), 0.5), make_problem("riverswim")
    make_sampler(mdp, pi)
    assert pi.flags.writeable
