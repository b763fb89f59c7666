"""The expected divergence between policies and its expansion in the Fisher information."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr

from pgbench.exact import evaluate
from pgbench.exact.finite.divergence import expected_kl, quadratic
from pgbench.policies import Direct, Softmax
from pgbench.problems import make_problem
from tests.support.numbers import close, tangents


def generic_direction(truth, tangents, seed=0):
    """A random direction of length 1 in which θ may move, and how far it may."""
    directions, reach = tangents(truth.policy, truth.theta)
    direction = np.random.default_rng(seed).standard_normal(truth.theta.size) @ directions
    return direction / np.linalg.norm(direction), reach


def exponent(truth, expansion, direction, reach):
    """Slope of log |D(θ, θ+δ) - expansion(δ)| against log ‖δ‖."""
    sizes = reach * 2.0 ** -np.arange(8, 14)
    errors = [abs(truth.kl(truth.theta + h * direction) - expansion(h * direction)) for h in sizes]
    return np.polyfit(np.log(sizes), np.log(errors), 1)[0]


def test_divergence_is_the_sum_of_relative_entropies(truth):
    other = truth.policy.initial(seed=9)
    entropies = rel_entr(truth.pi, truth.policy.probabilities(other)).sum(axis=1)
    gamma = truth.mdp.gamma
    rho = truth.visitation * (1 - gamma if gamma < 1 else 1)
    close(expected_kl(truth, other), rho @ entropies, 1e-13)
    assert truth.kl(other) == expected_kl(truth, other)
    assert truth.kl(truth.theta) == 0


def test_expansion_is_half_the_quadratic_form_of_fisher(truth):
    delta = np.random.default_rng(1).standard_normal(truth.theta.size)
    close(truth.kl_expansion(delta), 0.5 * delta @ truth.fisher() @ delta, 1e-13)
    assert quadratic(truth, delta) == truth.kl_expansion(delta)


@pytest.mark.parametrize("seed", range(3))
def test_error_of_the_expansion_is_of_third_order(truth, seed):
    direction, reach = generic_direction(truth, tangents, seed)
    assert 2.9 < exponent(truth, truth.kl_expansion, direction, reach) < 3.1


def test_expansion_without_the_half_fails_the_same_check(truth):
    direction, reach = generic_direction(truth, tangents)
    slope = exponent(truth, lambda delta: 2 * truth.kl_expansion(delta), direction, reach)
    assert 1.9 < slope < 2.1


def two_actions(p):
    """The truth of the direct policy (p, 1-p) in a single state, of weight 1."""
    mdp = make_problem("garnet", n_states=1, n_actions=2, branching=1, gamma=0.0)
    return evaluate(mdp, Direct(1, 2), [p, 1 - p])


@given(st.floats(0, 1), st.floats(0, 1))
def test_divergence_of_two_coins(p, q):
    expected = rel_entr(p, q) + rel_entr(1 - p, 1 - q)
    assert two_actions(p).kl([q, 1 - q]) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_small_divergences_keep_their_digits():
    """KL(p ‖ p + h) = h²/(2p(1-p)) + O(h³), to which terms p log(p/q) of order h cancel."""
    p, h = 0.3, 2.0**-26
    exact = h**2 / (2 * p * (1 - p))
    assert two_actions(p).kl([p + h, 1 - p - h]) == pytest.approx(exact, rel=1e-6, abs=0)
    naive = p * np.log(p / (p + h)) + (1 - p) * np.log((1 - p) / (1 - p - h))
    assert naive != pytest.approx(exact, rel=1e-3, abs=0)


def test_lost_support_is_infinite_where_it_is_visited():
    assert two_actions(0.5).kl([1.0, 0.0]) == np.inf
    assert two_actions(1.0).kl([0.5, 0.5]) == pytest.approx(np.log(2))
    assert two_actions(1.0).kl([1.0, 0.0]) == 0.0
    mdp = make_problem("corridor")
    truth = evaluate(mdp, Direct(4, 2), np.full(8, 0.5))
    terminal = np.full(8, 0.5)
    terminal[6:] = 1.0, 0.0
    assert truth.kl(terminal) == 0.0
    visited = np.full(8, 0.5)
    visited[:2] = 1.0, 0.0
    assert truth.kl(visited) == np.inf


def test_wrong_arguments_are_refused():
    mdp = make_problem("random", n_states=4, n_actions=3)
    truth = evaluate(mdp, Softmax(4, 3), np.zeros(12))
    with pytest.raises(ValueError, match=r"theta has shape \(3,\), must be \(12,\)"):
        truth.kl(np.zeros(3))
    with pytest.raises(ValueError, match=r"delta has shape \(3,\), must be \(12,\)"):
        truth.kl_expansion(np.zeros(3))
    with pytest.raises(ValueError, match=r"theta of state 0 sums to 0\.6"):
        two_actions(0.5).kl([0.3, 0.3])
