"""Linear critics at their fixed points: the equations they solve, and what is left of the bias."""

import numpy as np
import pytest

from pgbench.estimators import make_tables
from pgbench.estimators.actor_critic import critic_values, pair_features
from pgbench.exact import evaluate
from pgbench.exact.expectation import expectation
from pgbench.exact.horizon import truncated_gradient
from pgbench.policies import make_policy
from pgbench.problems import FiniteMDP, make_problem
from pgbench.rollout.enumeration import trajectories

H, K = 12, 3


@pytest.fixture(params=["softmax", "loglinear"], scope="module")
def truth(request):
    mdp = make_problem("garnet", n_states=6, n_actions=3, gamma=0.9, seed=4)
    policy = make_policy(request.param, mdp)
    return evaluate(mdp, policy, policy.initial(seed=1))


@pytest.fixture
def weights(truth):
    """Σ_{t<H} γ^t Pr(s_t, a_t), (S, A), step by step."""
    mdp, total, u = truth.mdp, 0.0, truth.mdp.mu0
    moves = np.einsum(
        "sa,san->sn", truth.pi, mdp.transitions.toarray().reshape(*truth.pi.shape, -1)
    )
    for _ in range(H):
        total, u = total + u, mdp.gamma * moves.T @ u
    return total[:, None] * truth.pi


def test_least_squares_leaves_an_error_orthogonal_to_the_features(truth, weights):
    q = critic_values(truth, H, "least_squares", K)
    left = np.einsum("sa,sak->k", weights * (truth.q - q), pair_features(truth, K))
    assert np.abs(left).max() < 1e-11 * np.abs(truth.q).max()
    assert np.abs(truth.q - q).max() > 0.05


def test_expected_sarsa_update_vanishes_at_the_fixed_point(truth, weights):
    mdp, q = truth.mdp, critic_values(truth, H, "td", K)
    following = (mdp.transitions @ (truth.pi * q).sum(axis=1)).reshape(q.shape)
    error = mdp.expected_reward + mdp.gamma * following - q
    update = np.einsum("sa,sak->k", weights * error, pair_features(truth, K))
    assert np.abs(update).max() < 1e-10
    other = critic_values(truth, H, "least_squares", K)
    assert np.abs(q - other).max() > 1e-3


def test_nothing_follows_the_end_of_an_episode():
    """The expected update along all trajectories is 0, a terminal state being worth nothing."""
    mdp = FiniteMDP.from_arrays(
        np.random.default_rng(5).dirichlet(np.ones(3), size=(3, 2)),
        np.random.default_rng(6).standard_normal((3, 2, 3)),
        [0.6, 0.4, 0.0],
        0.9,
        terminal=[False, False, True],
    )
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    q, phi = critic_values(truth, 4, "td", 2), pair_features(truth, 2)
    update, worth_of_end = np.zeros(2), np.zeros(2)
    for p, pairs, slots in trajectories(truth.process, 4):
        for t, (pair, slot) in enumerate(zip(pairs, slots, strict=True)):
            s, a = divmod(int(pair), 2)
            after = int(mdp.successor.ravel()[slot])
            value = truth.pi[after] @ q[after]
            share = p * mdp.gamma**t * phi[s, a]
            worth_of_end += share * mdp.gamma * value * mdp.terminal[after]
            value *= not mdp.terminal[after]
            update += share * (mdp.reward.ravel()[slot] + mdp.gamma * value - q[s, a])
    assert np.abs(update).max() < 1e-12
    assert np.abs(worth_of_end).max() > 1e-2  # what a bootstrap from the end would add


def test_compatible_weights_are_the_natural_gradient(truth):
    """w* = (1-γ) F†∇J (Kakade 2001, Theorem 1): Q_w = ψ·w*."""
    q = critic_values(truth, None, "compatible", K)
    w = (1 - truth.mdp.gamma) * truth.natural_gradient()
    np.testing.assert_allclose(q, truth.policy.push_forward(truth.theta, w), atol=1e-10)


def test_only_the_compatible_critic_has_no_bias(truth):
    g = truncated_gradient(truth, H)
    gaps = {}
    for critic in ("compatible", "td", "least_squares"):
        tables = make_tables(truth, "actor_critic", H, critic=critic)
        gaps[critic] = np.abs(expectation(truth, tables, H) - g).max() / np.abs(g).max()
    assert gaps["compatible"] < 1e-11
    assert min(gaps["td"], gaps["least_squares"]) > 0.01


def test_weights_are_the_critic_at_every_step(truth):
    q = critic_values(truth, H, "td", K)
    for discounted in (True, False):
        tables = make_tables(truth, "actor_critic", H, n_features=K, discounted=discounted)
        np.testing.assert_array_equal(tables.beta, -q)
        assert (tables.delta == (truth.mdp.gamma if discounted else 1)).all()
        assert not tables.sigma.any()
