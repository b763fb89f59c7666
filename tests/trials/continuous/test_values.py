"""V and Q against integrals that others make."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

from pgbench.trials.continuous.cases import cases
from pgbench.trials.continuous.tables import solved

X, U = np.array([-0.9, -0.2, 0.3, 0.8]), np.array([1.1, -0.4, 0.05, -0.9])
CASES = {case.name: case.truth for case in cases()}


def density(z):
    return np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def second_moment(truth, x):
    """E[e² | x], from truncated normal laws or by a trapezoidal rule on a smooth integrand."""
    system, (k, c, log_sigma) = truth.system, truth.theta
    mu, sigma, L = k * x + c, np.exp(log_sigma), system.bound
    if system.law == "squashed":
        z = np.linspace(-10, 10, 2001)[:, None]
        return (density(z) * system.applied(mu + sigma * z) ** 2).sum(axis=0) * 0.01
    if system.law == "gaussian":
        return mu**2 + sigma**2
    low, high = (-L - mu) / sigma, (L - mu) / sigma
    inside = ndtr(high) - ndtr(low)
    linear = density(low) - density(high)
    square = inside - high * density(high) + low * density(low)
    return L**2 * (1 - inside) + mu**2 * inside + 2 * mu * sigma * linear + sigma**2 * square


def one_step(truth, x):
    """V_1 (n,) of states (n,)."""
    s = truth.system
    return s.bonus - s.state_cost * (x - s.target) ** 2 - s.action_cost * second_moment(truth, x)


def two_steps(truth, x, u):
    """Q_2 by adaptive quadrature."""
    s, e = truth.system, truth.system.applied(u)
    reach = min(s.limit, 12.0)

    def later(y):
        return density((y - s.drift(x, e)) / s.noise) / s.noise * one_step(truth, np.array([y]))[0]

    near = [s.drift(x, e) + s.noise * d for d in (-9, -3, 0, 3, 9)]
    inside = [y for y in near if abs(y) < reach]
    found, _ = quad(later, -reach, reach, points=inside, epsabs=1e-13, epsrel=1e-13, limit=200)
    return s.reward(x, e) + s.gamma * found


@pytest.mark.parametrize("name", CASES)
def test_one_step_to_go(name):
    truth = CASES[name]
    np.testing.assert_allclose(truth.values.v(X, 1), one_step(truth, X), rtol=1e-11)
    rewards = truth.system.reward(X, truth.system.applied(U))
    np.testing.assert_allclose(truth.values.q(X, U, 1), rewards, rtol=1e-14)


@pytest.mark.parametrize("name", ["clipped", "squashed", "limit"])
def test_two_steps_to_go(name):
    truth = CASES[name]
    expected = [two_steps(truth, x, u) for x, u in zip(X, U, strict=True)]
    np.testing.assert_allclose(truth.values.q(X, U, 2), expected, rtol=1e-11)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("steps", [1, None])
def test_v_is_the_mean_of_q(name, steps):
    truth = CASES[name]
    values, grid = truth.values, truth.grid
    mean = (grid.chances * values.q(grid.x[:, None], grid.u, steps)).sum(axis=1)
    seen = np.abs(grid.x) < 2.5
    np.testing.assert_allclose(mean[seen], values.v(grid.x, steps)[seen], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["clipped", "squashed", "limit", "regulator"])
@pytest.mark.parametrize("steps", [1, 3, None])
def test_slope_of_q_along_the_action(name, steps):
    values, h = CASES[name].values, 1e-4
    slope = (values.q(X, U + h, steps) - values.q(X, U - h, steps)) / (2 * h)
    np.testing.assert_allclose(values.q_slope(X, U, steps), slope, rtol=1e-6, atol=1e-7)


def test_terminal_states_are_worth_nothing_and_others_something():
    values, x = CASES["limit"].values, np.array([-1.01, -0.99, 0.99, 1.01])
    for found in (values.v(x), values.q(x, x), values.q_slope(x, x / 2), values.v(x, 2)):
        assert found[0] == found[3] == 0
        assert (found[1:3] != 0).all()


def test_values_approach_those_without_end():
    truth = CASES["clipped"]
    truth = replace(truth, system=replace(truth.system, gamma=0.6), horizon=40)
    gaps = [np.abs(truth.values.v(X, h) - truth.values.v(X)).max() for h in (20, 40)]
    assert gaps[0] > 1e-6
    np.testing.assert_allclose(gaps[1] / gaps[0], 0.6**20, rtol=1e-3)


def test_transitions_are_probabilities_and_end_where_states_do():
    for name in ("clipped", "limit"):
        tables = solved(CASES[name].grid, 1)
        near = np.abs(CASES[name].grid.x) < 2
        total = tables.P[near].sum(axis=1)
        assert (total <= 1 + 1e-13).all()
        assert (np.abs(total - 1) < 1e-12).all() == (name == "clipped")


def test_number_of_steps_is_checked():
    with pytest.raises(ValueError, match="steps is 6, must be from 1 to 5, or None"):
        CASES["clipped"].values.v(X, 6)
