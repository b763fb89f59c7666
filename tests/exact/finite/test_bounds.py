"""The bound on the gradient's error, against derivatives of J in decimal arithmetic."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.exact.horizon import shortest_horizon
from pgbench.policies import make_policy
from pgbench.policies.neural import Neural
from pgbench.problems import FiniteMDP, make_problem
from tests.support.precise import decimals, derivative, distance, finite_values

KINDS = ["direct", "softmax", "loglinear", "tanh", "relu"]
NEARLY_ONE = 1 - 1e-6


def problem(seed, gamma):
    """A random problem with rewards of both signs; undiscounted ones end, sometimes rarely."""
    rng = np.random.default_rng(seed)
    S, A = int(rng.integers(2, 6)), int(rng.integers(2, 4))
    P = rng.random((S, A, S)) ** 4
    terminal = np.zeros(S, bool)
    if gamma == 1:
        terminal[-1] = True
        P[..., -1] *= 10.0 ** -rng.integers(0, 9)
    r = rng.standard_normal((S, A)) * 10.0 ** rng.integers(-3, 3)
    mu0 = np.r_[rng.random(S - 1), 0.0]
    P /= P.sum(axis=2, keepdims=True)
    return FiniteMDP.from_arrays(P, r, mu0 / mu0.sum(), gamma, terminal)


def evaluated(mdp, kind, seed, horizon=None):
    """The exact quantities of a policy with small random parameters, biases included."""
    if kind in ("tanh", "relu"):
        inputs = np.random.default_rng(1).standard_normal((mdp.n_states, 2))
        policy = Neural(inputs, (3, 2), kind, n_actions=mdp.n_actions)
        theta = np.random.default_rng(seed).standard_normal(policy.n_parameters)
    else:
        policy = make_policy(kind, mdp, **({"n_features": 3} if kind == "loglinear" else {}))
        theta = policy.initial(seed=seed)
    return evaluate(mdp, policy, theta, horizon)


def error_of(truth):
    """Lengths of the gradient's true error and of the true gradient."""
    exact = derivative(truth.mdp, truth.policy, truth.theta, truth.horizon)
    return distance(truth.gradient, exact)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.99, NEARLY_ONE, 1 - 1e-9, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_error_is_within_its_bound(kind, gamma, seed):
    truth = evaluated(problem(seed, gamma), kind, seed)
    error, size = error_of(truth)
    assert error <= truth.gradient_bound
    if gamma <= 0.99:
        assert truth.gradient_bound <= 1e6 * max(error, 1e-16 * size)
    if gamma < 1:
        assert truth.gradient_bound <= 1e-10 / (1 - gamma) * size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("horizon", [1, 2, 30])
def test_the_error_with_a_horizon_is_within_its_bound(kind, horizon):
    truth = evaluated(problem(horizon, 0.9), kind, horizon, horizon)
    error, size = error_of(truth)
    assert error <= truth.gradient_bound <= 1e-8 * size
    exact = finite_values(truth.mdp, truth.pi, horizon)
    assert np.abs(decimals(truth.v) - exact).max() <= truth.error_bound


@pytest.mark.parametrize("gamma", [0.5, 0.99, NEARLY_ONE])
def test_the_error_at_a_corner_of_the_simplex_is_within_its_bound(gamma):
    mdp = problem(2, gamma)
    policy = make_policy("direct", mdp)
    theta = policy.initial(seed=2).reshape(policy.shape)
    theta[0] = np.eye(mdp.n_actions)[0]
    truth = evaluate(mdp, policy, theta.ravel())
    error, size = error_of(truth)
    assert error <= truth.gradient_bound <= 1e-10 / (1 - gamma) * size


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_that_is_a_little_wrong_is_beyond_its_bound(kind):
    """The same check sees an error in the eighth digit."""
    truth = evaluated(problem(0, 0.9), kind, 0)
    error, _ = error_of(replace(truth, gradient=truth.gradient * (1 + 1e-8)))
    assert error > truth.gradient_bound


def test_a_rectifier_at_its_kink_is_within_its_bound():
    """The derivative at 0 counts as 0; rounding decides which side of 0 a sum is on."""
    mdp = problem(0, 0.9)
    inputs = np.full((mdp.n_states, 2), [0.7, 0.1])
    policy = Neural(inputs, (1,), "relu", n_actions=mdp.n_actions)
    theta = np.random.default_rng(2).standard_normal(policy.n_parameters)
    # 0.7 + 0.1 as they are stored is more than the nearest number below 0.8, to which it rounds.
    theta[:3] = [1.0, 1.0, -(0.7 + 0.1)]
    truth = evaluate(mdp, policy, theta)
    error, size = error_of(truth)
    assert 1e-3 * size < error <= truth.gradient_bound


