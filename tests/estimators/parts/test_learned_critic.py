"""Critics learned from trajectories, n-step sums, and control variates, against plain loops."""

import numpy as np
import pytest

from pgbench.estimators import find_estimator
from pgbench.estimators.actor_critic import pair_features
from pgbench.estimators.parts.estimator import finite_gradient, noisy_critic
from pgbench.estimators.parts.learned_critic import (
    RIDGE,
    average_returns,
    lstd,
    sarsa,
    temporal_difference,
)
from pgbench.kernels.partition import use_threads
from pgbench.measure.gradients import estimates
from pgbench.policies import NotApplicable
from pgbench.rollout.simulator import Draws, Simulator

H = 7
pytestmark = [
    pytest.mark.parametrize("problem", ["ending", "dense"]),
    pytest.mark.parametrize("kind", ["softmax"]),
]


@pytest.fixture
def batch(truth):
    return Simulator(truth, Draws(H, 5, 3, 4, 9), 0, 3).batch()


def steps(batch, r):
    """(s, a, reward, s', a' or None, whether s' is terminal) of every step in order."""
    ends = batch.process.mdp.terminal
    for i in range(batch.shape[1]):
        T = int(batch.lengths[r, i])
        for t in range(T):
            after = int(batch.successors[r, i, t])
            action = int(batch.actions[r, i, t + 1]) if t + 1 < T else None
            s, a = int(batch.states[r, i, t]), int(batch.actions[r, i, t])
            yield s, a, batch.rewards[r, i, t], after, action, bool(ends[after])


def test_a_table_learns_by_sarsa(truth, batch):
    gamma, found = truth.mdp.gamma, sarsa(batch, None, 0.3)
    for r in range(3):
        q = np.zeros(truth.pi.shape)
        for s, a, reward, after, action, ended in steps(batch, r):
            if ended:
                q[s, a] += 0.3 * (reward - q[s, a])
            elif action is not None:
                q[s, a] += 0.3 * (reward + gamma * q[after, action] - q[s, a])
        np.testing.assert_allclose(found[r], q, rtol=1e-12, atol=1e-14)


def test_features_learn_by_sarsa(truth, batch):
    gamma, phi = truth.mdp.gamma, pair_features(truth, 3)
    found = sarsa(batch, phi, 0.05)
    for r in range(3):
        w = np.zeros(3)
        for s, a, reward, after, action, ended in steps(batch, r):
            if not ended and action is None:
                continue
            follow = 0.0 if ended else gamma * phi[after, action] @ w
            w = w + 0.05 * (reward + follow - phi[s, a] @ w) * phi[s, a]
        np.testing.assert_allclose(found[r], phi @ w, rtol=1e-11, atol=1e-13)


def test_a_table_of_states_learns_by_temporal_differences(truth, batch):
    gamma, found = truth.mdp.gamma, temporal_difference(batch, 0.3)
    for r in range(3):
        v = np.zeros(len(truth.pi))
        for s, _, reward, after, _, ended in steps(batch, r):
            v[s] += 0.3 * (reward + (0 if ended else gamma * v[after]) - v[s])
        np.testing.assert_allclose(found[r], v, rtol=1e-12, atol=1e-14)


def test_least_squares_solve_their_equations(truth, batch):
    gamma, phi = truth.mdp.gamma, pair_features(truth, 3)
    found = lstd(batch, truth, phi)
    for r in range(3):
        A, b = RIDGE * np.eye(3), np.zeros(3)
        for s, a, reward, after, action, ended in steps(batch, r):
            if not ended and action is None:
                continue
            follow = np.zeros(3) if ended else gamma * phi[after, action]
            A += np.outer(phi[s, a], phi[s, a] - follow)
            b += phi[s, a] * reward
        np.testing.assert_allclose(found[r], phi @ np.linalg.solve(A, b), rtol=1e-9)


def test_averages_are_over_all_visits(truth, batch):
    found = average_returns(batch)
    for r in range(3):
        for s in range(len(truth.pi)):
            seen = batch.to_go[r][batch.mask[r] & (batch.states[r] == s)]
            assert found[r, s] == pytest.approx(seen.mean() if seen.size else 0, rel=1e-12)


def test_threads_change_nothing(truth):
    batch = Simulator(truth, Draws(H, 5, 40, 4, 9), 0, 40).batch()
    before, q = use_threads(None), sarsa(batch, None, 0.3)
    use_threads(1)
    try:
        assert sarsa(batch, None, 0.3).tobytes() == q.tobytes()
    finally:
        use_threads(before)


@pytest.mark.parametrize("name", ["sampled_actor_critic", "gae_learned"])
def test_data_of_the_critic_are_charged(truth, name):
    estimator, draws = find_estimator(name), Draws(1, 2, 4, 0, 0)
    _, own = estimates(truth, estimator, {"data": "same"}, draws)
    _, more = estimates(truth, estimator, {"episodes": 7}, draws)
    assert (own == 2).all()
    assert (more == 9).all()


