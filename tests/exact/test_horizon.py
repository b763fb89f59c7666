"""Finite horizons: gradients, recursions, and the shortest sufficient horizon."""

from itertools import product

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.exact.finite.horizon import truncated_visitation
from pgbench.exact.horizon import expected_steps, shortest_horizon, truncated_gradient
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout.enumeration import trajectories
from tests.support.numbers import close, differentiate
from tests.support.problems import FAMILIES
from tests.support.truths import KINDS, make_kind


@pytest.mark.parametrize(
    ("name", "kind", "steps"),
    [
        *((name, "softmax", (1, 2, 9)[i % 3]) for i, name in enumerate(FAMILIES)),
        *product(("garnet", "riverswim"), KINDS, (1, 2, 9)),
    ],
)
def test_gradient_is_the_derivative_of_the_finite_objective(make_small, name, kind, steps):
    """Of every family at some horizon; of every kind, which enters by its pull-back, on two."""
    small_problem = make_small(name)
    policy = make_kind(kind, small_problem)
    theta = policy.initial(seed=2, scale=0.5)
    truth = evaluate(small_problem, policy, theta, steps)
    numeric = differentiate(
        lambda x: evaluate(small_problem, policy, x, steps).objective, theta, policy=policy
    )
    scale = max(np.abs(numeric).max(), 1e-3)
    np.testing.assert_allclose(truth.gradient, numeric, rtol=0, atol=1e-8 * scale)


def test_finite_horizon_is_the_sum_over_all_trajectories(truth, horizon):
    """J_H = Σ P(τ) R(τ), ∇J_H = Σ P(τ) R(τ) Σ_t ψ_t (Williams 1992), d_H from visits."""
    mdp, gamma = truth.mdp, truth.mdp.gamma
    psi = truth.policy.scores(truth.theta).reshape(-1, truth.theta.size)
    objective, gradient, visits = 0.0, np.zeros(truth.theta.size), np.zeros(mdp.n_states)
    for p, pairs, slots in trajectories(truth, horizon):
        discounts = gamma ** np.arange(len(pairs))
        total = discounts @ mdp.reward.ravel()[slots]
        objective += p * total
        gradient += p * total * psi[pairs].sum(axis=0)
        np.add.at(visits, np.array(pairs) // mdp.n_actions, p * discounts)
    finite = evaluate(mdp, truth.policy, truth.theta, horizon)
    close(finite.objective, objective)
    close(finite.gradient, gradient)
    close(finite.visitation, visits)
    close(truncated_visitation(mdp, truth.pi, horizon), visits)


def test_long_horizon_is_the_infinite_one(truth):
    long = evaluate(truth.mdp, truth.policy, truth.theta, 3000)
    close(long.gradient, truth.gradient, 1e-10)
    close(long.visitation, truth.visitation, 1e-10)


@pytest.mark.parametrize("steps", [1, 4, 25])
def test_truncated_gradient_and_tail_make_the_gradient(truth, steps):
    """∇J = Σ_{t<H} γ^t E[A ψ] + Σ_{s,a} d_H+(s) π A ψ with d_H+ = (I - γPᵀ)⁻¹ γ^H Pr(s_H)."""
    S, A = truth.pi.shape
    P = truth.mdp.transitions.toarray().reshape(S, A, S)
    step = truth.mdp.gamma * np.einsum("sa,sat->st", truth.pi, P)
    later = np.linalg.matrix_power(step.T, steps) @ truth.mdp.mu0
    d = np.linalg.solve(np.eye(S) - step.T, later)
    tail = truth.policy.pull_back(truth.theta, d[:, None] * truth.pi * truth.advantage)
    total = truncated_gradient(truth, steps) + tail
    np.testing.assert_allclose(
        total, truth.gradient, rtol=0, atol=1e-12 * np.abs(truth.q).max() * truth.visitation.sum()
    )
    assert np.abs(tail).max() > 0


@pytest.mark.parametrize("tolerance", [0.5, 0.1, 0.01, 1e-4])
def test_shortest_horizon_meets_its_definition(truth, tolerance):
    steps = shortest_horizon(truth, tolerance)

    def relative_gap(horizon):
        g = evaluate(truth.mdp, truth.policy, truth.theta, horizon).gradient
        return np.linalg.norm(g - truth.gradient) / np.linalg.norm(truth.gradient)

    assert relative_gap(steps) <= tolerance
    assert steps == 1 or relative_gap(steps - 1) > tolerance


def test_shortest_horizon_stops_at_the_cap():
    mdp = make_problem("two_state", gamma=0.98)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial())
    assert shortest_horizon(truth, 1e-3, cap=50) == 50
    assert 50 < shortest_horizon(truth, 1e-3, cap=2000) < 2000


@pytest.mark.parametrize("gamma", [0.0, 0.3])
def test_shortest_horizon_of_a_short_sighted_problem(gamma):
    mdp = make_problem("random", n_states=3, gamma=gamma)
    policy = make_policy("softmax", mdp)
    steps = shortest_horizon(evaluate(mdp, policy, policy.initial()), 0.9)
    assert steps == 1


def test_expected_steps_of_the_corridor():
    """Σ_{t<H} Pr(not yet at the exit), from the list of all trajectories."""
    mdp = make_problem("corridor")
    policy = make_policy("loglinear", mdp)
    truth = evaluate(mdp, policy, np.array([0.4, 0.0]))
    for horizon in (1, 3, 8):
        listed = sum(p * len(pairs) for p, pairs, _ in trajectories(truth, horizon))
        close(expected_steps(mdp, truth.pi, horizon), listed)
    close(expected_steps(mdp, truth.pi, 5000), -truth.objective, 1e-11)


def test_rollouts_of_a_continuing_problem_take_every_step():
    mdp = make_problem("two_state")
    assert expected_steps(mdp, np.full((2, 2), 0.5), 17) == 17
