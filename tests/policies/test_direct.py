"""The direct policy: gradients along the simplex, its boundary, and what it refuses."""

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.policies import Direct, Softmax, make_policy
from pgbench.problems import make_problem
from tests.support.numbers import close, differentiate

PROBLEM = make_problem("random", n_states=4, n_actions=3)
POLICY = Direct(4, 3)


def test_probabilities_are_the_parameters():
    theta = POLICY.initial(seed=1)
    np.testing.assert_array_equal(POLICY.probabilities(theta).ravel(), theta)
    np.testing.assert_array_equal(
        theta.reshape(4, 3), Softmax(4, 3).probabilities(Softmax(4, 3).initial(seed=1))
    )


def test_gradient_is_the_derivative_along_exchanges_of_probability():
    """Moving h from action b to action a of a state changes J by h(g_a - g_b) + O(h²)."""
    theta = POLICY.initial(seed=2)
    g = evaluate(PROBLEM, POLICY, theta).gradient
    for pair in ((0, 1), (4, 5), (9, 11)):
        exchange = np.zeros(12)
        exchange[list(pair)] = 1.0, -1.0
        slope = differentiate(
            lambda x, e=exchange: evaluate(PROBLEM, POLICY, theta + 0.01 * x[0] * e).objective,
            np.zeros(1),
        )
        close(slope[0], 0.01 * (g @ exchange), 1e-8)


def test_gradients_stay_on_the_simplex():
    theta = POLICY.initial(seed=2)
    weights = np.random.default_rng(0).standard_normal((5, 4, 3))
    sums = POLICY.pull_back(theta, weights).reshape(5, 4, 3).sum(axis=2)
    np.testing.assert_allclose(sums, 0, atol=1e-13)


def test_forms_two_and_four_differ_without_the_projection():
    """Without it a baseline moves every coordinate by d(s) b(s)."""
    truth = evaluate(PROBLEM, POLICY, POLICY.initial(seed=2))
    raw = [truth.visitation[:, None] * table for table in (truth.q, truth.advantage)]
    assert np.abs(raw[0] - raw[1]).max() > 0.1
    for table in raw:
        projected = POLICY.tangent(table.ravel())
        np.testing.assert_allclose(projected, truth.gradient, rtol=0, atol=1e-12)


def test_gradient_is_that_of_softmax_through_the_change_of_parameters():
    """∂J/∂logit_b = Σ_a π_a (1[a=b] - π_b) ∂J/∂π_a."""
    tabular = Softmax(4, 3)
    logits = tabular.initial(seed=3)
    softmax = evaluate(PROBLEM, tabular, logits)
    direct = evaluate(PROBLEM, POLICY, softmax.pi.ravel())
    g = direct.gradient.reshape(4, 3)
    moved = softmax.pi * (g - (softmax.pi * g).sum(axis=1, keepdims=True))
    close(moved.ravel(), softmax.gradient)


@pytest.mark.parametrize("greedy", [0, 1, 2])
def test_vertices_are_finite_and_unseen_actions_count_for_nothing(greedy):
    theta = np.zeros((4, 3))
    theta[:, greedy] = 1.0
    truth = evaluate(PROBLEM, POLICY, theta.ravel())
    weights = np.ones((4, 3))
    pulled = POLICY.pull_back(theta.ravel(), weights)
    np.testing.assert_allclose(pulled.reshape(4, 3), theta - 1 / 3)
    for values in (truth.gradient, truth.natural_gradient(), truth.fisher()):
        assert np.isfinite(values).all()


def test_tiny_probabilities_do_not_overflow():
    theta = np.array([1.0, 5e-324, 0.0] * 4)
    assert np.isfinite(POLICY.pull_back(theta, np.ones((4, 3)))).all()
    assert np.isfinite(POLICY.scores(theta)).all()
    assert np.isfinite(evaluate(PROBLEM, POLICY, theta).natural_gradient()).all()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.5, 0.5, 0.1], r"theta of state 2 sums to 1\.1, must sum to 1 within 1e-09"),
        ([0.5, 0.5, -1e-8], r"theta of state 2, action 2 is -1e-08, must not be negative"),
        ([0.5, 0.5, 2e-9], r"theta of state 2 sums to 1\.000000002, must sum to 1 within 1e-09"),
    ],
)
def test_parameters_off_the_simplex_are_refused(row, message):
    theta = np.full((4, 3), 1 / 3)
    theta[2] = row
    with pytest.raises(ValueError, match=message):
        evaluate(PROBLEM, POLICY, theta.ravel())
    theta[2] = [0.5, 0.5, 5e-10]
    assert np.isfinite(evaluate(PROBLEM, POLICY, theta.ravel()).objective)


def test_made_by_name():
    assert make_policy("direct", PROBLEM) == POLICY
