"""Estimators on data of every sampler, against the list of all trajectories of tiny problems."""

import numpy as np
import pytest

from pgbench.estimators import HORIZON, TableEstimator, Tables, estimators, make_tables
from pgbench.estimators.parts.estimator import declared_mean
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.exact import evaluate
from pgbench.exact.expectation import expectation
from pgbench.exact.horizon import finite_gradient, truncated_gradient
from pgbench.exact.table_moments import table_moments
from pgbench.grid.plan import Prepared
from pgbench.measure.gradients import estimates
from pgbench.measure.subject import make_subject
from pgbench.policies import NotApplicable, make_policy
from pgbench.rollout.enumeration import enumerated_batches, enumerated_moments
from pgbench.rollout.simulator import Draws
from pgbench.samplers import sampled
from tests.support.numbers import relative_gap
from tests.support.problems import DISCOUNTED, TINY
from tests.support.samplers import SAMPLERS, WHOLE, sampled_truth
from tests.support.shipped import shipped
from tests.support.truths import TWO_KINDS, WEIGHTS_OF, tiny_truth
from tests.support.variants import (
    HORIZON_ALONE,
    SAMPLED,
    listed_variants,
    on_tiny,
    record,
    size,
    table_variants,
)

TOLERANCE = 1e-12
EVERY = pytest.mark.parametrize("sampler", SAMPLERS)
UNCORRECTED = [
    v for v in table_variants() if v.causes in HORIZON_ALONE and not estimators()[v.name].corrects
]
"""Table estimators that are biased by the horizon alone on data of the policy itself."""

SURROGATES = [v for v in table_variants() if v.name in ("ppo", "trust_region_surrogate")]
PLAIN = [v for v in table_variants() if v not in SURROGATES]
"""Advantages of a sampler under which an episode never ends are not finite where γ is 1."""

LISTED = [v for v in listed_variants() if not estimators()[v.name].own_data]


def exact(truth, variant, horizon=2):
    return record(variant).exact(truth, horizon, size(variant), **variant.given)


def listed(truth, variant, horizon=2):
    return enumerated_batches(truth, record(variant), horizon, size(variant), **variant.given)


@WEIGHTS_OF
@on_tiny(PLAIN, sampler=list(SAMPLERS))
def test_mean_and_variance_of_table_estimators_are_exact(problem, kind, variant, sampler):
    has_its_listed_moments(problem, kind, variant, sampler)


@WEIGHTS_OF
@on_tiny(SURROGATES, DISCOUNTED, sampler=list(SAMPLERS))
def test_those_of_surrogates_are_exact_too(problem, kind, variant, sampler):
    has_its_listed_moments(problem, kind, variant, sampler)


def has_its_listed_moments(problem, kind, variant, sampler):
    """Mean, variance and expectation against the list of all trajectories."""
    truth, steps = (
        sampled_truth(problem, kind, sampler, variant.objective),
        variant.listed_steps(problem),
    )
    tables = variant.tables(truth, steps)
    found, listed = table_moments(truth, tables, steps), enumerated_moments(truth, tables, steps)
    scale = np.sqrt(np.abs(listed.variance + listed.mean**2).max()) or 1.0
    assert np.abs(found.mean - listed.mean).max() < TOLERANCE * scale
    assert np.abs(found.variance - listed.variance).max() < TOLERANCE * scale**2
    assert np.abs(expectation(truth, tables, steps) - listed.mean).max() < TOLERANCE * scale


@EVERY
@pytest.mark.parametrize("name", ["reinforce", "reward_to_go", "importance_sampling"])
def test_the_data_are_those_of_the_sampler_and_the_scores_those_of_the_policy(
    problem, horizon, sampler, name
):
    """The mean, summed over the trajectories of μ from the definitions alone."""
    truth = sampled_truth(problem, "softmax", sampler)
    expected = np.zeros_like(truth.gradient)
    for probability, weights in by_hand(truth, horizon, name):
        expected += probability * truth.policy.pull_back(truth.theta, weights)
    tables = make_tables(truth, name, horizon)
    assert relative_gap(expectation(truth, tables, horizon), expected) < TOLERANCE


