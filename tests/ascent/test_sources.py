"""Estimates of many policies are, each of them, what the estimator gives for that policy alone."""

from dataclasses import replace

import numpy as np
import pytest

from pgbench.ascent.crowd import FiniteCrowd
from pgbench.ascent.ratios import ratios
from pgbench.ascent.sources import Numbers, make_source
from pgbench.estimators import estimators
from pgbench.exact import evaluate
from pgbench.measure.gradients import estimates
from pgbench.objectives import make_objective
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import make_problem
from pgbench.rollout.simulator import Draws
from tests.support.variants import SAMPLED, batch_variants, each, table_variants

NUMBERS = Numbers(horizon=12, seed=5, stream=7)
N = 4


@pytest.fixture(scope="module")
def setting():
    mdp = make_problem("random", n_states=3, n_actions=2, gamma=0.8, seed=1)
    policy = make_policy("softmax", mdp)
    return FiniteCrowd(mdp, policy, np.stack([policy.initial(seed=s) for s in range(3)]))


def compare(setting, variant):
    objective = make_objective(variant.objective, setting.mdp, setting.policy)
    crowd = replace(setting, under=objective)
    estimator = estimators()[variant.name]
    source = make_source(crowd.mdp, crowd.policy, estimator, variant.given, NUMBERS, N)
    got, cost = source.gradient(crowd, 3)
    assert np.isfinite(got).all()
    for r in range(crowd.m):
        truth = objective.truth(crowd.theta[r])
        draws = Draws(NUMBERS.horizon, N, crowd.m, NUMBERS.seed, NUMBERS.at(3))
        alone, steps = estimates(truth, estimator, variant.given, draws)
        assert cost[r] == steps[r]
        if variant.name not in SAMPLED:  # their random numbers are those of single blocks
            np.testing.assert_allclose(got[r], alone[r], rtol=1e-8, atol=1e-11)


@each(table_variants())
def test_table_estimators(setting, variant):
    compare(setting, variant)


@each(batch_variants())
def test_batch_estimators(setting, variant):
    compare(setting, variant)


def test_entropy_enters_the_rewards_that_are_sampled(setting):
    """With an action-independent baseline the estimate is that of a problem which pays τ too."""
    crowd = FiniteCrowd(setting.mdp, setting.policy, setting.theta, entropy=0.4)
    for name in ("reward_to_go", "baseline_value", "rloo"):
        source = make_source(crowd.mdp, crowd.policy, estimators()[name], {}, NUMBERS, N)
        got, _ = source.gradient(crowd, 1)
        for r in range(crowd.m):
            truth = crowd.truth(r)
            draws = Draws(NUMBERS.horizon, N, crowd.m, NUMBERS.seed, NUMBERS.at(1))
            alone, _ = estimates(truth, estimators()[name], {}, draws)
            np.testing.assert_allclose(got[r], alone[r], rtol=1e-8)


def test_iterations_draw_different_numbers(setting):
    source = make_source(setting.mdp, setting.policy, estimators()["reward_to_go"], {}, NUMBERS, N)
    first, again, other = (source.gradient(setting, k)[0] for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.isclose(first, other).any()


def test_mean_source_follows_the_exact_mean(setting):
    record = estimators()["reward_to_go"]
    given = {"discounted": False}
    source = make_source(setting.mdp, setting.policy, record, given, NUMBERS, 1, expected=True)
    got, cost = source.gradient(setting, 0)
    assert not cost.any()
    for r in range(setting.m):
        truth = evaluate(setting.mdp, setting.policy, setting.theta[r])
        np.testing.assert_allclose(got[r], record.mean(truth, 12, 1, discounted=False), rtol=1e-9)


def test_unknown_means_are_refused(setting):
    record = estimators()["grpo"]
    source = make_source(setting.mdp, setting.policy, record, {}, NUMBERS, 4, expected=True)
    with pytest.raises(NotApplicable, match="exact mean of grpo is not known"):
        source.gradient(setting, 0)


def test_likelihood_ratios_are_those_of_the_policies(setting):
    source = make_source(setting.mdp, setting.policy, estimators()["reward_to_go"], {}, NUMBERS, N)
    drawn = source.at(setting).draw(0)
    other = FiniteCrowd(setting.mdp, setting.policy, setting.theta + 0.1 * np.arange(6))
    got = ratios(drawn, setting, other)
    for r in range(setting.m):
        for i in range(N):
            pairs = drawn.pair[r, i, : drawn.steps[r, i]] % 6
            expected = np.prod(other.pi[r].ravel()[pairs] / setting.pi[r].ravel()[pairs])
            assert got[r, i] == pytest.approx(expected, rel=1e-12)


def test_reweighed_rollouts_have_the_mean_of_the_other_policy(setting):
    """E[ω ĝ(θ')] = ∇J_H(θ') from rollouts of θ; left out, the ratio is missed."""
    m = 4000
    mdp, policy = setting.mdp, setting.policy
    here = FiniteCrowd(mdp, policy, np.tile(setting.theta[0], (m, 1)))
    there = FiniteCrowd(
        mdp, policy, np.tile(setting.theta[0] + 0.4 * np.array([1, -1] * 3), (m, 1))
    )
    numbers = Numbers(horizon=4, seed=1, stream=1)
    source = make_source(mdp, policy, estimators()["reward_to_go"], {}, numbers, 8)
    drawn, there_too = source.at(here).draw(0), source.at(there)
    truth = evaluate(mdp, policy, there.theta[0], horizon=4).gradient

    def z(estimate):
        return np.abs(estimate.mean(0) - truth) / (estimate.std(0) / np.sqrt(m))

    assert z(there_too.weighed(drawn, ratios(drawn, here, there))).max() < 4
    assert z(there_too.weighed(drawn)).max() > 6
