"""Biconjugate gradients solve discounted walks, forward and backward, mixing or not."""

import numpy as np
import pytest

from pgbench import exact, make_policy, make_problem
from pgbench.kernels import crowd
from pgbench.kernels.krylov import improve, step, step_back


@pytest.fixture
def walk():
    rng = np.random.default_rng(5)
    weights, follows = rng.random((60, 4)), rng.integers(0, 60, (60, 4))
    weights *= 0.97 / weights.sum(1, keepdims=True)
    W = np.zeros((60, 60))
    np.add.at(W, (np.arange(60)[:, None], follows), weights)
    return weights, follows, W, rng.normal(size=60)


def test_steps_are_products_with_the_matrix_and_its_transpose(walk):
    weights, follows, W, x = walk
    out = np.empty(60)
    step(weights, follows, x, out)
    np.testing.assert_allclose(out, W @ x, rtol=1e-13, atol=1e-14)
    step_back(weights, follows, x, out)
    np.testing.assert_allclose(out, W.T @ x, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("back", [False, True])
def test_a_solution_is_improved_to_rounding(walk, back):
    weights, follows, W, b = walk
    A = np.eye(60) - (W.T if back else W)
    x = np.zeros(60)
    improve(back, weights, follows, b, x, 100, 1e-15)
    np.testing.assert_allclose(x, np.linalg.solve(A, b), rtol=1e-11, atol=1e-12)
    before = x.copy()
    improve(back, weights, follows, b, x, 100, 1e-12)
    np.testing.assert_allclose(x, before, rtol=1e-11)


@pytest.mark.parametrize(
    ("problem", "gamma"),
    [
        ({"name": "corridor", "length": 300}, 0.99),
        ({"name": "chain", "length": 300}, 0.95),
        ({"name": "garnet", "n_states": 400, "n_actions": 3, "branching": 2}, 0.99),
        ({"name": "gridworld", "size": 20}, 0.99),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else str(value),
)
def test_policies_on_walks_that_mix_slowly_are_evaluated_by_iteration(problem, gamma):
    mdp = make_problem(**problem, gamma=gamma)
    policy = make_policy("softmax", mdp)
    theta = np.stack([3 * policy.initial(seed=seed) for seed in range(3)])
    pi = np.stack([policy.probabilities(own) for own in theta])
    m, S, _ = pi.shape
    v, q, visitation = np.empty((m, S)), np.empty(pi.shape), np.empty((m, S))
    good = np.zeros(m, bool)
    crowd.iterate(
        mdp.probability, mdp.successor, mdp.expected_reward[None], mdp.terminal, mdp.mu0, gamma,
        pi, v, q, visitation, good,
    )  # fmt: skip
    assert good.all()
    for r in range(m):
        truth = exact.evaluate(mdp, policy, theta[r])
        np.testing.assert_allclose(v[r], truth.v, rtol=0, atol=2e-12 * np.abs(truth.v).max())
        np.testing.assert_allclose(
            visitation[r], truth.visitation, rtol=0, atol=2e-12 * truth.visitation.sum()
        )
        assert not (visitation[r] < 0).any()
        assert ((visitation[r] > 0) >= (truth.visitation > 1e-9)).all()


@pytest.mark.parametrize("reward", [np.nan, np.inf, 1e200, 1e300])
def test_values_that_are_no_numbers_are_not_good(reward):
    mdp = make_problem("garnet", n_states=30, n_actions=2, branching=2, gamma=0.99)
    pi = np.full((1, 30, 2), 0.5)
    paid = np.full((1, 30, 2), reward)
    paid[0, 0] = 0.0
    for evaluate in (crowd.iterate, crowd.evaluate):
        v, q, visitation = np.empty((1, 30)), np.empty(pi.shape), np.empty((1, 30))
        good = np.zeros(1, bool)
        evaluate(
            mdp.probability, mdp.successor, paid, mdp.terminal, mdp.mu0, 0.99,
            pi, v, q, visitation, good,
        )  # fmt: skip
        assert not good[0] or np.isfinite(v).all()
