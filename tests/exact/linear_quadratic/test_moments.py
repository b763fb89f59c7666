"""Expectations and variances of estimators by forms against all nodes."""

import numpy as np
import pytest

from pgbench.estimators import TableEstimator, estimators, make_tables
from pgbench.exact import NoFiniteVariance, TooLarge, evaluate, moments
from pgbench.exact.expectation import expectation
from pgbench.exact.finite.returns import mixed_moments
from pgbench.exact.horizon import finite_gradient
from pgbench.exact.returns import return_moments
from pgbench.exact.table_moments import directional_variance, table_moments
from pgbench.policies import make_policy
from pgbench.problems import LinearQuadratic, make_problem
from pgbench.problems.problem import Diverges
from pgbench.process.tables import Tables
from tests.support.linear_quadratic import by_definition, every_path, make_setting
from tests.support.numbers import close

CASES = [
    ("reinforce", {}),
    ("reinforce", {"baseline": -7.0}),
    ("reinforce", {"baseline": "optimal"}),
    ("reward_to_go", {}),
    ("reward_to_go", {"baseline": "objective", "discounted": False}),
    ("baseline_value", {}),
    ("baseline_value", {"discounted": False}),
    ("q_oracle", {}),
    ("advantage_oracle", {}),
    ("td", {}),
    ("td", {"critic_noise": 0.7}),
    ("gae", {"lam": 0.6}),
    ("gae", {"lam": 1.0, "critic_noise": 0.3, "discounted": False}),
]


each_case = pytest.mark.parametrize(("name", "given"), CASES)


def test_every_estimator_by_forms_is_in_the_cases():
    everywhere = {
        name
        for name, e in estimators().items()
        if isinstance(e, TableEstimator) and LinearQuadratic in e.on
    }
    assert everywhere - {"importance_sampling"} == {name for name, _ in CASES}


@each_case
def test_moments_are_those_of_all_nodes(setting, name, given):
    truth, steps = setting.truth, setting.steps
    forms = make_tables(truth, name, steps, **given)
    every = every_path(truth, steps)
    mean, variance = every.moments(by_definition(forms, every.batch, truth)[:, 0])
    exact = table_moments(truth, forms, steps)
    close(exact.mean, mean, rtol=1e-9)
    close(exact.variance, variance, rtol=1e-9)
    u = np.random.default_rng(1).standard_normal((2, truth.gradient.size))
    _, along = every.moments(by_definition(forms, every.batch, truth)[:, 0] @ u.T)
    close(directional_variance(truth, forms, steps, u), along, rtol=1e-9)


@pytest.mark.parametrize("exploration", [0.0, 0.3, 0.6])
def test_importance_sampling_has_the_moments_of_its_behaviour(exploration):
    truth = make_setting("affine").truth
    forms = make_tables(truth, "importance_sampling", 1, exploration=exploration)
    every = every_path(truth, 1, forms.process, every=60)
    mean, variance = every.moments(by_definition(forms, every.batch, truth)[:, 0])
    exact = table_moments(truth, forms, 1)
    close(exact.mean, mean, rtol=1e-7)
    close(exact.variance, variance, rtol=1e-6)


def test_narrow_behaviour_has_no_finite_variance():
    from pgbench.policies.gaussian import Law
    from pgbench.process.process import GaussianProcess

    truth = make_setting("scalar").truth
    law = Law(truth.pi.gain, truth.pi.covariance / 3)
    process = GaussianProcess(truth.mdp, law, truth.pi)
    forms = Tables.build(process, sigma=truth.mdp.reward, kappa=0.9, delta=0.9)
    with pytest.raises(NoFiniteVariance):
        table_moments(truth, forms, 3)


MISTAKES = {
    "no baseline where V is claimed": lambda t: {"beta": 0.0},
    "a baseline of the action": lambda t: {"beta": t.q},
    "steps not discounted": lambda t: {"delta": 1.0, "beta": t.v},
    "rewards not discounted": lambda t: {"kappa": 1.0, "beta": t.v},
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_forms_fail_the_same_check(mistake):
    truth = make_setting("scalar").truth
    right = make_tables(truth, "baseline_value", 2)
    given = {"sigma": truth.mdp.reward, "kappa": 0.9, "delta": 0.9} | MISTAKES[mistake](truth)
    wrong = Tables.build(truth.process, **given)
    every = every_path(truth, 2)
    _, variance = every.moments(by_definition(wrong, every.batch, truth)[:, 0])
    exact = table_moments(truth, right, 2).variance
    assert np.abs(variance / exact - 1).max() > 1e-2


def test_moments_of_returns_are_those_of_all_nodes(setting):
    truth, steps = setting.truth, setting.steps
    every = every_path(truth, steps)
    R, w = every.batch.returns[:, 0], every.weights
    Z = truth.policy.scores(truth.theta, every.batch.lifted, every.batch.noise).sum(axis=2)[:, 0]
    found = return_moments(truth, steps)
    assert found.mean == pytest.approx(w @ R, rel=1e-10)
    assert found.variance == pytest.approx(w @ (R - w @ R) ** 2, rel=1e-9)
    mixed, centred = mixed_moments(truth, steps), R - w @ R
    close(mixed.rz, w @ (R[:, None] * Z), rtol=1e-9)
    close(mixed.z2, w @ Z**2, rtol=1e-9)
    close(mixed.rz2, w @ (centred[:, None] * Z**2), rtol=1e-8)
    close(mixed.r2z2, w @ (centred[:, None] ** 2 * Z**2), rtol=1e-9)


@pytest.mark.parametrize(("name", "given"), [c for c in CASES if "discounted" in c[1]])
def test_without_discount_there_is_no_limit(setting, name, given):
    forms = make_tables(setting.truth, name, 800, **given)
    with pytest.raises(Diverges):
        expectation(setting.truth, forms)


@pytest.mark.parametrize(
    ("name", "given"),
    [c for c in CASES if "discounted" not in c[1] and c[1].get("baseline") != "optimal"],
)
def test_long_horizons_tend_to_the_infinite_one(setting, name, given):
    truth = setting.truth
    forms = make_tables(truth, name, 800, **given)
    limit = expectation(truth, forms)
    close(expectation(truth, forms, 800), limit, rtol=1e-9)
    if "critic" not in estimators()[name].causes(**given):
        close(limit, truth.gradient, rtol=1e-9)


def test_by_name():
    truth = make_setting("scalar").truth
    found = moments(truth.mdp, truth.policy, truth.theta, "gae", lam=0.5, horizon=4)
    close(found.mean, expectation(truth, make_tables(truth, "gae", 4, lam=0.5), 4))
    with pytest.raises(ValueError, match="unknown estimator"):
        moments(truth.mdp, truth.policy, truth.theta, "td_lambda", horizon=4)


def test_large_problems_have_means_and_no_variance():
    mdp = make_problem("lqg_random", n=6, m=2)
    policy = make_policy("gaussian", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    forms = make_tables(truth, "reward_to_go", 9)
    close(expectation(truth, forms, 9), finite_gradient(truth, 9), rtol=1e-11)
    with pytest.raises(TooLarge, match="polynomials of degree 6 in 6 variables"):
        table_moments(truth, forms, 9)
