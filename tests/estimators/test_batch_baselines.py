"""What baselines and group advantages are for, and what they cannot do."""

import numpy as np
import pytest

from pgbench.estimators import estimators, make_tables
from pgbench.estimators.baseline_per_coordinate import exact_baseline
from pgbench.exact import evaluate
from pgbench.exact.expectation import expectation
from pgbench.exact.finite import visits
from pgbench.exact.table_moments import TooLarge, table_moments
from pgbench.measure.gradients import estimates
from pgbench.policies import make_policy
from pgbench.problems import FiniteMDP
from pgbench.rollout.simulator import Draws
from tests.support.numbers import close

TINY = [
    pytest.mark.parametrize("problem", ["ending", "coins"]),
    pytest.mark.parametrize("kind", ["softmax", "loglinear"]),
]


def tiny(function):
    for mark in TINY:
        function = mark(function)
    return function


@tiny
def test_coordinate_baselines_are_the_best_constants_of_each(truth):
    """Var ĝ_k with b_k is that of REINFORCE with b_k, and with no other constant less."""
    exact = estimators()["baseline_per_coordinate"].exact(truth, 5, 1)
    b = exact_baseline(truth, 5)
    for k in np.flatnonzero(exact.variance):
        at, above, below = (
            table_moments(truth, make_tables(truth, "reinforce", 5, baseline=c), 5).variance[k]
            for c in (b[k], b[k] + 0.1, b[k] - 0.1)
        )
        close(exact.variance[k], at, 1e-9)
        assert min(above, below) > at
        assert above - below == pytest.approx(0, abs=1e-8 * at)


@tiny
@pytest.mark.parametrize("noise", [0.0, 0.7])
@pytest.mark.parametrize("discounted", [True, False])
def test_all_actions_have_the_mean_of_sampled_ones(truth, noise, discounted):
    """r + γv(s') and Σ_a π (r + γ E[v(s')]) have the same mean given the state: that of td."""
    given = {"critic_noise": noise, "discounted": discounted}
    exact = estimators()["all_action"].exact(truth, 7, 3, **given)
    close(exact.mean, expectation(truth, make_tables(truth, "td", **given), 7), 1e-11)


@tiny
def test_all_actions_have_no_more_variance_than_the_sampled_action(truth):
    """Each step's term is the mean of the oracle's given the state; covariances add here."""
    sampled = table_moments(truth, make_tables(truth, "advantage_oracle"), 1).variance
    every = estimators()["all_action"].exact(truth, 1, 1).variance
    assert (every <= sampled * (1 + 1e-12)).all()
    assert every.sum() < 0.9 * sampled.sum()


def test_all_actions_have_no_variance_where_states_are_certain():
    """A walk round three states, whatever the action: only rewards depend on it."""
    P = np.zeros((3, 2, 3))
    for s in range(3):
        P[s, :, (s + 1) % 3] = 1.0
    r = np.random.default_rng(3).standard_normal((3, 2, 3))
    mdp = FiniteMDP.from_arrays(P, r, [1.0, 0, 0], 0.9)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=2))
    exact = estimators()["all_action"].exact(truth, 6, 1)
    assert exact.variance.max() < 1e-14
    found, _ = estimates(truth, estimators()["all_action"], {}, Draws(6, 1, 4, 0, 0))
    np.testing.assert_allclose(found, np.tile(exact.mean, (4, 1)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("problem", ["ending"])
@pytest.mark.parametrize("kind", ["softmax"])
def test_visits_are_followed_some_states_at_a_time(truth, monkeypatch):
    whole = visits.visit_variance(truth, 0.9, 6)
    monkeypatch.setattr(visits, "WIDTH", 2)
    np.testing.assert_allclose(visits.visit_variance(truth, 0.9, 6), whole, rtol=1e-13)
    monkeypatch.setattr(visits, "OPERATIONS", 10)
    with pytest.raises(TooLarge, match="operations"):
        visits.visit_variance(truth, 0.9, 6)
    # Elsewhere no variance is known then, but the mean is.
    exact = estimators()["all_action"].exact(truth, 8, 1, critic_noise=0.3)
    assert exact.variance is None
    assert exact.mean is not None


@tiny
def test_own_return_is_met_by_chance_of_being_alone(truth):
    """Without an end all n are under way at every step, and the bias is -∇J_H/n as of group_mean.

    Where trajectories end the bias is more: fewer share the mean of a late step.
    """
    record, n = estimators()["baseline_per_time"], 4
    g = evaluate(truth.mdp, truth.policy, truth.theta, 6).gradient
    mean = record.exact(truth, 6, n, fit="in_sample").mean
    if truth.mdp.terminal.any():
        assert np.linalg.norm(mean) < (1 - 1 / n) * np.linalg.norm(g) * 0.99
    else:
        close(mean, (1 - 1 / n) * g, 1e-12)


def scaled(name, c, **given):
    """Estimates of a problem whose rewards are multiplied by c."""
    rng = np.random.default_rng(5)
    P, r = rng.dirichlet(np.ones(3), size=(3, 2)), rng.standard_normal((3, 2, 3))
    mdp = FiniteMDP.from_arrays(P, c * r, [0.6, 0.4, 0.0], 0.9, terminal=[False, False, True])
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=3))
    return estimates(truth, estimators()[name], given, Draws(8, 4, 16, 1, 1))[0]


@pytest.mark.parametrize(("name", "given"), [("grpo", {"eps": 0.0}), ("advantage_normalised", {})])
def test_standardised_estimates_do_not_know_the_unit_of_rewards(name, given):
    np.testing.assert_allclose(
        scaled(name, 100.0, **given), scaled(name, 1.0, **given), rtol=1e-5, atol=1e-9
    )


def test_without_normalisation_they_know_it():
    given = {"std": False}
    close(scaled("grpo", 100.0, **given), 100 * scaled("grpo", 1.0, **given), 1e-12)


def test_equal_returns_give_no_gradient():
    """0/0 is 0: in a group of equal returns nothing is better than the rest."""
    P = np.full((3, 2, 3), 1 / 3)
    for reward in (0.1, 1e9):  # (0.1 + 0.1 + 0.1)/3 is not 0.1
        mdp = FiniteMDP.from_arrays(P, np.full((3, 2, 3), reward), [0.5, 0.5, 0], 0.9)
        policy = make_policy("softmax", mdp)
        truth = evaluate(mdp, policy, policy.initial(seed=3))
        found, _ = estimates(truth, estimators()["grpo"], {"eps": 0.0}, Draws(1, 3, 4, 1, 1))
        assert not found.any()


def test_equal_advantages_give_no_gradient():
    """A critic is wrong by the same in every trajectory of one step from one state."""
    P = np.zeros((3, 2, 3))
    P[:, :, 2] = 1.0
    for reward in (0.1, 0.3, 0.7, 1.1, 1e9):
        rewards = np.full((3, 2, 3), reward)
        mdp = FiniteMDP.from_arrays(P, rewards, [1, 0, 0], 0.9, terminal=[False, False, True])
        policy = make_policy("softmax", mdp)
        truth = evaluate(mdp, policy, policy.initial(seed=3))
        given = {"eps": 0.0, "critic_noise": 0.3, "lam": 0.95}
        chosen = estimators()["advantage_normalised"]
        found, _ = estimates(truth, chosen, given, Draws(1, 6, 4, 1, 1))
        assert not found.any()
