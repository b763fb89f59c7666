"""What is wrong and what is not, where the system does not see actions as drawn."""

import numpy as np
import pytest
from scipy.special import ndtr

from pgbench.trials.continuous.cases import cases
from pgbench.trials.continuous.mistakes import (
    action_not_held,
    jacobian_once,
    score_of_applied,
    variance_as_scale,
)
from pgbench.trials.continuous.policy import LINEAR
from pgbench.trials.continuous.truth import GAE, TO_GO, TOTAL

CASES = {case.name: case.truth for case in cases()}
MISTAKES = {"score of applied": score_of_applied, "Jacobian once": jacobian_once}
WRONG = {
    "score of applied": {"one step", "clipped", "squashed", "cut short", "limit"},
    "Jacobian once": {"squashed"},
}


def scores(mistake, system, theta, x, u):
    """What stands in place of scores (..., 3)."""
    return LINEAR.combined(theta, x, *mistake(system, LINEAR, theta)(x, u))


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("weight", [TO_GO, GAE, TOTAL])
def test_a_mistake_shows_where_the_law_makes_it_one(mistake, name, weight):
    truth = CASES[name]
    chi = MISTAKES[mistake](truth.system, LINEAR, truth.theta)
    right, wrong = truth.mean(weight=weight), truth.mean(chi, weight=weight)
    error = np.linalg.norm(wrong - right) / np.linalg.norm(right)
    assert error > 0.1 if name in WRONG[mistake] else error < 1e-10


def log_density_of_squashed(system, theta, x, e, h=1e-4):
    """log d/de P(L tanh u ≤ e), by central differences: nothing about a Jacobian."""
    points = np.arctanh((e + h * np.array([-2, -1, 1, 2])) / system.bound)
    below = ndtr((points - theta[0] * x - theta[1]) / np.exp(theta[2]))
    return np.log(np.array([1, -8, 8, -1]) @ below / (12 * h))


@pytest.mark.parametrize("u", [-1.0, 0.2, 0.9])
def test_scores_of_squashed_actions_are_those_of_actions_as_drawn(u):
    truth, x, h = CASES["squashed"], 0.7, 1e-3
    system, theta = truth.system, truth.theta
    e = system.applied(np.array(u))
    expected = [
        log_density_of_squashed(system, theta + step, x, e)
        - log_density_of_squashed(system, theta - step, x, e)
        for step in h * np.eye(3)
    ]
    found = LINEAR.score(theta, np.array(x), np.array(u))
    np.testing.assert_allclose(found, np.array(expected) / (2 * h), atol=2e-5)


@pytest.mark.parametrize("name", ["clipped", "squashed"])
def test_an_action_that_is_not_held_moves_with_theta(name):
    """Central differences of log π(e(θ); θ) along u = kx + c + σξ, ξ held fixed."""
    system, theta, h = CASES[name].system, CASES[name].theta, 1e-5
    x, xi = np.array([0.7, -0.3, 0.2]), np.array([-1.0, 0.4, 2.0])

    def log_prob(t):
        u = t[0] * x + t[1] + np.exp(t[2]) * xi
        return LINEAR.log_density(t, x, u) - system.log_jacobian(u)

    slopes = [(log_prob(theta + s) - log_prob(theta - s)) / (2 * h) for s in h * np.eye(3)]
    u = theta[0] * x + theta[1] + np.exp(theta[2]) * xi
    found = scores(action_not_held, system, theta, x, u)
    np.testing.assert_allclose(found, np.stack(slopes, axis=-1), atol=1e-8)


def test_a_variance_as_scale_is_the_slope_of_another_law():
    theta, h = CASES["clipped"].theta, 1e-5
    x, u = np.array([0.7, -0.3]), np.array([-1.0, 0.4])

    def log_prob(t):
        return LINEAR.log_density(np.array([t[0], t[1], 2 * t[2]]), x, u)

    slopes = [(log_prob(theta + s) - log_prob(theta - s)) / (2 * h) for s in h * np.eye(3)]
    found = scores(variance_as_scale, CASES["clipped"].system, theta, x, u)
    np.testing.assert_allclose(found, np.stack(slopes, axis=-1), rtol=1e-7)


def test_jacobian_once_is_a_ratio_that_is_not_one():
    truth, u = CASES["squashed"], np.array([-1.0, 0.2])
    x, h = np.array([0.7, 0.7]), 1e-6
    de = (truth.system.applied(u + h) - truth.system.applied(u - h)) / (2 * h)
    found = scores(jacobian_once, truth.system, truth.theta, x, u)
    np.testing.assert_allclose(found, LINEAR.score(truth.theta, x, u) / de[:, None], rtol=1e-8)