def by_hand(truth, horizon, name):
    """Probability under μ and weights of the scores (S, A) of every trajectory."""
    mdp, mu, pi = truth.mdp, truth.behaviour, truth.pi

    def paths(s, left):
        if left == 0 or mdp.terminal[s]:
            yield 1.0, []
            return
        for a, k in np.argwhere(mu[s][:, None] * mdp.probability[s] > 0):
            chance = mu[s, a] * mdp.probability[s, a, k]
            for p, later in paths(mdp.successor[s, a, k], left - 1):
                yield chance * p, [(s, a, mdp.reward[s, a, k]), *later]

    for s0 in np.flatnonzero(mdp.mu0):
        for p, steps in paths(s0, horizon):
            weights, gamma = np.zeros(pi.shape), mdp.gamma
            W = np.cumprod([pi[s, a] / mu[s, a] for s, a, _ in steps])
            paid = np.array([gamma**t * r for t, (_, _, r) in enumerate(steps)])
            for t, (s, a, _) in enumerate(steps):
                own = {
                    "reinforce": paid.sum(),
                    "reward_to_go": paid[t:].sum(),
                    "importance_sampling": (W * paid)[t:].sum(),
                }
                weights[s, a] += own[name]
            yield mdp.mu0[s0] * p, weights


@WEIGHTS_OF
@pytest.mark.parametrize("sampler", WHOLE)
def test_ratios_make_up_for_a_sampler_that_draws_whatever_the_policy_does(
    problem, kind, horizon, sampler
):
    truth = sampled_truth(problem, kind, sampler)
    right = finite_gradient(truth, horizon)
    mean = estimators()["importance_sampling"].mean(truth, horizon, 1)
    assert relative_gap(mean, right) < TOLERANCE
    plain = estimators()["reward_to_go"].mean(truth, horizon, 1)
    assert relative_gap(plain, right) > 1e-4


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s not in WHOLE])
@pytest.mark.parametrize("name", ["importance_sampling", "trajectory_importance_sampling"])
@pytest.mark.parametrize("problem", ["dense", "coins"])
def test_no_ratio_makes_up_for_actions_that_are_never_drawn(problem, sampler, name):
    truth, estimator = sampled_truth(problem, "softmax", sampler), estimators()[name]
    if isinstance(estimator, TableEstimator):
        mean = enumerated_moments(truth, estimator.make(truth, 3), 3).mean
    else:
        mean = enumerated_batches(truth, estimator, 3, 1).mean
    assert relative_gap(mean, finite_gradient(truth, 3)) > 1e-3
    assert estimator.causes_at(truth) == ("truncation", "support")


@pytest.mark.parametrize("sampler", WHOLE)
def test_a_ratio_without_its_prefix_is_biased_and_that_of_the_trajectory_is_not(
    problem, horizon, sampler
):
    """Both weigh the exact Q of every step: by its own ratio, and by those up to it."""
    truth = sampled_truth(problem, "softmax", sampler)
    mdp, w = truth.mdp, truth.pi / np.where(truth.behaviour > 0, truth.behaviour, 1.0)

    def mean(delta):
        tables = Tables.build(truth.process, beta=-w * truth.q, delta=delta)
        return enumerated_moments(truth, tables, horizon).mean

    right = truncated_gradient(truth, horizon)
    assert relative_gap(mean(mdp.gamma * w), right) < TOLERANCE
    assert relative_gap(mean(mdp.gamma), right) > 1e-4
    whole = estimators()["trajectory_importance_sampling"]
    listed = enumerated_batches(truth, whole, horizon, 1).mean
    assert relative_gap(listed, finite_gradient(truth, horizon)) < TOLERANCE


@on_tiny(LISTED, ["dense", "ending", "coins"], kind=TWO_KINDS, sampler=["mixture", "top_k"])
def test_what_is_known_of_batch_estimators_is_right(problem, kind, sampler, variant):
    truth, estimator = sampled_truth(problem, kind, sampler, variant.objective), record(variant)
    found = exact(truth, variant)
    if found.mean is None:
        assert not estimator.anywhere
        causes = {*variant.causes, *estimator.causes_elsewhere(**variant.given)}
        assert not estimator.corrects or sampler == "top_k" or causes - HORIZON
    else:
        there = listed(truth, variant)
        scale = np.sqrt(np.abs(there.variance + there.mean**2).max())
        assert np.abs(found.mean - there.mean).max() <= 1e-11 * scale
        if found.variance is not None:
            assert np.abs(found.variance - there.variance).max() <= 1e-11 * scale**2


