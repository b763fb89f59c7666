"""Gaussian policies: scores, pull-backs, Fisher information, starts, and what is refused."""

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.policies import make_policy
from pgbench.policies.gaussian import Unstable
from pgbench.problems import make_problem
from tests.support.linear_quadratic import PARAMETERS, VECTORS, unlike_zero

STEP = 1e-6


@pytest.fixture(params=VECTORS)
def problem(request):
    """Problems of several sizes."""
    return VECTORS[request.param]()


def named(given):
    """A parameterisation in one word."""
    return "-".join(given.values())


@pytest.fixture(params=PARAMETERS, ids=named)
def policy(request, problem):
    """Every parameterisation."""
    return make_policy("gaussian", problem, **request.param)


@pytest.fixture
def theta(policy):
    """No special values."""
    return unlike_zero(policy)


def log_density(policy, theta, lifted, u):
    """log π(u|x), and the covariance."""
    law = policy.law(theta)
    e = u - lifted @ law.gain.T
    _, size = np.linalg.slogdet(2 * np.pi * law.covariance)
    return -0.5 * (np.einsum("ni,ij,nj->n", e, np.linalg.inv(law.covariance), e) + size)


@pytest.fixture
def seen(policy, theta):
    """x̃, u and e at some states."""
    rng = np.random.default_rng(1)
    n, m = policy.problem.n, policy.problem.m
    lifted = np.concatenate([rng.standard_normal((6, n)), np.ones((6, 1))], axis=1)
    law = policy.law(theta)
    e = rng.standard_normal((6, m)) @ law.factor.T
    return lifted, lifted @ law.gain.T + e, e


def test_scores_are_derivatives_of_the_log_density(policy, theta, seen):
    lifted, u, e = seen
    scores = policy.scores(theta, lifted, e)
    for k, unit in enumerate(np.eye(theta.size) * STEP):
        ends = [log_density(policy, theta + s * unit, lifted, u) for s in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * STEP)
        np.testing.assert_allclose(scores[:, k], slope, rtol=1e-5, atol=1e-5)


def test_pull_back_weighs_scores(policy, theta, seen):
    lifted, _, e = seen
    rng = np.random.default_rng(2)
    weights = rng.standard_normal((3, 6))
    left = np.concatenate([e, np.ones((6, 1))], axis=1)
    right = np.concatenate([lifted, e], axis=1)
    tables = np.einsum("kn,ni,nj->kij", weights, left, right)
    expected = weights @ policy.scores(theta, lifted, e)
    size = np.abs(expected).max()
    np.testing.assert_allclose(policy.pull_back(theta, tables), expected, atol=1e-11 * size)
    forms = policy.forms(theta)
    np.testing.assert_allclose(np.einsum("dij,kij->kd", forms, tables), expected, atol=1e-11 * size)


def test_pathwise_is_the_derivative_of_actions(policy, theta, seen):
    """Of Σ g·u with u = K̃x̃ + Lξ and ξ held fixed."""
    lifted, _, e = seen
    g = np.random.default_rng(3).standard_normal(e.shape)
    xi = np.linalg.solve(policy.law(theta).factor, e.T).T

    def actions(at):
        law = policy.law(at)
        return np.sum(g * (lifted @ law.gain.T + xi @ law.factor.T))

    table = np.einsum("ni,nj->ij", g, np.concatenate([lifted, e], axis=1))
    found = policy.pathwise(theta, table)
    for k, unit in enumerate(np.eye(theta.size) * STEP):
        slope = (actions(theta + unit) - actions(theta - unit)) / (2 * STEP)
        assert found[k] == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_fisher_is_the_second_moment_of_scores(policy, theta):
    """Averaged over e by quadrature, which is exact, at the exact second moment of x̃."""
    from pgbench.exact.linear_quadratic.polynomials import nodes

    truth = evaluate(policy.problem, policy, theta)
    F = truth.fisher()
    np.testing.assert_allclose(F, F.T, atol=1e-12 * np.abs(F).max())
    xi, weights = nodes(policy.problem.m)
    e = xi @ truth.pi.factor.T
    # States of the right second moment: the columns of a factor of it.
    second = np.linalg.cholesky(truth.state_weights)
    total = np.zeros_like(F)
    k = policy.n_means
    for column in second.T:
        psi = policy.scores(theta, np.tile(column, (len(e), 1)), e)
        total[:k, :k] += (psi[:, :k] * weights[:, None]).T @ psi[:, :k]
    own = policy.scores(theta, np.tile(second[:, 0], (len(e), 1)), e)[:, k:]
    total[k:, k:] = (own * weights[:, None]).T @ own
    np.testing.assert_allclose(F, total, atol=1e-10 * np.abs(F).max())
    np.testing.assert_allclose(
        F @ truth.natural_gradient(), truth.gradient, atol=1e-8 * np.abs(truth.gradient).max()
    )


