"""Exact moments: closed forms, long horizons, refusals; the estimators' contract enumerates."""

import numpy as np
import pytest

from pgbench.estimators import estimators
from pgbench.exact import TooLarge, evaluate, moments
from pgbench.exact import moments as by_name
from pgbench.exact.enumeration import enumerated_moments, trajectories
from pgbench.exact.expectation import expectation, expected_weights
from pgbench.exact.horizon import truncated_gradient
from pgbench.exact.moments import table_moments
from pgbench.kernels import reference
from pgbench.policies import make_policy
from pgbench.problems import FiniteMDP, make_problem


def two_armed(p_pay):
    """One decision between two arms that pay 1 with given probabilities; then the end."""
    probability = np.zeros((2, 2, 2))
    probability[0] = np.stack([p_pay, 1 - np.asarray(p_pay)], axis=1)
    probability[1, :, 0] = 1
    reward = np.zeros((2, 2, 2))
    reward[0, :, 0] = 1
    return FiniteMDP(
        np.ones((2, 2, 2), int), probability, reward, [1.0, 0.0], 0.9, np.array([False, True])
    )


@pytest.mark.parametrize("estimator", ["reinforce", "reward_to_go"])
@pytest.mark.parametrize("b", [0.0, 0.4])
def test_variance_of_a_bandit_by_hand(estimator, b):
    """ĝ = (r - b)(1 - p, -(1 - p)) with probability p, else (r - b)(-p, p); r ~ Bernoulli(q_a)."""
    q, theta = np.array([0.3, 0.8]), np.array([0.5, 0.0, 0.0, 0.0])
    mdp = two_armed(q)
    p = 1 / (1 + np.exp(-0.5))
    exact = moments(mdp, make_policy("softmax", mdp), theta, estimator, horizon=1, baseline=b)
    second = q * (1 - b) ** 2 + (1 - q) * b**2
    mean = p * (1 - p) * (q[0] - q[1])
    variance = p * (1 - p) ** 2 * second[0] + (1 - p) * p**2 * second[1] - mean**2
    np.testing.assert_allclose(exact.mean, [mean, -mean, 0, 0], rtol=1e-13)
    np.testing.assert_allclose(exact.variance, [variance, variance, 0, 0], rtol=1e-13)


def test_any_tables_have_their_listed_moments(truth, horizon, tables, close):
    """No estimator's structure, such as a constant baseline, hides a term here."""
    exact, listed = (
        table_moments(truth, tables, horizon),
        enumerated_moments(truth, tables, horizon),
    )
    close(exact.mean, listed.mean)
    np.testing.assert_allclose(
        exact.variance,
        listed.variance,
        rtol=0,
        atol=1e-12 * (listed.variance + listed.mean**2).max(),
    )
    close(expectation(truth, tables, horizon), listed.mean)


def test_expected_weights_are_the_listed_ones(truth, horizon, tables, close):
    """E[W] itself; a pull-back would hide what all actions of a state share."""
    flat = [t.ravel() for t in (tables.sigma, tables.kappa, tables.beta, tables.delta)]
    expected = sum(
        p * reference.weights(*flat, tables.total, pairs, slots)
        for p, pairs, slots in trajectories(tables.process, horizon)
    )
    close(expected_weights(truth, tables, horizon).ravel(), expected)


@pytest.mark.parametrize("steps", [50, 400])
def test_long_horizons_have_the_mean_their_causes_say(truth, unbiased_variant, steps, close):
    """Beyond what can be listed: ∇J_H, or ∇J less the tail."""
    if unbiased_variant.causes == ("truncation",):
        expected = evaluate(truth.mdp, truth.policy, truth.theta, steps).gradient
    else:
        expected = truncated_gradient(truth, steps)
    close(expectation(truth, unbiased_variant.tables(truth), steps), expected, 1e-11)


def test_moments_by_name_are_those_of_the_tables(truth):
    tables = estimators()["gae"].make(truth, lam=0.5)
    direct = table_moments(truth, tables, 6)
    named = by_name(truth.mdp, truth.policy, truth.theta, "gae", horizon=6, lam=0.5)
    np.testing.assert_array_equal(named.mean, direct.mean)
    np.testing.assert_array_equal(named.variance, direct.variance)


def test_moments_scale_with_the_rewards(variant):
    """Rewards, and what is in their unit, times c: mean times c, variance times c²."""
    P = np.random.default_rng(0).dirichlet(np.ones(3), size=(3, 2))
    r = np.random.default_rng(1).standard_normal((3, 2, 3))
    results = []
    for c in (1.0, 3.0):
        mdp = FiniteMDP.from_arrays(P, c * r, [0.5, 0.5, 0], 0.9)
        policy = make_policy("softmax", mdp)
        truth = evaluate(mdp, policy, policy.initial(seed=1))
        given = variant.given
        if isinstance(given.get("baseline"), float):
            given["baseline"] *= c
        found = table_moments(truth, estimators()[variant.name].make(truth, **given), 8)
        results.append((found.mean / c, found.variance / c**2))
    for plain, scaled in zip(*results, strict=True):
        np.testing.assert_allclose(scaled, plain, rtol=0, atol=1e-12 * np.abs(plain).max())


def test_too_large_is_said_with_its_size():
    mdp = make_problem("garnet", n_states=2000)
    policy = make_policy("softmax", mdp)
    with pytest.raises(TooLarge, match=r"exact moments need 3\.\d GiB, more than 1 GiB"):
        moments(mdp, policy, policy.initial(), "reinforce", horizon=3)


def test_horizon_must_be_positive():
    mdp = make_problem("two_state")
    policy = make_policy("softmax", mdp)
    with pytest.raises(ValueError, match="horizon is 0, must be an integer"):
        moments(mdp, policy, policy.initial(), "reinforce", horizon=0)