@pytest.mark.parametrize("name", ["sampled_actor_critic", "gae_learned"])
def test_own_data_of_the_critic_are_others(truth, name):
    """As many trajectories as the actor's are still not the actor's."""
    estimator, draws = find_estimator(name), Draws(H, 5, 4, 4, 9)
    apart, _ = estimates(truth, estimator, {"data": "independent", "episodes": 5}, draws)
    same, _ = estimates(truth, estimator, {"data": "same"}, draws)
    assert (np.abs(apart - same).max(axis=1) > 1e-6).all()


def test_much_data_lead_to_the_fixed_point(truth):
    """LSTD-Q of 2000 rollouts is near the SARSA(0) fixed point of undiscounted visits."""
    long = Simulator(truth, Draws(60, 2000, 1, 3, 3), 0, 1).batch()
    q = lstd(long, truth, pair_features(truth, 2))[0]
    pi, mdp = truth.pi, truth.mdp
    phi = pair_features(truth, 2).reshape(pi.size, 2)
    visits = long.tables(1.0)[0].ravel()
    mean = (pi[:, :, None] * phi.reshape(*pi.shape, 2)).sum(axis=1) * ~mdp.terminal[:, None]
    A = (visits[:, None] * phi).T @ (phi - mdp.gamma * (mdp.transitions @ mean))
    b = (visits[:, None] * phi).T @ mdp.expected_reward.ravel()
    fixed = phi @ np.linalg.solve(A, b)
    np.testing.assert_allclose(q.ravel(), fixed, atol=0.05 * np.abs(fixed).max())


def test_too_many_features_are_refused(truth, batch):
    with pytest.raises(NotApplicable, match="at most 200 features, not 201"):
        lstd(batch, truth, np.zeros((*truth.pi.shape, 201)))


@pytest.mark.parametrize("n", [1, 3, 50])
@pytest.mark.parametrize("noise", [0.0, 0.6])
def test_n_rewards_and_then_the_critic(truth, batch, n, noise):
    """Written out along every trajectory (Sutton & Barto 2018, eq. 7.1)."""
    gamma, v = truth.mdp.gamma, noisy_critic(truth, noise)
    simulator = Simulator(truth, Draws(H, 5, 3, 4, 9), 0, 3)
    found = find_estimator("n_step").estimate(simulator, n=n, critic_noise=noise)
    for r in range(3):
        W = np.zeros(truth.pi.shape)
        for i in range(5):
            T = int(batch.lengths[r, i])
            s, rewards = batch.states[r, i, :T], batch.rewards[r, i, :T]
            for t in range(T):
                k = min(n, T - t)
                value = gamma ** np.arange(k) @ rewards[t : t + k]
                value += gamma**k * v[batch.successors[r, i, t + k - 1]] - v[s[t]]
                W[s[t], batch.actions[r, i, t]] += gamma**t * value / 5
        expected = truth.policy.pull_back(truth.theta, W)
        np.testing.assert_allclose(found[r], expected, rtol=0, atol=1e-12)


def variance(truth, name, **given):
    g, _ = estimates(truth, find_estimator(name), given, Draws(H, 1, 4000, 1, 1))
    return g.var(axis=0).sum()


def test_exact_values_make_control_variates_strong(truth):
    """A good q̃ lowers the variance, more along the trajectory; a poor one raises it."""
    plain = variance(truth, "reward_to_go")
    step = variance(truth, "action_dependent_baseline", q_noise=0.0)
    along = variance(truth, "trajectory_control_variate", q_noise=0.0)
    assert along < step < plain
    assert variance(truth, "action_dependent_baseline", q_noise=5.0) > step


def test_doubly_robust_is_better_than_importance_sampling(truth):
    assert variance(truth, "doubly_robust", q_noise=0.1) < variance(truth, "importance_sampling")


def test_whole_trajectory_ratios_are_worse_than_those_per_decision(truth):
    assert variance(truth, "trajectory_importance_sampling") > variance(
        truth, "importance_sampling"
    )


def test_off_policy_means_are_those_of_the_target(truth):
    """Within 4.5 standard errors; 1.3 times as much is not."""
    g = finite_gradient(truth, H)
    for name in ("trajectory_importance_sampling", "doubly_robust"):
        found, _ = estimates(truth, find_estimator(name), {}, Draws(H, 4, 6000, 2, 2))
        se = found.std(axis=0) / np.sqrt(6000)
        assert (np.abs(found.mean(axis=0) - g) <= 4.5 * se).all()
        assert (np.abs(1.3 * found.mean(axis=0) - g) > 4.5 * se).any()
