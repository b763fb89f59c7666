"""Every estimator in every variant, against the list of all trajectories of tiny problems."""

import numpy as np
import pytest

from pgbench.api import sample_gradients
from pgbench.declared.parameters import ParameterError
from pgbench.estimators import CAUSES, HORIZON, Tables, estimators, find_estimator
from pgbench.exact import evaluate
from pgbench.exact.expectation import expectation
from pgbench.exact.horizon import truncated_gradient
from pgbench.exact.table_moments import table_moments
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout.enumeration import enumerated_moments
from pgbench.statistics import tail_shape
from tests.support.numbers import relative_gap
from tests.support.truths import KINDS, WEIGHTS_OF
from tests.support.variants import few_variants, listed_moments, on_tiny, table_variants

TOLERANCE = 1e-12
BIASED = [v for v in table_variants() if v.causes]
NO_CAUSE = [v for v in table_variants() if not v.causes]


def truths(truth, horizon):
    """What an estimator without the named cause of bias has as its mean."""
    return {
        "truncation": evaluate(truth.mdp, truth.policy, truth.theta, horizon).gradient,
        "tail": truncated_gradient(truth, horizon),
    }


def has_its_listed_moments(problem, kind, variant):
    """Mean, variance and expectation against the list of all trajectories."""
    truth, steps = variant.truth(problem, kind), variant.listed_steps(problem)
    tables, listed = variant.tables(truth, steps), listed_moments(problem, kind, variant)
    exact = table_moments(truth, tables, steps)
    assert relative_gap(exact.mean, listed.mean) < TOLERANCE
    scale = np.abs(listed.variance + listed.mean**2).max()
    assert np.abs(exact.variance - listed.variance).max() < TOLERANCE * scale
    assert relative_gap(expectation(truth, tables, steps), listed.mean) < TOLERANCE


@WEIGHTS_OF
@on_tiny(table_variants())
def test_mean_and_variance_are_exact(problem, kind, variant):
    has_its_listed_moments(problem, kind, variant)


@pytest.mark.parametrize("kind", KINDS)
@on_tiny(few_variants())
def test_every_policy_pulls_weights_back_to_exact_moments(problem, kind, variant):
    has_its_listed_moments(problem, kind, variant)


@WEIGHTS_OF
@on_tiny(NO_CAUSE)
def test_without_a_cause_of_bias_the_mean_is_the_gradient(problem, truth, kind, variant):
    assert relative_gap(expectation(truth, variant.tables(truth)), truth.gradient) < TOLERANCE
    cut = listed_moments(problem, kind, variant).mean
    assert relative_gap(cut, truth.gradient) > 1e-3


@WEIGHTS_OF
@on_tiny(BIASED)
def test_declared_causes_of_bias_are_true(problem, truth, horizon, kind, variant):
    causes, listed = set(variant.causes), listed_moments(problem, kind, variant)
    assert causes <= CAUSES.keys()
    if truth.mdp.gamma == 1:
        causes.discard("discount")  # no factor is missing where γ^t = 1
    means = truths(truth, horizon)
    if causes - HORIZON:
        assert min(relative_gap(listed.mean, mean) for mean in means.values()) > 1e-4
    else:
        (cause,) = causes or {"truncation"}
        assert relative_gap(listed.mean, means[cause]) < TOLERANCE


@WEIGHTS_OF
@on_tiny(BIASED)
def test_cures_remove_their_causes(truth, horizon, variant):
    """Without its declared causes an estimator has the mean of the horizon's cause alone."""
    estimator = estimators()[variant.name]
    values = dict(estimator.bound(**variant.given))
    for cause in set(variant.causes) - HORIZON:
        values |= estimator.cures[cause]
        assert cause not in estimator.causes(**values)
    left = estimator.causes(**values)
    mean = expectation(truth, estimator.make(truth, horizon, **values), horizon)
    assert relative_gap(mean, truths(truth, horizon)[left[0]]) < TOLERANCE


def test_the_two_truths_differ(truth, horizon):
    """Else the test above could not tell truncation from a dropped tail."""
    means = truths(truth, horizon)
    assert relative_gap(means["truncation"], means["tail"]) > 1e-3
    assert relative_gap(means["truncation"], truth.gradient) > 1e-3
    assert relative_gap(means["tail"], truth.gradient) > 1e-3


@WEIGHTS_OF
@on_tiny(table_variants(), ["ending", "corridor"])
def test_tables_are_zero_on_terminal_states(truth, variant):
    tables = variant.tables(truth, 3)
    ends = tables.process.mdp.terminal
    assert ends.any()
    for table in (tables.sigma, tables.kappa, tables.beta, tables.delta):
        assert (table[ends] == 0).all()


MISTAKES = {
    "the baseline as the weight of the score": lambda t, mdp: Tables.build(
        t.process, beta=-t.v[:, None], delta=mdp.gamma
    ),
    "reward-to-go begins a step late": lambda t, mdp: Tables.build(
        t.process, sigma=mdp.reward, kappa=mdp.gamma, beta=mdp.expected_reward, delta=mdp.gamma
    ),
    "rewards not discounted": lambda t, mdp: Tables.build(
        t.process, sigma=mdp.reward, kappa=1.0, delta=mdp.gamma
    ),
    "steps not discounted": lambda t, mdp: Tables.build(
        t.process, sigma=mdp.reward, kappa=mdp.gamma, delta=1.0
    ),
    "a baseline that depends on the action": lambda t, mdp: Tables.build(
        t.process, sigma=mdp.reward, kappa=mdp.gamma, beta=t.q, delta=mdp.gamma
    ),
    "total return discounted twice": lambda t, mdp: Tables.build(
        t.process, sigma=mdp.reward, kappa=mdp.gamma**2, total=True
    ),
}
"""Estimators that claim to be unbiased for ∇J_H and are not."""


