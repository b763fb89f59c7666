"""Gradients and means of estimators: other expressions of them, other theory, more nodes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_ndtr

from pgbench.exact.horizon import truncated_gradient
from pgbench.exact.truth import evaluate
from pgbench.policies import make_policy
from pgbench.problems import LinearQuadratic
from pgbench.trials.continuous.cases import cases
from pgbench.trials.continuous.mistakes import jacobian_once, score_of_applied
from pgbench.trials.continuous.policy import LINEAR
from pgbench.trials.continuous.truth import ADVANTAGE, GAE, TO_GO, TOTAL, ContinuousTruth

X, U = np.array([-0.9, -0.2, 0.3, 0.8]), np.array([1.1, -0.4, 0.05, -0.9])
CASES = {case.name: case.truth for case in cases()}


def linear_quadratic(system):
    return LinearQuadratic(
        A=system.a, B=system.b, Q=system.state_cost, R=system.action_cost,
        noise=system.noise**2, start_mean=system.start_mean,
        start_covariance=system.start_scale**2, gamma=system.gamma,
    )  # fmt: skip


def known(truth, horizon):
    """The truth of linear-quadratic theory, which knows no target and no bonus."""
    mdp = linear_quadratic(truth.system)
    policy = make_policy("gaussian", mdp, mean="affine", scale="log_std")
    return evaluate(mdp, policy, truth.theta, horizon)


@pytest.fixture(scope="module")
def quadratic():
    """The regulator that is to hold the state at zero."""
    truth = CASES["regulator"]
    return replace(truth, system=replace(truth.system, target=0.0, bonus=0.0))


@pytest.mark.parametrize("horizon", [1, 4])
def test_the_linear_quadratic_case(quadratic, horizon):
    found, exact = replace(quadratic, horizon=horizon), known(quadratic, horizon)
    rows = np.stack([X, np.ones(4), U], axis=-1)
    np.testing.assert_allclose(found.values.v(X, horizon), exact.v(rows), rtol=1e-11)
    np.testing.assert_allclose(found.values.q(X, U, horizon), exact.q(rows), rtol=1e-11)
    np.testing.assert_allclose(found.objective, exact.objective, rtol=1e-12)
    np.testing.assert_allclose(found.gradient, exact.gradient, rtol=1e-11)
    np.testing.assert_allclose(found.fisher(), exact.fisher(), rtol=1e-11, atol=1e-13)


def test_the_linear_quadratic_case_without_end(quadratic):
    exact, rows = known(quadratic, None), np.stack([X, np.ones(4), U], axis=-1)
    np.testing.assert_allclose(quadratic.values.v(X), exact.v(rows), rtol=1e-11)
    np.testing.assert_allclose(quadratic.values.q(X, U), exact.q(rows), rtol=1e-11)
    np.testing.assert_allclose(quadratic.endless_gradient, exact.gradient, rtol=1e-11)
    np.testing.assert_allclose(quadratic.without_tail, truncated_gradient(exact, 5), rtol=1e-11)


def by_target(truth, theta):
    """What target and bonus add to J: Σ γ^t (bonus + q g (2 E x_t - g))."""
    s, total, x = truth.system, 0.0, truth.system.start_mean
    for t in range(truth.horizon):
        total += s.gamma**t * (s.bonus + s.state_cost * s.target * (2 * x - s.target))
        x = s.a * x + s.b * (theta[0] * x + theta[1])
    return total


def test_target_and_bonus(quadratic):
    truth, exact = CASES["regulator"], known(quadratic, quadratic.horizon)
    np.testing.assert_allclose(
        truth.objective, exact.objective + by_target(truth, truth.theta), rtol=1e-12
    )
    added = [by_target(truth, truth.theta + 1e-30j * unit).imag * 1e30 for unit in np.eye(3)[:2]]
    np.testing.assert_allclose(truth.gradient, exact.gradient + np.append(added, 0.0), rtol=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_the_slope_of_the_objective(name):
    """Central differences of order six along a direction."""
    truth, direction, h = CASES[name], np.array([0.5, -0.7, 0.9]), 0.01
    weights = {1: 45 / 60, 2: -9 / 60, 3: 1 / 60}
    slope = sum(
        weight * sign * replace(truth, theta=truth.theta + sign * k * h * direction).objective / h
        for k, weight in weights.items()
        for sign in (1, -1)
    )
    np.testing.assert_allclose(truth.gradient @ direction, slope, rtol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_gradient_along_the_action(name):
    """Σ γ^t E[∂Q/∂u · ∂u/∂θ] with u = kx + c + σξ, Q being continuous in u."""
    truth, grid, found = CASES[name], CASES[name].grid, np.zeros(3)
    x = np.broadcast_to(grid.x[:, None], grid.u.shape)
    moves = np.stack([x, np.ones_like(x), grid.u - LINEAR.mean(truth.theta, x)], axis=-1)
    for t, visits in enumerate(truth.visits):
        slope = truth.values.q_slope(x, grid.u, truth.horizon - t)
        weights = truth.system.gamma**t * visits[:, None] * grid.chances * slope
        found += np.einsum("nm,nmk->k", weights, moves)
    np.testing.assert_allclose(found, truth.gradient, rtol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_with_right_scores_neither_baseline_nor_past_rewards_matter(name):
    truth = CASES[name]
    for weight in (ADVANTAGE, TOTAL):
        np.testing.assert_allclose(truth.mean(weight=weight), truth.gradient, rtol=1e-10)


def score_of_atoms(truth):
    """Score of the law of clip(u): E[ψ | clip(u)] (Fujita & Maeda 2018)."""
    L, theta, sigma = truth.system.bound, truth.theta, np.exp(truth.theta[2])

    def chi(x, u):
        x = np.broadcast_to(x, u.shape)
        # The upper atom has the probability Φ(z), the lower one Φ(-z).
        side = np.sign(u)
        z = (side * LINEAR.mean(theta, x) - L) / sigma
        hazard = np.exp(-(z**2) / 2 - log_ndtr(z)) / np.sqrt(2 * np.pi)
        atom = side * hazard / sigma, -z * hazard
        inside = LINEAR.shares(theta, x, u)
        return tuple(np.where(np.abs(u) > L, *both) for both in zip(atom, inside, strict=True))

    return chi


@pytest.mark.parametrize("name", ["one step", "clipped", "limit"])
def test_the_law_of_clipped_actions_has_scores_that_are_right_too(name):
    truth = CASES[name]
    for weight in (ADVANTAGE, TOTAL):
        found = truth.mean(score_of_atoms(truth), weight=weight)
        np.testing.assert_allclose(found, truth.gradient, rtol=1e-10)


@pytest.mark.parametrize("offset", [0.3, 5.0, -5.0])
@pytest.mark.parametrize("name", ["regulator", "clipped"])
def test_nodes_lose_no_visits(name, offset):
    """However far actions push."""
    theta = np.array([-0.4, offset, np.log(0.5)])
    visits = replace(CASES[name], theta=theta, horizon=20).visits
    np.testing.assert_allclose(visits.sum(axis=1), 1.0, atol=1e-13)


@pytest.mark.parametrize("name", ["clipped", "squashed", "limit"])
def test_long_horizons_are_endless(name):
    truth = CASES[name]
    long = replace(truth, system=replace(truth.system, gamma=0.3), horizon=24)
    np.testing.assert_allclose(long.gradient, long.endless_gradient, rtol=1e-9)
    np.testing.assert_allclose(long.without_tail, long.endless_gradient, rtol=1e-9)


def test_one_step_is_all_there_is_of_a_bandit():
    truth = CASES["one step"]
    for same in (truth.endless_gradient, truth.without_tail, truth.undiscounted):
        np.testing.assert_allclose(same, truth.gradient, rtol=1e-12)


@pytest.mark.parametrize("name", ["clipped", "limit"])
def test_fisher_information_is_that_of_the_scores(name):
    truth, grid, expected = CASES[name], CASES[name].grid, np.zeros((3, 3))
    psi = LINEAR.score(truth.theta, grid.x[:, None], grid.u)
    own = np.einsum("nm,nmi,nmj->nij", grid.chances, psi, psi)
    for t, visits in enumerate(truth.visits):
        expected += truth.system.gamma**t * np.tensordot(visits, own, axes=1)
    expected *= 1 - truth.system.gamma
    np.testing.assert_allclose(truth.fisher(), expected, rtol=1e-11, atol=1e-13)


def test_fisher_information_without_end_and_over_the_steps_taken(quadratic):
    exact = known(quadratic, None)
    np.testing.assert_allclose(quadratic.endless_fisher(), exact.fisher(), rtol=1e-11, atol=1e-13)
    s, (k, c, log_sigma) = quadratic.system, quadratic.theta
    m, variance, sums = s.start_mean, s.start_scale**2, np.zeros(2)
    for _ in range(quadratic.horizon):
        sums += [m, variance + m**2]
        m, variance = (
            s.a * m + s.b * (k * m + c),
            (s.a + s.b * k) ** 2 * variance + s.b**2 * np.exp(2 * log_sigma) + s.noise**2,
        )
    first, second = sums / quadratic.horizon
    expected = np.array([[second, first, 0.0], [first, 1.0, 0.0], [0.0, 0.0, 0.0]])
    expected = expected / np.exp(2 * log_sigma) + np.diag([0.0, 0.0, 2.0])
    np.testing.assert_allclose(quadratic.fisher_of_steps(), expected, rtol=1e-11, atol=1e-13)


def test_weights_may_be_given_on_the_nodes():
    truth = CASES["limit"]
    for weight in (TO_GO, ADVANTAGE, GAE):
        by_name = truth.mean(weight=weight, decay=0.7)
        np.testing.assert_array_equal(truth.mean(weight=truth.weights(weight), decay=0.7), by_name)


def entropy(truth, theta, x):
    """Of e, or of u where that is not squashed, (n,)."""
    z = np.linspace(-10, 10, 2001)[:, None]
    u = LINEAR.mean(theta, x) + np.exp(theta[2]) * z
    own = truth.system.log_jacobian(u) - LINEAR.log_density(theta, x, u)
    return 0.01 * (np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * own).sum(axis=0)


@pytest.mark.parametrize("name", ["squashed", "clipped"])
def test_entropy_bonus_is_the_slope_of_entropies(name):
    truth, expected, h = CASES[name], [], 1e-4
    weights = 0.9 ** np.arange(truth.horizon) @ truth.visits
    for step in h * np.eye(3):
        up, down = (entropy(truth, truth.theta + s * step, truth.grid.x) for s in (1, -1))
        expected.append(weights @ (up - down) / (2 * h))
    np.testing.assert_allclose(truth.entropy_bonus(), expected, atol=1e-7)
    gaussian = np.array([0.0, 0.0, weights.sum()])
    np.testing.assert_allclose(truth.entropy_bonus(jacobian=False), gaussian, atol=1e-12)
    same = np.allclose(truth.entropy_bonus(), gaussian, atol=1e-6)
    assert same == (name == "clipped")


def quantities(truth):
    wrong = [f(truth.system, LINEAR, truth.theta) for f in (score_of_applied, jacobian_once)]
    yield truth.objective
    yield from (truth.gradient, truth.endless_gradient, truth.without_tail, truth.undiscounted)
    yield from (truth.fisher(), truth.entropy_bonus())
    yield from (truth.values.v(X), truth.values.v(X, 1), truth.values.q(X, U))
    yield from (truth.mean(chi, weight=weight) for chi in wrong for weight in (GAE, TOTAL))


@pytest.mark.parametrize("name", CASES)
def test_twice_the_nodes_change_nothing(name):
    truth = CASES[name]
    finer = replace(truth, resolution=truth.resolution.doubled)
    for found, exact in zip(quantities(truth), quantities(finer), strict=True):
        size = np.abs(exact).max()
        np.testing.assert_allclose(found / size, exact / size, atol=1e-11)


DEMANDING = {
    "far start": ("regulator", {"start_mean": 6.0, "start_scale": 0.4}, (-0.5, 0.0, -0.7)),
    "wide start": ("regulator", {"start_mean": 0.0, "start_scale": 1.5}, (-0.5, 0.0, -0.7)),
    "loud": ("regulator", {"noise": 0.3, "start_scale": 0.3}, (-0.5, 0.3, 0.3)),
    "quiet system": ("limit", {"noise": 0.06, "start_mean": 0.6}, (0.4, 0.2, -0.5)),
    "strong actions": (
        "squashed",
        {"limit": 1.0, "bound": 6.0, "start_mean": 0.2},
        (0.0, 0.0, 0.0),
    ),
    "saturated": ("squashed", {"bound": 0.3, "a": 0.5}, (-0.4, 0.3, 1.1)),
}
"""Systems far from those of the battery, for which nodes must be placed otherwise."""


@pytest.mark.parametrize("name", DEMANDING)
def test_nodes_go_where_a_system_asks_for_them(name):
    base, changes, theta = DEMANDING[name]
    system = replace(CASES[base].system, **changes)
    truth = ContinuousTruth(system, np.array(theta), 2)
    more = replace(truth.resolution, spacing=0.5, more=18, width=10.0)
    finer = replace(truth, resolution=more)
    for found, exact in ((truth.gradient, finer.gradient), (truth.fisher(), finer.fisher())):
        np.testing.assert_allclose(found, exact, atol=1e-11 * np.abs(exact).max())


def test_half_the_nodes_change_something():
    truth = CASES["clipped"]
    coarse = replace(truth, resolution=replace(truth.resolution, spacing=1.4, more=0))
    assert np.abs(coarse.gradient / truth.gradient - 1).max() > 1e-5


def test_nonsense_is_refused():
    truth = CASES["clipped"]
    with pytest.raises(ValueError, match=r"theta has shape \(2,\), must be \(3,\)"):
        ContinuousTruth(truth.system, np.zeros(2), 3)
    with pytest.raises(ValueError, match="horizon is 0, must be an integer ≥ 1"):
        replace(truth, horizon=0)
    with pytest.raises(ValueError, match="weight is 'td', must be one of to go, advantage, gae"):
        truth.mean(weight="td")
