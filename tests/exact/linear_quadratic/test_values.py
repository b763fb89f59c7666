"""Values, gradients, expectations and variances against derivatives, closed forms, all nodes."""

import numpy as np
import pytest

from pgbench.ascent.crowd import gather
from pgbench.estimators import TableEstimator, estimators, make_tables
from pgbench.exact import NoFiniteVariance, TooLarge, evaluate, moments
from pgbench.exact.expectation import expectation
from pgbench.exact.finite.returns import mixed_moments
from pgbench.exact.horizon import finite_gradient, shortest_horizon, truncated_gradient
from pgbench.exact.linear_quadratic.scalar import closed_form
from pgbench.exact.linear_quadratic.values import following, mean_over_actions
from pgbench.exact.returns import return_moments
from pgbench.exact.table_moments import directional_variance, table_moments
from pgbench.policies import make_policy
from pgbench.problems import LinearQuadratic, make_problem
from pgbench.problems.problem import Diverges
from pgbench.process.tables import Tables
from tests.support.linear_quadratic import by_definition, every_path, make_setting, scalar
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
    close(evaluate(mdp, policy, theta, horizon=1000).visitation, truth.visitation, rtol=1e-9)
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
