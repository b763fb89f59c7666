"""Fisher information and the natural gradient."""

from itertools import combinations_with_replacement

import numpy as np
import pytest

from pgbench.exact import SolveError, evaluate, fisher
from pgbench.policies import Softmax, make_policy
from pgbench.problems import make_problem


def curvature(f, direction, step=4e-3):
    """Second derivative of f(x·direction) at 0 by central differences of fourth order; f(0) = 0."""
    near, far = (f(k * step * direction) + f(-k * step * direction) for k in (1, 2))
    return (16 * near - far) / (12 * step**2)


def kl_hessian(truth, state_weights):
    """Hessian at θ' = θ of Σ_s w(s) KL(π_θ(s,·) ‖ π_θ'(s,·)), by polarisation."""
    log_pi = np.log(truth.pi)

    def divergence(change):
        other = np.log(truth.policy.probabilities(truth.theta + change))
        return np.sum(state_weights[:, None] * truth.pi * (log_pi - other))

    d = truth.theta.size
    unit, hessian = np.eye(d), np.empty((d, d))
    for i, j in combinations_with_replacement(range(d), 2):
        plus, minus = (curvature(divergence, unit[i] + sign * unit[j]) for sign in (1, -1))
        hessian[i, j] = hessian[j, i] = (plus - minus) / 4
    return hessian


def rho(truth):
    """Weights of the states: ρ = (1-γ) d, and d for γ = 1."""
    gamma = truth.mdp.gamma
    return truth.visitation * ((1 - gamma) if gamma < 1 else 1)


def test_fisher_is_the_hessian_of_the_expected_divergence(truth):
    expected = kl_hessian(truth, rho(truth))
    np.testing.assert_allclose(truth.fisher(), expected, rtol=0, atol=1e-8 * np.abs(expected).max())


def test_product_is_that_of_the_matrix(truth, close):
    v = np.random.default_rng(0).standard_normal(truth.theta.size)
    product = fisher.product(truth.policy, truth.theta, rho(truth), v)
    close(product, truth.fisher() @ v)


def test_natural_gradient_is_the_pseudo_inverse_solution(truth):
    F, x = truth.fisher(), truth.natural_gradient()
    expected = np.linalg.pinv(F, rcond=1e-12, hermitian=True) @ truth.gradient
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("name", "given_parameters"),
    [
        ("random", {"n_states": 4}),
        ("garnet", {"n_states": 30, "gamma": 0.95}),
        ("riverswim", {}),
        ("corridor", {}),
        ("gridworld", {"size": 4}),
    ],
)
def test_natural_gradient_of_tabular_softmax_is_the_advantage(name, given_parameters, close):
    """F†∇J = (A - mean_a A)/(1-γ) on visited states (Agarwal et al. 2021, Lemma 5.1)."""
    mdp = make_problem(name, **given_parameters)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    A = truth.advantage / (1 - mdp.gamma if mdp.gamma < 1 else 1)
    expected = np.where((truth.visitation > 0)[:, None], A - A.mean(axis=1, keepdims=True), 0)
    close(truth.natural_gradient().reshape(truth.pi.shape), expected, 1e-10)


def test_iterations_give_the_dense_solution(truth, close, monkeypatch):
    dense = truth.natural_gradient()
    monkeypatch.setattr(fisher, "DENSE_LIMIT", 0)
    close(truth.natural_gradient(), dense, 1e-7)


def test_iterations_give_the_advantage(close, monkeypatch):
    monkeypatch.setattr(fisher, "DENSE_LIMIT", 0)
    mdp = make_problem("garnet", n_states=30, gamma=0.95)
    truth = evaluate(mdp, Softmax(30, 4), Softmax(30, 4).initial(seed=1))
    A = truth.advantage / 0.05
    close(truth.natural_gradient(), (A - A.mean(axis=1, keepdims=True)).ravel(), 1e-8)


def test_one_null_direction_per_state_of_tabular_softmax():
    mdp = make_problem("random", n_states=4, n_actions=3)
    truth = evaluate(mdp, Softmax(4, 3), Softmax(4, 3).initial(seed=1))
    eigenvalues = np.linalg.eigvalsh(truth.fisher())
    assert (eigenvalues > 1e-6).sum() == 8
    assert np.abs(eigenvalues[:4]).max() < 1e-15
    shifts = np.repeat(np.eye(4), 3, axis=1)
    np.testing.assert_allclose(shifts @ truth.natural_gradient(), 0, atol=1e-12)


@pytest.mark.parametrize("limit", [1000, 0], ids=["dense", "iterative"])
def test_vector_outside_the_range_is_refused(limit, monkeypatch):
    monkeypatch.setattr(fisher, "DENSE_LIMIT", limit)
    policy = Softmax(2, 2)
    g = np.array([2.0, 0.0, 1.0, -1.0])  # the first state's part has a sum, so no solution
    with (
        np.errstate(all="ignore"),  # the iteration diverges before it is refused
        pytest.raises(SolveError, match="natural gradient has relative residual"),
    ):
        fisher.solve(policy, policy.initial(seed=1), np.ones(2), g)


def test_zero_gradient_has_zero_natural_gradient():
    policy = Softmax(2, 2)
    solution = fisher.solve(policy, policy.initial(seed=1), np.ones(2), np.zeros(4))
    np.testing.assert_array_equal(solution, 0)
