"""Estimators that are functions of batches: exact moments by all nodes, biases, critics."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from pgbench.api import sample_gradients
from pgbench.estimators import BatchEstimator, TableEstimator, estimators, find_estimator
from pgbench.exact import evaluate, optimal_regulator
from pgbench.exact.horizon import finite_gradient, truncated_gradient
from pgbench.measure.gradients import estimates
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import FiniteMDP, LinearQuadratic, make_problem
from pgbench.rollout.simulator import Draws
from tests.support.linear_quadratic import SETTINGS, every_path, make_setting, scalar
from tests.support.numbers import close

SINGLE: list[tuple[str, dict[str, Any]]] = [
    ("natural", {}),
    ("natural", {"damping": 0.3}),
    ("n_step", {"n": 1}),
    ("n_step", {"n": 3, "critic_noise": 0.4, "discounted": False}),
    ("advantage_normalised", {"normalised": False, "lam": 0.6}),
    ("pathwise", {}),
    ("deterministic", {}),
    ("deterministic", {"second_order": True, "discounted": False}),
]
"""Estimators whose estimate from one trajectory is a polynomial of the noise."""

SAMPLED = {
    "rloo", "group_mean", "compatible_critic", "sampled_actor_critic", "weak_derivative",
}  # fmt: skip
"""Those that need several trajectories, or draw more than these."""


@dataclass
class Nodes:
    """What an estimator sees of all nodes: each a replicate of one trajectory."""

    truth: Any
    held: Any
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def horizon(self) -> int:
        return self.held.shape[2]

    def batch(self, *_: Any) -> Any:
        return self.held

    def pull_back(self, tables: np.ndarray) -> np.ndarray:
        return self.truth.policy.pull_back(self.truth.theta, tables)


@pytest.mark.every_estimator
def test_every_batch_estimator_is_tried():
    names = {n for n, e in estimators().items()
             if isinstance(e, BatchEstimator) and LinearQuadratic in e.on}  # fmt: skip
    assert names == {name for name, _ in SINGLE} | SAMPLED


WITHOUT_VARIANCE = {("n_step", which) for which in SETTINGS} | {("pathwise", "plane")}
"""Estimators and settings of which no variance is known."""

EVERYWHERE = [(which, name, given) for which in SETTINGS for name, given in SINGLE]


def at_all_nodes(which, name, given):
    """The truth of a setting, its steps, and mean and variance by all nodes."""
    setting, record = make_setting(which), find_estimator(name)
    every = every_path(setting.truth, setting.steps)
    found = record.estimate(Nodes(setting.truth, every.batch), **record.bound(**given))
    return setting.truth, setting.steps, every.moments(found)


@pytest.mark.parametrize(("which", "name", "given"), EVERYWHERE)
def test_means_are_those_of_all_nodes(which, name, given):
    truth, steps, (mean, _) = at_all_nodes(which, name, given)
    exact = find_estimator(name).exact(truth, steps, 1, **given)
    close(exact.mean, mean, rtol=1e-9)
    assert (exact.variance is None) == ((name, which) in WITHOUT_VARIANCE)


@pytest.mark.parametrize(
    ("which", "name", "given"), [c for c in EVERYWHERE if (c[1], c[0]) not in WITHOUT_VARIANCE]
)
def test_variances_are_those_of_all_nodes(which, name, given):
    truth, steps, (_, variance) = at_all_nodes(which, name, given)
    one, several = (find_estimator(name).exact(truth, steps, n, **given) for n in (1, 7))
    np.testing.assert_allclose(one.variance, variance, rtol=0, atol=1e-9 * variance.max())
    close(several.variance, one.variance / 7)


def test_leaving_the_second_order_out_leaves_the_variance_alone():
    truth = make_setting("plane").truth
    record, k = find_estimator("deterministic"), truth.policy.n_means
    assert not record.exact(truth, 5, 1).mean[k:].any()
    full = record.exact(truth, 5, 1, second_order=True).mean
    np.testing.assert_allclose(full, truncated_gradient(truth, 5), rtol=1e-10)


def test_the_deterministic_gradient_is_the_limit_of_little_exploration():
    """As θ2 falls ∇J along the gain tends to the derivative of J of the gain alone."""
    mdp = scalar()
    policy = make_policy("gaussian", mdp)

    def J(gain):
        a = 0.9 + 1.3 * gain
        k = (0.7 + 0.4 * gain**2) / (1 - 0.9 * a**2)
        return -k * (0.8 + 0.25 + 0.9 * 0.6 / 0.1)

    slope = (J(-0.4 + 1e-6) - J(-0.4 - 1e-6)) / 2e-6
    gaps = []
    for variance in (1e-2, 1e-4, 1e-6):
        truth = evaluate(mdp, policy, [-0.4, variance])
        mean = find_estimator("deterministic").exact(truth, 2000, 1).mean
        assert mean[0] == pytest.approx(truth.gradient[0], rel=1e-9)
        gaps.append(abs(mean[0] - slope))
    assert gaps[2] < 1e-5 * abs(slope)
    assert gaps[0] > 50 * gaps[1] > 50 * 50 * gaps[2]


@pytest.mark.parametrize("name", ["pathwise", "deterministic", "advantage_oracle"])
def test_variance_stays_where_nothing_is_divided_by_the_spread(name):
    variances = [along_gain(scalar(), name, x) for x in (1e-1, 1e-4)]
    assert variances[1] < 2 * variances[0]


@pytest.mark.parametrize("name", ["reinforce", "reward_to_go", "baseline_value"])
def test_variance_grows_as_one_over_the_spread(name):
    variances = [along_gain(scalar(), name, x) for x in (1e-4, 1e-5)]
    assert variances[1] / variances[0] == pytest.approx(10, rel=0.01)


def along_gain(mdp, name, variance):
    """Exact variance of ∂/∂θ1."""
    from pgbench.exact.table_moments import table_moments

    truth = evaluate(mdp, make_policy("gaussian", mdp), [-0.4, variance])
    record = find_estimator(name)
    if isinstance(record, TableEstimator):
        return table_moments(truth, record.make(truth, 30), 30).variance[0]
    return record.exact(truth, 30, 1).variance[0]


SEVERAL = [
    ("rloo", {}, 4),
    ("group_mean", {}, 3),
    ("weak_derivative", {}, 1),
    ("weak_derivative", {"discounted": False}, 2),
    ("importance_sampling", {"exploration": 0.4}, 2),
    ("natural", {}, 2),
    ("pathwise", {}, 1),
]


@pytest.mark.parametrize(("name", "given", "n"), SEVERAL)
@pytest.mark.parametrize("which", ["affine", "plane"])
def test_simulation_agrees_in_standard_errors(which, name, given, n):
    """Means within four standard errors, and variances where they are known."""
    truth, R, H = make_setting(which).truth, 6000, 4
    record = find_estimator(name)
    if isinstance(record, TableEstimator):
        from pgbench.exact.table_moments import table_moments

        exact = table_moments(truth, record.make(truth, H, **given), H)
        mean, variance = exact.mean, exact.variance / n
    else:
        mean, variance = record.exact(truth, H, n, **given)
        if mean is None:
            mean = truncated_gradient_undiscounted(truth, H)
    found, steps = estimates(truth, record, given, Draws(H, n, R, 3, 4))
    assert (steps == n * H).all()
    error = found.std(axis=0) / np.sqrt(R)
    assert np.abs((found.mean(axis=0) - mean) / error).max() < 4
    if variance is not None:
        fourth = ((found - found.mean(axis=0)) ** 4).mean(axis=0)
        spread = np.sqrt((fourth - found.var(axis=0) ** 2) / R)
        assert np.abs((found.var(axis=0) - variance) / spread).max() < 5


def truncated_gradient_undiscounted(truth, H):
    """Σ_t E[A ψ_t] without γ^t."""
    from pgbench.estimators import make_tables
    from pgbench.exact.expectation import expectation

    return expectation(truth, make_tables(truth, "advantage_oracle", H, discounted=False), H)


def test_rloo_without_leaving_out_fails_the_same_check():
    truth, R, H = make_setting("affine").truth, 6000, 4
    exact = find_estimator("rloo").exact(truth, H, 3)
    found, _ = estimates(truth, find_estimator("group_mean"), {}, Draws(H, 3, R, 3, 4))
    error = found.std(axis=0) / np.sqrt(R)
    assert np.abs((found.mean(axis=0) - exact.mean) / error).max() > 4


def test_a_quadratic_critic_learns_q():
    """LSTD-Q over all monomials tends to Q itself."""
    from pgbench.estimators.parts.learned_critic import quadratic_lstd
    from pgbench.rollout.simulator import Simulator

    mdp = make_problem("lqg", A=0.8, gamma=0.8)
    truth = evaluate(mdp, make_policy("gaussian", mdp), [-0.3, 0.6])
    batch = Simulator(truth, Draws(200, 2000, 1, 1, 1), 0, 1).batch()
    forms = quadratic_lstd(batch)[0]
    size = np.abs(truth.q.matrix).max()
    np.testing.assert_allclose(forms, truth.q.matrix, atol=0.01 * size)


def test_an_endless_batch_makes_the_compatible_critic_unbiased():
    truth = make_setting("affine").truth
    found, steps = estimates(
        truth, find_estimator("compatible_critic"), {}, Draws(6, 4000, 16, 2, 2)
    )
    assert (steps == 2 * 4000 * 6).all()
    error = found.std(axis=0) / 4
    assert np.abs((found.mean(axis=0) - finite_gradient(truth, 6)) / error).max() < 4


def test_sampled_fisher_matrices_have_the_exact_one_as_mean():
    from pgbench.estimators.parts.fisher_blocks import sampled_fisher
    from pgbench.rollout.simulator import Simulator

    truth = make_setting("plane").truth
    batch = Simulator(truth, Draws(120, 50, 64, 1, 1), 0, 64).batch()
    F = sampled_fisher(truth, batch)[:, 0]
    error = F.std(axis=0) / 8 + 1e-12
    assert np.abs((F.mean(axis=0) - truth.fisher()) / error).max() < 4.5


CLASSES = {FiniteMDP: ("bandit", "softmax"), LinearQuadratic: ("lqg", "gaussian")}
"""A problem of each class and a policy for it."""

ONE_CLASS = {
    name: record.on for name, record in estimators().items() if not {*record.on} >= {*CLASSES}
}
"""Classes of problems of the estimators that are not for all."""


@pytest.mark.parametrize("name", ONE_CLASS)
def test_what_an_estimator_is_not_for_is_said(name):
    record = find_estimator(name)
    ((problem, policy),) = (made for on, made in CLASSES.items() if on not in record.on)
    mdp = make_problem(problem)
    made = make_policy(policy, mdp)
    given = {k: 0.5 for k, p in record.parameters.items() if p.required}
    kinds = "finite" if FiniteMDP in record.on else "linear-quadratic"
    with pytest.raises(NotApplicable, match=f"{name} is for {kinds} problems"):
        sample_gradients(
            mdp, made, made.initial(init="zeros"), name, horizon=2, replicates=2, **given
        )


def test_restrictions_within_the_kind_are_said():
    mdp = make_problem("lqg_random", n=2, m=2)
    policy = make_policy("gaussian", mdp, covariance="full")
    theta = policy.initial(init="zeros")
    with pytest.raises(NotApplicable, match="diagonal"):
        sample_gradients(mdp, policy, theta, "weak_derivative", horizon=2, replicates=2)
    with pytest.raises(NotApplicable, match="method: lstd"):
        sample_gradients(mdp, policy, theta, "sampled_actor_critic", horizon=2, replicates=2)
    with pytest.raises(NotApplicable, match="exploration is 1"):
        sample_gradients(
            mdp, policy, theta, "importance_sampling", exploration=1.0, horizon=2, replicates=2
        )


def test_ascent_on_the_optimum_goes_nowhere():
    mdp = make_problem("lqg")
    best = optimal_regulator(mdp)
    truth = evaluate(mdp, make_policy("gaussian", mdp), [best.gain[0, 0], 0.5])
    mean = find_estimator("deterministic").exact(truth, 500, 1).mean
    assert abs(mean[0]) < 1e-8
