"""On the boundary of the simplex: what estimators cannot see, and that they say so.

A direct policy with probabilities of zero. No rollout takes such an action, but its derivative is
there: J rises or falls with it from one side.
"""

from functools import cache

import numpy as np
import pytest

from pgbench.estimators import BatchEstimator, estimators
from pgbench.exact import evaluate
from pgbench.exact.enumeration import enumerated_batches, enumerated_moments
from pgbench.exact.expectation import expectation
from pgbench.exact.horizon import finite_objective, truncated_gradient
from pgbench.exact.moments import table_moments
from pgbench.policies import NotApplicable, make_policy

PROBLEMS = pytest.mark.parametrize("problem", ["dense", "ending", "coins"])
STEPS = 3


@cache
def at(problem, tiny_truth):
    """Action 0 is never taken in state 0, the others are mixed."""
    inside = tiny_truth(problem, "direct")
    theta = inside.policy.table(inside.theta).copy()
    theta[0] = [0.0, 1.0]
    return evaluate(inside.mdp, inside.policy, theta.ravel())


@pytest.fixture
def truth(problem, tiny_truth):
    """Exact quantities on the boundary."""
    return at(problem, tiny_truth)


def near(truth, small):
    """θ moved a little from the boundary."""
    theta = truth.policy.table(truth.theta).copy()
    theta[0] = [small, 1 - small]
    return theta.ravel()


def close(actual, expected, tolerance=1e-12):
    assert np.abs(actual - expected).max() < tolerance * np.abs(expected).max()


@PROBLEMS
@pytest.mark.parametrize("horizon", [None, 1, 4])
def test_the_gradient_has_the_one_sided_derivatives(truth, horizon):
    """J along the edge that leaves the boundary: a rational function, here a quotient of two."""
    mdp, policy, small = truth.mdp, truth.policy, 1e-6
    gradient = evaluate(mdp, policy, truth.theta, horizon).gradient
    J = [evaluate(mdp, policy, near(truth, k * small), horizon).objective for k in (0, 1, 2)]
    slope = (-3 * J[0] + 4 * J[1] - J[2]) / (2 * small)
    assert gradient[0] - gradient[1] == pytest.approx(slope, rel=1e-7)
    assert abs(slope) > 1e-2


@PROBLEMS
def test_the_gradient_is_the_limit_from_inside(truth):
    inside = evaluate(truth.mdp, truth.policy, near(truth, 1e-12))
    close(truth.gradient, inside.gradient, 1e-10)
    close(finite_objective(truth, 4)[1], finite_objective(inside, 4)[1], 1e-10)
    close(truncated_gradient(truth, 4), truncated_gradient(inside, 4), 1e-10)


def test_a_bandit_at_its_vertex_says_where_to_go():
    """Two arms that pay 0 and 1, θ = (1, 0): ∇J along the simplex is (-1/2, 1/2).

    (Agarwal, Kakade, Lee & Mahajan 2021, Theorem 4.1: projected gradient ascent reaches J = 1.)
    """
    mdp, policy, theta = vertex(0.0, 1.0)
    assert evaluate(mdp, policy, theta).gradient[:2].tolist() == [-0.5, 0.5]
    assert evaluate(mdp, policy, theta, 1).gradient[:2].tolist() == [-0.5, 0.5]
    from pgbench import ascend

    path = ascend(mdp, policy, theta, algorithm="gradient", estimator="exact", step_size=0.5,
                  steps=100)  # fmt: skip
    assert path.objective[0, [0, -1]].tolist() == [0.0, 1.0]
    assert path.gradient_norm[0, 0] == pytest.approx(np.sqrt(0.5), abs=1e-15)


def vertex(first, second):
    """A sure bandit of two arms, the first of which is taken always."""
    from pgbench.problems import FiniteMDP

    P = np.zeros((2, 2, 2))
    P[:, :, 1] = 1
    mdp = FiniteMDP.from_arrays(P, [[first, second], [0, 0]], [1.0, 0], 1.0, terminal=[False, True])
    return mdp, make_policy("direct", mdp), np.array([1.0, 0.0, 0.5, 0.5])


@PROBLEMS
def test_table_estimators_have_the_moments_of_what_they_see(truth, variant):
    if variant.simulates_its_horizon:
        pytest.skip("its trajectories are listed at other horizons")
    tables = variant.tables(truth, STEPS)
    listed = enumerated_moments(truth, tables, STEPS)
    exact = table_moments(truth, tables, STEPS)
    close(exact.mean, listed.mean)
    scale = np.abs(listed.variance + listed.mean**2).max()
    assert np.abs(exact.variance - listed.variance).max() < 1e-12 * scale
    close(expectation(truth, tables, STEPS), listed.mean)


@PROBLEMS
def test_batch_estimators_have_the_moments_of_what_they_see(truth, batch_variant):
    record = estimators()[batch_variant.name]
    assert isinstance(record, BatchEstimator)
    n = max(record.fewest, 2)
    try:
        exact = record.exact(truth, 2, n, **batch_variant.given)
    except NotApplicable:
        return
    if exact.mean is None and exact.variance is None:
        return
    listed = enumerated_batches(truth, record, 2, n, **batch_variant.given)
    if exact.mean is not None:
        close(exact.mean, listed.mean, 1e-11)
    if exact.variance is not None:
        scale = np.abs(listed.variance + listed.mean**2).max()
        assert np.abs(exact.variance - listed.variance).max() < 1e-11 * scale
