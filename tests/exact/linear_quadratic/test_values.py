"""Values, gradients, expectations and variances against derivatives, closed forms, all nodes."""

import numpy as np
import pytest

from pgbench.ascent.crowd import gather
from pgbench.estimators import make_tables
from pgbench.exact import evaluate
from pgbench.exact.expectation import expectation
from pgbench.exact.horizon import finite_gradient, shortest_horizon, truncated_gradient
from pgbench.exact.linear_quadratic.scalar import closed_form
from pgbench.exact.linear_quadratic.values import following, mean_over_actions
from pgbench.policies import make_policy
from pgbench.problems import LinearQuadratic
from tests.support.linear_quadratic import scalar
from tests.support.numbers import close

STEP = 1e-5


def slope(function, theta):
    """Central differences."""
    units = np.eye(theta.size) * STEP
    return np.array([(function(theta + u) - function(theta - u)) / (2 * STEP) for u in units])


def test_gradient_is_the_derivative_of_the_objective(policy, theta):
    mdp = policy.problem
    expected = slope(lambda x: evaluate(mdp, policy, x).objective, theta)
    close(evaluate(mdp, policy, theta).gradient, expected, rtol=2e-6)


@pytest.mark.parametrize("horizon", [1, 2, 7])
def test_finite_gradient_is_the_derivative_of_the_finite_objective(policy, theta, horizon):
    mdp = policy.problem
    expected = slope(lambda x: evaluate(mdp, policy, x, horizon=horizon).objective, theta)
    close(evaluate(mdp, policy, theta, horizon=horizon).gradient, expected, rtol=1e-6)
    close(finite_gradient(evaluate(mdp, policy, theta), horizon), expected, rtol=1e-6)


def test_values_satisfy_the_bellman_equations(policy, theta):
    truth = evaluate(policy.problem, policy, theta)
    mdp = policy.problem
    q = mdp.reward + mdp.gamma * following(mdp, truth.v)
    close(truth.q.matrix, q.matrix, rtol=1e-12)
    close(mean_over_actions(truth.q, truth.pi).matrix, truth.v.matrix, rtol=1e-11)
    nothing = mean_over_actions(truth.advantage, truth.pi).matrix
    assert np.abs(nothing).max() < 1e-10 * np.abs(truth.v.matrix).max()
    assert 0 <= truth.error_bound < 1e-9 * np.abs(truth.v.matrix).max()


def test_visits_are_the_discounted_second_moments(policy, theta):
    truth = evaluate(policy.problem, policy, theta)
    mdp = policy.problem
    close(evaluate(mdp, policy, theta, horizon=800).visitation, truth.visitation, rtol=1e-9)
    close((truth.visitation * (mean_over_actions(mdp.reward, truth.pi).state)).sum(),
          truth.objective, rtol=1e-9)  # fmt: skip


@pytest.mark.parametrize("given", [{}, {"gamma": 0.99, "A": 0.3}, {"noise": 0.0}, {"B": -0.7}])
def test_the_scalar_closed_form_is_the_vector_case(given):
    mdp = scalar(**given)
    policy = make_policy("gaussian", mdp)
    for theta in ([-0.4, 0.5], [0.1, 2.0], [-0.2, 1e-3]):
        if not policy.stable(np.array(theta)):
            continue
        truth = evaluate(mdp, policy, theta)
        J, gradient, natural = closed_form(mdp, np.array(theta[0]), np.array(theta[1]))
        assert truth.objective == pytest.approx(float(J), rel=1e-12)
        np.testing.assert_allclose(truth.gradient, gradient, rtol=1e-12)
        np.testing.assert_allclose(truth.natural_gradient(), natural, rtol=1e-12)


def test_the_lecture_closed_form():
    """J, V, E[x²] and F as the lecture writes them."""
    mdp = scalar(start_mean=[0.0])
    A, B, Q, R, noise, g, start = 0.9, 1.3, 0.7, 0.4, 0.6, 0.9, 0.8
    theta = np.array([-0.4, 0.5])
    truth = evaluate(mdp, make_policy("gaussian", mdp), theta)
    a, s = A + B * theta[0], noise + B**2 * theta[1]
    k = (Q + R * theta[0] ** 2) / (1 - g * a**2)
    c = (R * theta[1] + g * k * s) / (1 - g)
    assert truth.objective == pytest.approx(-(k * start + c), rel=1e-12)
    np.testing.assert_allclose(-truth.v.state, np.diag([k, c]), rtol=1e-12)
    second = ((1 - g) * start + g * s) / (1 - g * a**2)
    np.testing.assert_allclose(
        truth.fisher(), np.diag([second / theta[1], 1 / (2 * theta[1] ** 2)]), rtol=1e-12
    )