@WEIGHTS_OF
@pytest.mark.parametrize("problem", ["dense", "ending", "coins"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_estimators_fail_the_same_check(truth, horizon, mistake):
    mean = enumerated_moments(truth, MISTAKES[mistake](truth, truth.mdp), horizon).mean
    assert relative_gap(mean, truths(truth, horizon)["truncation"]) > 1e-3


@WEIGHTS_OF
def test_wrong_variance_fails_the_same_check(truth, horizon):
    """A baseline changes no mean, only the variance: the comparison must see it."""
    mdp, gamma = truth.mdp, truth.mdp.gamma
    plain, shifted = (
        Tables.build(truth.process, sigma=mdp.reward, kappa=gamma, beta=b, delta=gamma)
        for b in (0, 0.1)
    )
    exact = table_moments(truth, plain, horizon)
    listed = enumerated_moments(truth, shifted, horizon)
    assert relative_gap(exact.mean, listed.mean) < TOLERANCE
    assert relative_gap(exact.variance, listed.variance) > 1e-4


@pytest.mark.parametrize("name", estimators())
def test_estimator_describes_itself(name):
    estimator = estimators()[name]
    assert estimator.name == name
    for text in (estimator.written(), estimator.reference, estimator.summary):
        assert text.strip()
    assert all(p.meaning for p in estimator.parameters.values())


def wrong_values(parameter):
    """Values that a parameter must refuse."""
    values = [None, float("nan"), [1.0]]
    if str not in parameter.types or parameter.choice:
        values.append("no such word")
    if parameter.range.minimum is not None:
        values.append(parameter.range.minimum - 1)
    if parameter.range.maximum is not None:
        values.append(parameter.range.maximum + 1)
    if bool not in parameter.types:
        values.append(True)
    if float not in parameter.types:
        values.append(0.5)
    return values


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name, e in estimators().items() for key in e.parameters]
)
def test_wrong_parameters_are_named(name, key):
    """An unknown baseline must never be read as zero."""
    estimator = estimators()[name]
    needed = {k: 0.5 for k, p in estimator.parameters.items() if p.required}
    for value in wrong_values(estimator.parameters[key]):
        with pytest.raises(ParameterError, match=rf"{name}\.{key}: .* must be "):
            estimator.causes(**needed | {key: value})


@pytest.mark.parametrize("name", estimators())
def test_unknown_and_missing_parameters_are_named(name):
    estimator = estimators()[name]
    with pytest.raises(ParameterError, match=rf"{name}\.nonsense: unknown parameter"):
        estimator.causes(nonsense=1)
    for key, parameter in estimator.parameters.items():
        if parameter.required:
            with pytest.raises(ParameterError, match=rf"{name}\.{key}: missing"):
                estimator.causes()


def test_unknown_estimator_gets_a_suggestion():
    with pytest.raises(ValueError, match=r"unknown estimator 'reinforc', did you mean reinforce\?"):
        find_estimator("reinforc")


@pytest.mark.parametrize("word", ["value", "mean", "objectve", ""])
def test_unknown_baseline_is_refused(word):
    for name in ("reinforce", "reward_to_go"):
        with pytest.raises(ParameterError, match=rf"{name}\.baseline: {word!r} is unknown"):
            estimators()[name].causes(baseline=word)


@pytest.mark.parametrize(("problem", "kind"), [("ending", "softmax")])
def test_tables_refuse_what_does_not_fit(truth):
    with pytest.raises(ValueError, match="broadcast"):
        Tables.build(truth.process, beta=np.zeros(truth.mdp.n_states + 1))


OFF_POLICY = {
    "importance_sampling": {},
    "trajectory_importance_sampling": {},
    "doubly_robust": {},
    "weighted_importance_sampling": {},
    "vtrace": {},
    "vtrace, unclipped": {"clip": 3.0},
    "vtrace, states corrected": {"correct_states": True},
}


@pytest.mark.every_estimator
def test_estimators_from_another_policy_are_all_tried_for_their_tails():
    explored = {name for name, e in estimators().items() if "exploration" in e.parameters}
    assert explored == {name.split(",")[0] for name in OFF_POLICY}


@pytest.mark.parametrize("name", OFF_POLICY)
def test_products_of_ratios_without_bound_are_declared(name):
    """Squares of 2000 estimates over long episodes are lognormal with σ > 2 there, < 1.5 elsewhere.

    An estimator from another policy that clips or normalises its ratios has no such tail.
    """
    mdp = make_problem("garnet", n_states=10, gamma=0.95)
    policy = make_policy("softmax", mdp)
    estimator, values = name.split(",")[0], OFF_POLICY[name]
    found = sample_gradients(
        mdp, policy, policy.initial(seed=0), estimator, horizon=90, replicates=2000, **values
    )
    shape = tail_shape((found**2).sum(axis=1))
    record = estimators()[estimator]
    assert record.unbounded(**record.bound(**values)) == (shape > 2)
    assert not 1.5 < shape < 2