def test_what_is_known_on_data_of_the_policy_is_not_claimed_elsewhere():
    truth = sampled_truth("dense", "softmax", "temperature")
    plain = [v for v in LISTED if v.name in shipped() and not record(v).penalised]
    known = {v.name for v in plain if exact(truth, v).mean is not None}
    outcomes = {v.name for v in plain if isinstance(record(v), OutcomeEstimator)}
    assert known - outcomes == {"all_action", "doubly_robust", "trajectory_importance_sampling"}
    assert outcomes <= known
    on_policy = {v.name for v in plain if exact(truth.on_policy, v).mean is not None}
    assert known < on_policy
    lost = sampled_truth("dense", "softmax", "top_k")
    there = {v.name for v in plain if exact(lost, v).mean is not None}
    assert there - outcomes == {"all_action"}


@on_tiny([v for v in PLAIN if not v.simulates_its_horizon], sampler=list(SAMPLERS))
def test_the_bias_is_split_to_the_last_digit(problem, variant, sampler):
    is_split(problem, variant, sampler)


@on_tiny(SURROGATES, DISCOUNTED, sampler=list(SAMPLERS))
def test_that_of_surrogates_is_split_too(problem, variant, sampler):
    is_split(problem, variant, sampler)


def is_split(problem, variant, sampler):
    """The parts are those declared, add up, and leave at last what the horizon explains."""
    truth, horizon = sampled_truth(problem, "softmax", sampler, variant.objective), TINY[problem][1]
    estimator = estimators()[variant.name]
    subject = make_subject(Prepared(truth, horizon, 1.0), estimator, variant.given)
    parts, causes = subject.parts(1), estimator.causes_at(truth, **variant.given)
    assert set(parts) == {*(set(causes) - HORIZON), "horizon"}
    whole = subject.exact(1).mean - truth.gradient
    scale = max(np.abs(part).max() for part in (*parts.values(), truth.gradient))
    np.testing.assert_allclose(sum(parts.values()), whole, atol=1e-11 * scale)
    values = dict(estimator.bound(**variant.given))
    for cause in set(variant.causes) - HORIZON:
        values |= estimator.cures[cause]
    left = declared_mean(truth, horizon, set(estimator.causes(**values))) - truth.gradient
    np.testing.assert_allclose(parts["horizon"], left, atol=1e-10 * scale)


@on_tiny(UNCORRECTED, sampler=list(SAMPLERS))
def test_what_corrects_for_nothing_is_biased_by_the_sampler(problem, variant, sampler):
    truth, horizon = (
        sampled_truth(problem, "softmax", sampler, variant.objective),
        variant.listed_steps(problem),
    )
    estimator = estimators()[variant.name]
    assert estimator.causes_at(truth, **variant.given)[-1] == "sampler"
    assert "sampler" not in estimator.causes_at(truth.on_policy, **variant.given)
    subject = make_subject(Prepared(truth, horizon, 1.0), estimator, variant.given)
    there = variant.tables(truth.on_policy, horizon)
    part = subject.exact(1).mean - expectation(
        truth.on_policy, there, there.process.within(horizon)
    )
    np.testing.assert_array_equal(subject.parts(1)["sampler"], part)
    assert np.abs(part).max() > 1e-6


def test_what_leaves_no_bias_on_another_sampler_says_so():
    """Per-decision ratios declare the horizon alone, and stay right."""
    truth = sampled_truth("dense", "softmax", "mixture")
    assert estimators()["importance_sampling"].causes_at(truth) == ("truncation",)
    assert estimators()["reinforce"].causes_at(truth) == ("truncation", "sampler")


@pytest.mark.parametrize("name", ["ppo", "trust_region_surrogate"])
@pytest.mark.parametrize("sampler", ["temperature", "theta", "stale"])
def test_surrogates_take_the_sampler_for_the_older_policy(name, sampler):
    """Ratios to μ, exact advantages of μ, states of μ; another drift is a policy of its own."""
    truth = sampled_truth("dense", "softmax", sampler)
    mu = truth.behaviour
    direct = make_policy("direct", truth.mdp)
    advantage = evaluate(truth.mdp, direct, mu.ravel()).advantage
    w = truth.pi / mu
    share = np.where(advantage >= 0, w <= 1.2, w >= 0.8) if name == "ppo" else 1.0
    tables = make_tables(truth, name, 3)
    np.testing.assert_array_equal(tables.process.pi, mu)
    np.testing.assert_allclose(tables.beta, -w * advantage * share, rtol=1e-10, atol=1e-12)
    own = make_tables(truth, name, 3, drift=0.25)
    plain = make_tables(truth.on_policy, name, 3, drift=0.25)
    np.testing.assert_array_equal(own.beta, plain.beta)


