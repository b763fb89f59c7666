"""Ascents of linear-quadratic problems: paths, outcomes, and the lecture's lesson."""

from dataclasses import replace

import numpy as np
import pytest

from pgbench import ascend
from pgbench.ascent.crowd import gather
from pgbench.ascent.goal import ALL, find_goal
from pgbench.ascent.sources import Numbers, make_source
from pgbench.estimators import BatchEstimator, estimators
from pgbench.exact import evaluate, optimal_regulator
from pgbench.measure.gradients import estimates
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import LinearQuadratic, make_problem
from pgbench.rollout.simulator import Draws, Simulator


@pytest.fixture
def lecture():
    """A = B = Q = R = 1, γ = .95, and its policy."""
    mdp = make_problem("lqg")
    return mdp, make_policy("gaussian", mdp, floor=1e-3)


def test_exact_ascent_follows_the_gradient(lecture):
    mdp, policy = lecture
    theta = np.array([-0.3, 0.5])
    trace = ascend(mdp, policy, theta, step_size=2e-4, steps=30)
    for _ in range(30):
        theta = theta + 2e-4 * evaluate(mdp, policy, theta).gradient
        theta[1] = max(theta[1], 1e-3)
    np.testing.assert_allclose(trace.theta[0], theta, rtol=1e-10)
    np.testing.assert_allclose(trace.path[0, -1], theta, rtol=1e-10)
    np.testing.assert_array_equal(trace.path[0, 0], [-0.3, 0.5])


def test_natural_ascent_rescales_by_the_fisher_matrix(lecture):
    mdp, policy = lecture
    theta = np.array([-0.3, 0.5])
    trace = ascend(mdp, policy, theta, algorithm="natural", step_size=1e-3, steps=20)
    for _ in range(20):
        truth = evaluate(mdp, policy, theta)
        theta = theta + 1e-3 * np.linalg.solve(truth.fisher(), truth.gradient)
    np.testing.assert_allclose(trace.theta[0], theta, rtol=1e-9)


@pytest.mark.parametrize("scale", ["variance", "log_std"])
def test_exact_ascent_reaches_the_regulator(scale):
    mdp = make_problem("lqg_random", n=3, m=2, seed=2, gamma=0.9)
    policy = make_policy("gaussian", mdp, scale=scale, floor=1e-9)
    best = optimal_regulator(mdp)
    rule = {"step_size": "kl", "radius": 1e-2}
    trace = ascend(mdp, policy, policy.initial(init="zeros"), algorithm="natural",
                   step_size=rule, steps=400)  # fmt: skip
    assert best.objective - trace.objective[0, -1] < 1e-3 * (best.objective - trace.objective[0, 0])
    np.testing.assert_allclose(policy.gain(trace.theta[0]), best.gain, atol=0.05)
    assert (trace.objective <= best.objective + 1e-9 * abs(best.objective)).all()


@pytest.mark.parametrize("name", ["reward_to_go", "baseline_value"])
def test_estimates_of_many_policies_are_those_of_each(lecture, name):
    mdp, policy = lecture
    thetas = np.array([[-0.3, 0.5], [9.0, 0.5], [-0.7, 0.2]])
    crowd, numbers = gather(mdp, policy, thetas), Numbers(horizon=7, seed=1, stream=2)
    source = make_source(mdp, policy, estimators()[name], {}, numbers, 6)
    found, steps = source.gradient(crowd, 3)
    assert steps.tolist() == [42, 0, 42]
    assert np.isnan(found[1]).all()
    draws = Draws(7, 6, 3, 1, numbers.at(3))
    for r in (0, 2):
        alone, _ = estimates(evaluate(mdp, policy, thetas[r]), estimators()[name], {}, draws)
        np.testing.assert_allclose(found[r], alone[r], rtol=1e-9)


GIVEN = {
    "sampled_actor_critic": [{"method": "lstd"}, {"method": "lstd", "data": "same"}],
    "natural": [{}, {"fisher": "same_batch"}, {"fisher": "independent_batch", "damping": 0.1}],
    "deterministic": [{}, {"second_order": True}],
}
"""Parameters of batch estimators of linear-quadratic problems, where defaults do not say it all."""

BATCH_CASES = [
    pytest.param(name, given, id=f"{name}{given or ''}")
    for name, record in estimators().items()
    if isinstance(record, BatchEstimator) and LinearQuadratic in record.on
    for given in GIVEN.get(name, [{}])
]


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize(("name", "given"), BATCH_CASES)
def test_batches_of_many_policies_are_those_of_each(name, given, n):
    """A policy whose J is infinite stands among them, and spoils no other."""
    mdp = make_problem("lqg_random", n=n, m=n, seed=2, gamma=0.9)
    policy, record = make_policy("gaussian", mdp), estimators()[name]
    thetas = np.stack([policy.initial(seed=seed) for seed in range(3)])
    thetas[1, : n * n] += 50.0
    crowd, numbers = gather(mdp, policy, thetas), Numbers(horizon=7, seed=1, stream=2)
    assert crowd.good.tolist() == [True, False, True]
    assert not record.alone
    found, steps = make_source(mdp, policy, record, given, numbers, 6).gradient(crowd, 3)
    assert steps[1] == 0
    assert np.isnan(found[1]).all()
    for r in (0, 2):
        draws = Draws(7, 6, 3, 1, numbers.at(3))
        simulator = Simulator(evaluate(mdp, policy, thetas[r]), draws, r, 1)
        own = record.estimate(simulator, **record.bound(**given))[0]
        np.testing.assert_allclose(found[r], own, rtol=1e-8, atol=1e-10 * abs(own).max())
        assert steps[r] == simulator.steps[0]