def test_values_that_came_from_elsewhere_have_a_bound_too():
    """What is in a truth need not be what the factors would say."""
    truth = evaluated(problem(1, 0.9), "softmax", 1)
    rough = replace(truth, v=truth.v * (1 + 1e-6), visitation=truth.visitation * (1 - 1e-6))
    q = truth.mdp.expected_reward + 0.9 * (truth.mdp.transitions @ rough.v).reshape(rough.q.shape)
    worth = rough.visitation[:, None] * (q - rough.v[:, None])
    gradient = rough.policy.derivative(rough.theta, worth)
    rough = replace(rough, q=q, worth=worth, gradient=gradient)
    error, size = error_of(rough)
    assert 1e-8 * size < error <= rough.gradient_bound < 1e-2 * size


def test_a_gradient_that_rounding_hides_has_no_direction_and_a_small_one_has():
    """Steps cost the same wherever the goal is out of reach; a chain's gradient has its digits."""
    mdp = make_problem("gridworld", size=150, gamma=0.9)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=0))
    assert np.linalg.norm(truth.gradient) <= truth.gradient_bound < 1e-10
    assert not truth.resolved
    assert "cannot be told from zero" in truth.unresolved_note
    assert shortest_horizon(truth) == 44  # 0.9^44 < 0.01 < 0.9^43
    chain = make_problem("chain", length=40)
    policy = make_policy("softmax", chain)
    tiny = evaluate(chain, policy, policy.initial(init="zeros"))
    assert tiny.gradient_bound < 1e-9 * np.linalg.norm(tiny.gradient) < 1e-21
    assert tiny.resolved
    assert tiny.unresolved_note == ""


def test_squares_that_underflow_break_no_bound():
    """Rewards of 1e-200: the gradient's squares are zero, its error is not below the bound."""
    P = np.array([[[0.5, 0.5], [0.3, 0.7]], [[0.1, 0.9], [1, 0]]])
    r = np.array([[1 / 3, 0.7], [0.1, -0.2]])
    theta = [0.1, 0.3, -0.2, 0.7]
    large, small = (
        evaluate(mdp, make_policy("softmax", mdp), theta)
        for mdp in (FiniteMDP.from_arrays(P, r * c, [1.0, 0], 0.9) for c in (1.0, 1e-200))
    )
    error = np.abs(small.gradient / 1e-200 - large.gradient).max() * 1e-200
    assert error < 1e-214
    assert error <= small.gradient_bound
    assert not small.resolved


@pytest.mark.parametrize("S", [300, 3000])
def test_the_bound_of_v_knows_what_cancels_between_actions(S):
    """Every state pays the same sizes of 1e8 that nearly cancel, so V is their mean's sum."""
    rng = np.random.default_rng(0)
    pi, r = [0.1, 0.7, 0.2], [7e8 / 3, -1e8 / 3 + 1e-3, 0.0]
    mdp = FiniteMDP(
        successor=rng.integers(0, S, (S, 3, 4)),
        probability=np.full((S, 3, 4), 0.25),
        reward=np.tile(np.array(r)[:, None], (S, 1, 4)),
        mu0=np.full(S, 1 / S),
        gamma=0.5,
    )
    truth = evaluate(mdp, make_policy("direct", mdp), np.tile(pi, S))
    paid = sum(Fraction(p) * Fraction(x) for p, x in zip(pi, r, strict=True))
    exact = paid / sum(map(Fraction, pi)) / (1 - Fraction(0.5))
    assert max(abs(Fraction(v) - exact) for v in truth.v) <= truth.error_bound < 1e-3


@pytest.mark.parametrize("horizon", [None, 5])
def test_the_bound_of_v_knows_what_cancels_between_successors(horizon):
    """Rewards that hang on where a step leads, and have a mean of nearly zero."""
    r = [2.0999999999999996, -0.7]
    P, paid = [[[0.25, 0.75]]] * 2, [[r], [r]]
    mdp = FiniteMDP.from_arrays(P, paid, [1.0, 0.0], 0.5)
    truth = evaluate(mdp, make_policy("softmax", mdp), np.zeros(2), horizon)
    mean = Fraction(r[0]) / 4 + 3 * Fraction(r[1]) / 4
    exact = mean * (2 if horizon is None else 2 - Fraction(1, 2) ** (horizon - 1))
    error = max(abs(Fraction(v) - exact) for v in truth.v)
    assert 0 < error <= truth.error_bound < 1e-12