def test_two_scalars_side_by_side_are_two_problems():
    one, other = scalar(), scalar(A=0.5, Q=1.1, start_mean=[-1.0])
    arrays = {
        name: np.diag([getattr(p, name)[0, 0] for p in (one, other)])
        for name in ("A", "B", "Q", "R", "noise", "start_covariance")
    }
    both = LinearQuadratic(**arrays, start_mean=[0.5, -1.0], gamma=0.9)
    thetas = np.array([[-0.4, 0.5], [0.2, 1.5]])
    apart = [
        evaluate(p, make_policy("gaussian", p), theta)
        for p, theta in zip((one, other), thetas, strict=True)
    ]
    theta = np.array([-0.4, 0.0, 0.0, 0.2, 0.5, 1.5])
    truth = evaluate(both, make_policy("gaussian", both), theta)
    assert truth.objective == pytest.approx(sum(t.objective for t in apart), rel=1e-12)
    close(truth.gradient[[0, 4]], apart[0].gradient, rtol=1e-12)
    close(truth.gradient[[3, 5]], apart[1].gradient, rtol=1e-12)


def test_a_crowd_is_each_of_its_members(policy, theta):
    mdp = policy.problem
    thetas = np.stack([theta, policy.initial(seed=9, scale=0.2), theta])
    thetas[2, : policy.n_means] = 50.0
    crowd = gather(mdp, policy, thetas)
    assert crowd.good.tolist() == [True, True, False]
    assert np.isnan(crowd.gradient[2]).all()
    g = np.random.default_rng(5).standard_normal(thetas.shape)
    for r in range(2):
        own = evaluate(mdp, policy, thetas[r])
        close(crowd.objective[r], own.objective, rtol=1e-10)
        close(crowd.gradient[r], own.gradient, rtol=1e-8)
        close(crowd.natural_gradient[r], own.natural_gradient(), rtol=1e-7)
        close(crowd.natural(g)[r], own.natural(g[r]), rtol=1e-8)
        close(crowd.truth(r).q.matrix, own.q.matrix, rtol=1e-10)
        close(crowd.squared_lengths(g)[r], g[r] @ own.fisher() @ g[r], rtol=1e-8)
        entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * own.pi.covariance)[1]
        assert crowd.differential_entropy[r] == pytest.approx(entropy)


def test_truncated_gradients_leave_the_tail_out(policy, theta):
    truth = evaluate(policy.problem, policy, theta)
    forms = make_tables(truth, "advantage_oracle")
    close(truncated_gradient(truth, 6), expectation(truth, forms, 6), rtol=1e-10)
    close(truncated_gradient(truth, 3000), truth.gradient, rtol=1e-8)


def test_the_shortest_horizon_meets_its_definition(policy, theta):
    truth = evaluate(policy.problem, policy, theta)
    H = shortest_horizon(truth, cap=3000)
    size = np.linalg.norm(truth.gradient)
    gaps = [np.linalg.norm(finite_gradient(truth, h) - truth.gradient) / size for h in (H - 1, H)]
    assert gaps[1] <= 0.01 < gaps[0]


def test_divergence_is_that_of_the_densities(policy, theta):
    """Against E log π/π' by quadrature over e, at states with the right second moment."""
    from pgbench.exact.linear_quadratic.polynomials import nodes

    truth = evaluate(policy.problem, policy, theta)
    other = theta + 0.05 * np.random.default_rng(6).standard_normal(theta.size)
    mine, theirs = truth.pi, policy.law(other)
    xi, weights = nodes(policy.problem.m)
    e = xi @ mine.factor.T
    second = np.linalg.cholesky(truth.state_weights)
    total = 0.0
    for column in second.T:
        shift = column @ (mine.gain - theirs.gain).T
        squares = [np.einsum("ni,ij,nj->n", x, law.precision, x)
                   for x, law in ((e, mine), (e + shift, theirs), (e, theirs))]  # fmt: skip
        # Terms of the covariance alone are counted once, not once per column.
        total += 0.5 * weights @ (squares[1] - squares[2])
    logs = [np.linalg.slogdet(law.covariance)[1] for law in (mine, theirs)]
    squares = [np.einsum("ni,ij,nj->n", e, law.precision, e) for law in (mine, theirs)]
    total += 0.5 * (logs[1] - logs[0] + weights @ (squares[1] - squares[0]))
    assert truth.kl(other) == pytest.approx(total, rel=1e-8)
    assert truth.kl(theta) == pytest.approx(0, abs=1e-10)


def test_small_divergences_are_half_the_quadratic_form(policy, theta):
    truth = evaluate(policy.problem, policy, theta)
    direction = np.random.default_rng(7).standard_normal(theta.size)
    gaps = []
    for size in (1e-2, 1e-3):
        step = size * direction / np.linalg.norm(direction)
        gaps.append(abs(truth.kl(theta + step) / truth.kl_expansion(step) - 1))
    assert gaps[1] < 0.02
    assert gaps[1] < gaps[0]