def test_expected_estimates_are_followed_too(lecture):
    mdp, policy = lecture
    theta = np.array([-0.3, 0.5])
    numbers = Numbers(horizon=9, seed=1, stream=2)
    source = make_source(mdp, policy, estimators()["td"], {}, numbers, 1, expected=True)
    found, _ = source.gradient(gather(mdp, policy, theta[None]), 0)
    exact = estimators()["td"].mean(evaluate(mdp, policy, theta), 9, 1)
    np.testing.assert_allclose(found[0], exact, rtol=1e-10)


def test_leaving_the_stable_gains_is_an_outcome(lecture):
    mdp, policy = lecture
    trace = ascend(mdp, policy, [-0.1, 1.0], step_size=0.1, steps=20)
    assert trace.stopped[0] >= 0
    assert not trace.stable[0]
    assert np.isnan(trace.objective[0, -1])
    assert np.isfinite(trace.theta).all()
    sampled = ascend(mdp, policy, [-0.1, 1.0], estimator="reward_to_go", step_size=0.1, steps=20,
                     replicates=4, horizon=50)  # fmt: skip
    assert (sampled.stopped >= 0).all()
    assert not sampled.stable.any()


def test_plain_ascent_is_thrown_about_where_nothing_is_explored(lecture):
    """The lecture's lesson: with the same estimates, natural ascent does not leave the valley."""
    mdp, policy = lecture
    given = {"estimator": "baseline_value", "steps": 400, "batch_size": 32, "horizon": 93,
             "replicates": 6, "seed": 3}  # fmt: skip
    best = optimal_regulator(mdp).objective
    plain = ascend(mdp, policy, [-0.3, 0.1], step_size=2e-4, **given)
    natural = ascend(mdp, policy, [-0.3, 0.1], algorithm="natural", step_size=1e-3, **given)
    exact = ascend(mdp, policy, [-0.3, 0.1], step_size=2e-4, steps=400)
    left = [np.nanmedian(best - t.objective[:, -1]) for t in (plain, natural, exact)]
    assert left[1] < 0.3 * left[0]
    assert left[2] < left[1]


def test_what_is_only_for_finite_problems_says_so(lecture):
    mdp, policy = lecture
    for algorithm, words in (
        ("actor_critic", "for finite problems only"),
        ("svrpg", "on finite problems only"),
        ({"algorithm": "gradient", "entropy": 0.1}, "finite problems only"),
    ):
        given = (
            {"algorithm": "actor_critic", "critic_step": 0.1}
            if algorithm == "actor_critic"
            else algorithm
        )
        estimator = "exact" if algorithm == "actor_critic" else "reward_to_go"
        with pytest.raises(NotApplicable, match=words):
            ascend(mdp, policy, [-0.3, 0.5], algorithm=given, estimator=estimator, steps=2)


def test_the_goal_is_the_regulator(lecture):
    mdp, policy = lecture
    goal = find_goal(mdp, policy)
    assert goal.kind == ALL
    assert goal.objective == optimal_regulator(mdp).objective
    scores = goal.scores(gather(mdp, policy, np.array([[goal.optimum.gain[0, 0] + 0.1, 0.5]])))
    assert scores["distance"][0] == pytest.approx(0.1)
    assert scores["entropy"][0] == pytest.approx(0.5 * np.log(2 * np.pi * np.e * 0.5))
    assert find_goal(make_problem("lqg", gamma=1.0), policy).optimum is None


@pytest.mark.parametrize(
    ("name", "given"),
    [("reward_to_go", {"baseline": "optimal"}), ("gae", {"lam": 0.5}), ("importance_sampling", {})],
)
def test_forms_made_one_policy_at_a_time_are_those_made_together(lecture, name, given):
    """And an optimal baseline, a number per policy, is known of several."""
    mdp, policy = lecture
    record, numbers = estimators()[name], Numbers(6, 1, 2)
    crowd = gather(mdp, policy, np.array([[-0.3, 0.5], [-0.5, 0.4], [9.0, 0.4]]))
    alone = replace(record, alone="for the test")
    together, one_by_one = (
        make_source(mdp, policy, own, given, numbers, 4).gradient(crowd, 0)
        for own in (record, alone)
    )
    assert np.isfinite(together[0]).all(axis=1).tolist() == [True, True, False]
    np.testing.assert_allclose(together[0], one_by_one[0], rtol=1e-12)
    np.testing.assert_array_equal(together[1], one_by_one[1])