def test_unstable_gains_are_refused_with_their_radius():
    policy = make_policy("gaussian", make_problem("lqg"))
    with pytest.raises(
        Unstable, match=r"A \+ BK has the spectral radius 1.5, must be below 1/√γ = 1.02598"
    ):
        evaluate(policy.problem, policy, [0.5, 1.0])
    with pytest.raises(Unstable, match=r"spectral radius 2\.2"):
        policy.given([1.2, 1.0])
    finite = evaluate(policy.problem, policy, [0.5, 1.0], horizon=5)
    assert np.isfinite(finite.objective)


@pytest.mark.parametrize("variance", [0.0, -1.0, np.inf])
def test_variances_must_be_positive(variance):
    policy = make_policy("gaussian", make_problem("lqg"))
    with pytest.raises(ValueError, match=r"theta\[1\] is"):
        evaluate(policy.problem, policy, [-0.5, variance])


def test_full_covariances_must_be_definite():
    mdp = make_problem("lqg_random", n=2, m=2)
    policy = make_policy("gaussian", mdp, covariance="full")
    theta = policy.initial(init="zeros")
    theta[-3:] = 1.0, 2.0, 1.0
    with pytest.raises(ValueError, match=r"theta\[4:\] is 1, 2, 1: the variance must be positive"):
        evaluate(mdp, policy, theta)


def test_starts_are_stable_and_as_asked(policy):
    np.testing.assert_array_equal(policy.initial(seed=1), policy.initial(seed=1))
    for seed in range(5):
        theta = policy.initial(seed=seed, scale=10.0)
        assert policy.stable(theta)
        evaluate(policy.problem, policy, theta)
    np.testing.assert_allclose(policy.law(policy.initial(init="zeros")).covariance,
                               np.eye(policy.problem.m))  # fmt: skip


def test_an_unstable_zero_is_replaced_by_the_optimum():
    mdp = make_problem("lqg", A=1.5)
    theta = make_policy("gaussian", mdp, variance=0.3).initial(init="zeros")
    assert abs(1.5 + theta[0]) < 1
    assert theta[1] == 0.3
    with pytest.raises(Unstable):
        make_policy("gaussian", mdp, gain=0.2).initial(init="zeros")


def of_scale(scale):
    """Parameterisations with that scale."""
    chosen = [given for given in PARAMETERS if given["scale"] == scale]
    return pytest.mark.parametrize(
        "policy", chosen, indirect=True, ids=lambda p: "-".join(p.values())
    )


@of_scale("log_std")
def test_log_standard_deviations_need_no_floor(policy):
    thetas = np.tile(policy.initial(init="zeros"), (3, 1))
    np.testing.assert_array_equal(policy.retract(thetas - 5), thetas - 5)


@of_scale("variance")
def test_variances_are_kept_above_the_floor(policy):
    thetas = np.tile(policy.initial(init="zeros"), (3, 1))
    rows, columns = policy.rows
    thetas[1, policy.n_means :] = np.where(rows == columns, -2.0, 0.5)
    kept = policy.retract(thetas)
    np.testing.assert_array_equal(kept[[0, 2]], thetas[[0, 2]])
    np.testing.assert_array_equal(kept[1, : policy.n_means], thetas[1, : policy.n_means])
    least = np.linalg.eigvalsh(policy.law(kept[1]).covariance).min()
    assert least == pytest.approx(policy.floor, rel=1e-6)
