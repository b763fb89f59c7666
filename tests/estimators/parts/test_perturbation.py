"""Perturbed parameters and mirrored random numbers: means, orders of bias, and wrong versions."""

import numpy as np
import pytest

from pgbench.declared.parameters import ParameterError
from pgbench.estimators import find_estimator
from pgbench.estimators.parts.estimator import finite_gradient
from pgbench.estimators.quasi_monte_carlo import sobol
from pgbench.exact import evaluate
from pgbench.measure.gradients import estimates
from pgbench.policies import LogLinear, NotApplicable, make_policy
from pgbench.problems import FiniteMDP, make_problem
from pgbench.rollout.simulator import Draws

H, R = 6, 6000

CLAIMS = {
    "finite_differences": [{"step": 0.3}, {"step": 0.3, "common": False}],
    "spsa": [{"step": 0.3}],
    "evolution_strategies": [
        {"sigma": 0.3},
        {"sigma": 0.3, "antithetic": False},
        {"sigma": 0.3, "antithetic": False, "shaping": "mean"},
        {"sigma": 0.3, "shaping": "mean"},
    ],
    "pgpe": [{"sigma": 0.3}],
    "antithetic": [{}, {"value": True}],
    "quasi_monte_carlo": [{}, {"value": True}],
}
CASES = [(name, given) for name, variants in CLAIMS.items() for given in variants]


@pytest.fixture(scope="module")
def two():
    """Two states, two parameters that both share; the first action pays about 1 more."""
    P = np.array([[[0.7, 0.3], [0.2, 0.8]], [[0.4, 0.6], [0.5, 0.5]]])
    mdp = FiniteMDP.from_arrays(P, [[1.0, 0.0], [0.8, -0.3]], [0.6, 0.4], 0.7)
    policy = LogLinear(np.broadcast_to(np.eye(2), (2, 2, 2)))
    return evaluate(mdp, policy, np.array([0.4, -0.3]))


@pytest.fixture(scope="module")
def six():
    mdp = make_problem("garnet", n_states=3, n_actions=2, branching=2, gamma=0.8, seed=1)
    policy = make_policy("softmax", mdp)
    return evaluate(mdp, policy, policy.initial(seed=2))


def largest_z(g, mean):
    return np.abs((g.mean(axis=0) - mean) / (g.std(axis=0, ddof=1) / np.sqrt(len(g)))).max()


@pytest.mark.parametrize(("name", "given"), CASES)
def test_means_are_exact_and_wrong_factors_are_seen(two, name, given):
    """Within 4 standard errors in every coordinate; 1.5 times as much is not."""
    estimator = find_estimator(name)
    g, _ = estimates(two, estimator, given, Draws(H, 4, R, 7, 8))
    mean = estimator.exact(two, H, 4, **given).mean
    assert largest_z(g, mean) < 4
    assert largest_z(1.5 * g, mean) > 4.5


@pytest.mark.parametrize("name", ["finite_differences", "spsa"])
def test_means_with_six_parameters(six, name):
    estimator = find_estimator(name)
    g, _ = estimates(six, estimator, {"step": 0.5}, Draws(H, 4, R, 7, 8))
    mean = estimator.exact(six, H, 4, step=0.5).mean
    assert largest_z(g, mean) < 4
    assert largest_z(1.5 * g, mean) > 4.5


@pytest.mark.parametrize(
    ("name", "key"), [("finite_differences", "step"), ("spsa", "step"), ("pgpe", "sigma")]
)
def test_smoothing_bias_is_of_second_order(two, name, key):
    estimator, g = find_estimator(name), finite_gradient(two, H)
    errors = [
        np.linalg.norm(estimator.exact(two, H, 4, **{key: step}).mean - g) for step in (0.02, 0.01)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.01)
    np.testing.assert_allclose(estimator.exact(two, H, 4, **{key: 0.0}).mean, g, rtol=1e-12)


def test_simultaneous_perturbations_of_one_parameter_are_finite_differences():
    mdp = make_problem("sign_flip")
    truth = evaluate(mdp, make_policy("loglinear", mdp), np.array([0.3]))
    spsa, fd = (
        find_estimator(name).exact(truth, 3, 1, step=0.4).mean
        for name in ("spsa", "finite_differences")
    )
    np.testing.assert_allclose(spsa, fd, rtol=1e-13)


def variance(truth, name, n=4, **given):
    g, _ = estimates(truth, find_estimator(name), given, Draws(H, n, 2000, 3, 4))
    return g.var(axis=0).sum()


def test_common_numbers_lower_the_variance(six):
    own = variance(six, "finite_differences", common=False)
    assert variance(six, "finite_differences") < 0.7 * own


def test_pairs_and_baselines_lower_the_variance(two):
    plain = variance(two, "evolution_strategies", antithetic=False)
    assert variance(two, "evolution_strategies") < 0.7 * plain
    assert variance(two, "pgpe") < 0.7 * plain


def test_points_lower_the_variance(six):
    assert variance(six, "quasi_monte_carlo", n=64) < 0.7 * variance(six, "reward_to_go", n=64)


def test_steps_of_every_rollout_are_charged(six):
    for name, rollouts in {
        "finite_differences": 2 * 6 * 4,
        "spsa": 2 * 4,
        "evolution_strategies": 4,
        "pgpe": 4,
        "antithetic": 4,
        "quasi_monte_carlo": 4,
    }.items():
        _, steps = estimates(six, find_estimator(name), {}, Draws(H, 4, 3, 0, 0))
        assert (steps == rollouts * H).all(), name


@pytest.mark.parametrize("n", [2, 5])
def test_an_odd_rollout_has_no_mirror_image(two, n):
    g, _ = estimates(two, find_estimator("antithetic"), {}, Draws(H, n, R, 1, 2))
    assert largest_z(g, finite_gradient(two, H)) < 4


def test_points_are_the_first_of_sobol():
    points = sobol(4, 3) / 2**32
    np.testing.assert_array_equal(points[:, 0], [0, 0.5, 0.75, 0.25])
    assert sobol(5, 3).shape == (5, 3)


@pytest.mark.parametrize("name", ["finite_differences", "spsa", "evolution_strategies", "pgpe"])
def test_a_constrained_policy_is_refused(name):
    mdp = make_problem("bandit", n_actions=3)
    policy = make_policy("direct", mdp)
    truth = evaluate(mdp, policy, policy.initial())
    with pytest.raises(NotApplicable, match="constrained"):
        estimates(truth, find_estimator(name), {}, Draws(1, 2, 3, 0, 0))


@pytest.mark.parametrize(
    ("name", "key"), [("finite_differences", "step"), ("spsa", "step"), ("pgpe", "sigma")]
)
def test_a_step_of_zero_cannot_be_simulated(two, name, key):
    with pytest.raises(ParameterError, match="above 0"):
        estimates(two, find_estimator(name), {key: 0.0}, Draws(1, 2, 3, 0, 0))


def test_too_many_parameters_or_dimensions_are_refused():
    mdp = make_problem("garnet", n_states=60, gamma=0.9)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial())
    with pytest.raises(NotApplicable, match="240 parameters"):
        estimates(truth, find_estimator("finite_differences"), {}, Draws(1, 2, 3, 0, 0))
    with pytest.raises(NotApplicable, match="at most 21201"):
        estimates(truth, find_estimator("quasi_monte_carlo"), {}, Draws(20_000, 1, 1, 0, 0))