@pytest.mark.parametrize(
    "name", [n for n, e in estimators().items() if "exploration" in e.parameters]
)
def test_an_exploration_that_is_given_is_a_behaviour_of_its_own(name):
    truth, estimator = sampled_truth("dense", "softmax", "temperature"), estimators()[name]
    draws = Draws(3, 2, 16, 1, 2)

    def gradients(own, **given):
        return estimates(own, estimator, given, draws)[0]

    np.testing.assert_array_equal(
        gradients(truth, exploration=0.2), gradients(truth.on_policy, exploration=0.2)
    )
    assert not np.array_equal(gradients(truth), gradients(truth.on_policy))


@pytest.mark.parametrize("name", sorted(SAMPLED - {"dynamic_sampling"}))
def test_what_draws_its_own_rollouts_is_not_for_samplers(name):
    """Antithetic and quasi-random rollouts are driven by numbers, and by any policy."""
    truth, estimator = sampled_truth("dense", "softmax", "mixture"), estimators()[name]
    if name in ("antithetic", "quasi_monte_carlo"):
        mean = expectation(truth, make_tables(truth, "reward_to_go", 3), 3)
        found = estimates(truth, estimator, {}, Draws(3, 2, 4000, 3, 4))[0]
        error = found.std(axis=0) / np.sqrt(len(found))
        assert (np.abs(found.mean(axis=0) - mean) < 4 * error + 1e-12).all()
        assert (np.abs(found.mean(axis=0) - finite_gradient(truth, 3)) > 4 * error).any()
        assert estimator.exact(truth, 3, 2).mean is None
    else:
        with pytest.raises(NotApplicable, match=f"{name} takes no sampler's data: its rollouts"):
            make_subject(Prepared(truth, 3, 3.0), estimator, {})


def test_without_advantages_of_the_sampler_there_is_no_surrogate():
    truth = sampled_truth("corridor", "softmax", "top_k")
    with pytest.raises(NotApplicable, match="no advantages of the data's policy: the expected"):
        make_tables(truth, "ppo", 3)


def test_baselines_of_least_variance_have_it_on_these_data():
    truth = sampled_truth("dense", "softmax", "temperature")

    def trace(baseline):
        return table_moments(
            truth, make_tables(truth, "reward_to_go", 3, baseline=baseline), 3
        ).trace

    best, values = trace("optimal"), np.linspace(-3, 3, 25)
    assert best <= min(map(trace, values)) + 1e-12
    other = tiny_truth("dense", "softmax")
    assert best < trace(
        float(-make_tables(other, "reward_to_go", 3, baseline="optimal").beta.flat[0])
    )


def test_many_replicates_have_the_exact_mean():
    """The kernels draw from μ: 20 000 estimates, and a bound of 4 standard errors."""
    own = tiny_truth("dense", "loglinear")
    truth = sampled(own, "temperature", value=0.5)
    draws = Draws(3, 1, 20_000, 5, 6)
    for name in ("reward_to_go", "importance_sampling", "rloo", "trajectory_importance_sampling"):
        estimator = estimators()[name]
        found = estimates(
            truth, estimator, {}, draws if name != "rloo" else Draws(3, 2, 9000, 5, 6)
        )
        mean = enumerated(truth, estimator)
        error = found[0].std(axis=0) / np.sqrt(len(found[0]))
        assert (np.abs(found[0].mean(axis=0) - mean) < 4 * error).all()


def enumerated(truth, estimator):
    """The mean of 3 steps from the list of all trajectories, or of all pairs of them."""
    if isinstance(estimator, TableEstimator):
        return enumerated_moments(truth, estimator.make(truth, 3), 3).mean
    return enumerated_batches(truth, estimator, 3, estimator.fewest).mean
