"""Exact values and gradients, for every family and every kind of policy."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbench.exact import SolveError, evaluate
from pgbench.policies import Softmax, make_policy
from pgbench.problems import FiniteMDP, make_problem
from tests.support.numbers import close, differentiate, rational_solve
from tests.support.truths import make_kind


def test_gradient_is_the_derivative_of_the_objective(small_problem, kind):
    policy = make_kind(kind, small_problem)
    theta = policy.initial(seed=2, scale=0.5)
    truth = evaluate(small_problem, policy, theta)
    numeric = differentiate(
        lambda x: evaluate(small_problem, policy, x).objective, theta, policy=policy
    )
    assert np.abs(truth.gradient).max() > 0
    close(truth.gradient, numeric, rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.999])
def test_gradient_at_extreme_discounts(gamma, kind):
    mdp = make_problem("garnet", n_states=6, n_actions=3, gamma=gamma)
    policy = make_kind(kind, mdp)
    theta = policy.initial(seed=2)
    numeric = differentiate(lambda x: evaluate(mdp, policy, x).objective, theta, policy=policy)
    close(evaluate(mdp, policy, theta).gradient, numeric, rtol=1e-7)


def test_objective_is_the_reward_under_the_visitation(small_problem, kind):
    """Lemma: J = Σ d(s) π(s,a) r(s,a)."""
    policy = make_kind(kind, small_problem)
    truth = evaluate(small_problem, policy, policy.initial(seed=2))
    d = truth.visitation
    close(np.sum(d[:, None] * truth.pi * small_problem.expected_reward), truth.objective, 1e-10)
    close(small_problem.mu0 @ truth.v, truth.objective)


def test_forms_two_and_four_of_the_gradient_agree(truth):
    """Σ d π Q ψ = Σ d π A ψ = Σ d π (Q - b) ψ (Sutton et al. 2000, Theorem 1)."""
    weights = truth.visitation[:, None] * truth.pi
    b = np.arange(1.0, truth.v.size + 1)[:, None]
    for table in (truth.q, truth.advantage, truth.q - b):
        close(truth.policy.pull_back(truth.theta, weights * table), truth.gradient, 1e-11)


def test_values_satisfy_the_bellman_equations(truth):
    mdp, live = truth.mdp, ~truth.mdp.terminal
    following = (mdp.transitions @ truth.v).reshape(truth.pi.shape)
    close(truth.q, mdp.expected_reward + mdp.gamma * following)
    close(truth.v[live], (truth.pi * truth.q).sum(axis=1)[live])
    assert (truth.v[~live] == 0).all()
    assert (truth.visitation[~live] == 0).all()
    assert (truth.advantage[~live] == 0).all()


def test_visitation_is_the_discounted_sum_of_state_distributions(truth):
    S, A = truth.pi.shape
    P = truth.mdp.transitions.toarray().reshape(S, A, S)
    step = truth.mdp.gamma * np.einsum("sa,sat->st", truth.pi, P)
    total, u = np.zeros(S), truth.mdp.mu0
    for _ in range(2000):
        total, u = total + u, u @ step
    close(truth.visitation, np.where(truth.mdp.terminal, 0, total), 1e-11)


def rational_system(mdp, pi):
    """I - γP_π and r_π over the states that are not terminal, exact for rows divided by their sums.

    Where γ is near 1, rows that sum to 1 but for rounding are another problem.
    """
    states = [int(s) for s in np.flatnonzero(~mdp.terminal)]
    matrix = [[Fraction(s == t) for t in states] for s in states]
    reward = [Fraction(0)] * len(states)
    for i, s in enumerate(states):
        total = sum(map(Fraction, pi[s]))
        sums = [sum(map(Fraction, row)) for row in mdp.probability[s]]
        for a, k in product(range(mdp.n_actions), range(mdp.branching)):
            p = Fraction(pi[s, a]) / total * Fraction(mdp.probability[s, a, k]) / sums[a]
            reward[i] += p * Fraction(mdp.reward[s, a, k])
            if mdp.successor[s, a, k] in states:
                matrix[i][states.index(mdp.successor[s, a, k])] -= Fraction(mdp.gamma) * p
    return matrix, reward


@pytest.mark.parametrize(
    ("name", "given_parameters"),
    [
        ("random", {"n_states": 4}),
        ("random", {"n_states": 4, "gamma": 0.999}),
        ("random", {"n_states": 4, "gamma": 0.99999}),
        ("random", {"n_states": 1, "gamma": 0.9999, "n_actions": 2, "seed": 2}),
        ("garnet", {"n_states": 4, "branching": 2}),
        ("two_state", {}),
        ("riverswim", {"n_states": 3}),
        ("corridor", {}),
    ],
)
def test_error_bound_holds(name, given_parameters):
    mdp = make_problem(name, **given_parameters)
    policy = make_policy("softmax", mdp)
    for seed in range(3):
        truth = evaluate(mdp, policy, policy.initial(seed))
        exact = rational_solve(*rational_system(mdp, truth.pi))
        found = map(Fraction, truth.v[~mdp.terminal])
        error = float(max(abs(x - y) for x, y in zip(found, exact, strict=True)))
        assert error <= truth.error_bound
        assert truth.error_bound <= 1e-9 * np.abs(truth.v).max()


@pytest.mark.parametrize(
    ("name", "given_parameters"),
    [
        ("garnet", {"n_states": 60, "gamma": 0.95}),
        ("garnet", {"n_states": 60, "gamma": 0.999}),
        ("gridworld", {"size": 7, "gamma": 1.0}),
        ("corridor", {"length": 12}),
        ("chain", {"length": 20}),
    ],
)
def test_sparse_path_is_the_dense_path(name, given_parameters, kind, request):
    mdp = make_problem(name, **given_parameters)
    policy = make_kind(kind, mdp)
    theta = policy.initial(seed=1, scale=0.3)
    dense = evaluate(mdp, policy, theta)
    request.getfixturevalue("as_if_large")
    # Another record, because what was made for a problem is remembered.
    sparse = evaluate(make_problem(name, **given_parameters), policy, theta)
    close(sparse.v, dense.v, 1e-10)
    close(sparse.visitation, dense.visitation, 1e-10)
    # Gradients may be far smaller than the terms they are sums of.
    terms = np.abs(dense.q).max() * dense.visitation.sum()
    atol = 1e-9 * np.abs(dense.gradient).max() + 1e-15 * terms
    np.testing.assert_allclose(sparse.gradient, dense.gradient, rtol=0, atol=atol)


@given(st.floats(-5, 5), st.floats(-3, 3))
def test_gradient_scales_with_the_rewards_and_ignores_their_shift(scale, shift):
    P = np.random.default_rng(0).dirichlet(np.ones(3), size=(3, 2))
    r = np.random.default_rng(1).standard_normal((3, 2))
    policy = Softmax(3, 2)
    theta = policy.initial(seed=1)
    plain, moved = (
        evaluate(FiniteMDP.from_arrays(P, rewards, [1, 0, 0], 0.9), policy, theta)
        for rewards in (r, scale * r + shift)
    )
    assert moved.objective == pytest.approx(scale * plain.objective + shift / 0.1, abs=1e-11)
    np.testing.assert_allclose(moved.gradient, scale * plain.gradient, rtol=0, atol=1e-11)


@given(st.permutations(range(4)), st.permutations(range(3)))
def test_relabelling_states_and_actions_commutes(states, actions):
    mdp, policy = make_problem("random", n_states=4, n_actions=3), Softmax(4, 3)
    P = mdp.transitions.toarray().reshape(4, 3, 4)
    moved = FiniteMDP.from_arrays(
        P[np.ix_(states, actions, states)],
        mdp.expected_reward[np.ix_(states, actions)],
        mdp.mu0[list(states)],
        mdp.gamma,
    )
    theta = policy.initial(seed=8).reshape(4, 3)
    relabelled = evaluate(moved, policy, theta[np.ix_(states, actions)].ravel())
    original = evaluate(mdp, policy, theta.ravel()).gradient.reshape(4, 3)
    np.testing.assert_allclose(
        relabelled.gradient.reshape(4, 3), original[np.ix_(states, actions)], rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("theta", [[1e3, -1e3], [-1e3, 1e3]], ids=["right", "left"])
def test_undiscounted_policy_that_never_ends_is_refused(theta):
    """Always right is a cycle of two states, always left stays in the first one."""
    mdp = make_problem("corridor")
    with pytest.raises(SolveError, match="time to a terminal state is not finite"):
        evaluate(mdp, make_policy("loglinear", mdp), theta)


def test_horizon_must_be_positive():
    mdp, policy = make_problem("two_state"), Softmax(2, 2)
    with pytest.raises(ValueError, match="horizon is 0, must be an integer"):
        evaluate(mdp, policy, policy.initial(), horizon=0)
