"""Where means point: held against made-up means with a known angle, and through verdicts."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from pgbench.exact.horizon import expected_steps
from pgbench.functions import drawn
from pgbench.statistics import Estimate
from pgbench.trials.battery import cases
from pgbench.trials.candidate import Estimates
from pgbench.trials.directions import (
    DAMPED,
    cosine,
    directions,
    nearest,
    pointing,
    right_direction,
)
from pgbench.trials.hypotheses import FINITE, NATURAL_FINITE, WITHOUT_DISCOUNT
from pgbench.trials.measured_mean import measured
from pgbench.trials.verdict import Decision, verdict


def made(case, mean, rng, R=400, noise=1.0, n=4):
    """Estimates with a given mean and normal noise of about its size, measured."""
    size = noise * float(np.linalg.norm(mean)) / np.sqrt(mean.size)
    gradients = mean + size * rng.standard_normal((R, mean.size))
    rounding = 1e-9 * float(np.abs(gradients).max())
    return measured(Estimates(case, n, gradients, np.full(R, 10), None, rounding))


def tilted(target, degrees):
    """The target turned by an angle towards a fixed direction."""
    away = np.random.default_rng(5).standard_normal(target.size)
    away -= (away @ target) / (target @ target) * target
    away *= np.linalg.norm(target) / np.linalg.norm(away)
    angle = np.radians(degrees)
    return np.cos(angle) * target + np.sin(angle) * away


@pytest.mark.parametrize("degrees", [0.0, 60.0, 180.0])
def test_cosine_and_length_are_found_with_intervals_that_cover(degrees):
    case, rng = cases()[0], np.random.default_rng(1)
    mean = 3.0 * tilted(case.finite, degrees)
    expected = float(np.cos(np.radians(degrees)))
    covered = 0
    for _ in range(40):
        found = pointing(made(case, mean, rng), case.finite)
        covered += found.cosine.low <= expected + 1e-9 and expected - 1e-9 <= found.cosine.high
        assert abs(found.cosine.value - expected) < 0.1
        assert abs(found.length.value - 3 * expected) < 0.5
    assert covered >= 34  # expected: 38, standard error 1.4


def test_a_multiple_is_rejected_no_more_often_than_is_said_and_a_turn_is():
    case, rng = cases()[0], np.random.default_rng(2)
    rejected = [
        sum(pointing(made(case, tilted(c, a), rng), case.finite).p < 0.05 for _ in range(100))
        for c, a in ((7.0 * case.finite, 0.0), (7.0 * case.finite, 20.0))
    ]
    assert rejected[0] <= 5 + 3 * np.sqrt(100 * 0.05 * 0.95)
    assert rejected[1] > 90


def test_exact_means_have_exact_angles():
    case = cases()[0]
    for degrees in (0.0, 30.0):
        mean = 2.0 * tilted(case.finite, degrees)
        result = replace(made(case, mean, np.random.default_rng(3)), claimed=mean)
        found = pointing(result, case.finite)
        np.testing.assert_allclose(found.cosine.value, np.cos(np.radians(degrees)), atol=1e-12)
        np.testing.assert_allclose(found.length.value, 2 * np.cos(np.radians(degrees)), rtol=1e-12)
        assert found.p == (degrees == 0.0)


def test_cosine_of_intervals_by_hand():
    found = cosine(Estimate(3.0, 0.1, 2.0, 4.0), Estimate(4.0, 0.1, 3.0, 5.0))
    np.testing.assert_allclose(
        [found.value, found.low, found.high], [0.6, 2 / np.sqrt(29), 0.8], rtol=1e-12
    )
    backward = cosine(Estimate(-3.0, 0.1, -4.0, -2.0), Estimate(4.0, 0.1, 3.0, 5.0))
    np.testing.assert_allclose(
        [backward.value, backward.low, backward.high], [-0.6, -0.8, -2 / np.sqrt(29)], rtol=1e-12
    )


def results(mean, rng, noise=0.5, problems=None):
    """Results on so many problems at two batch sizes, of estimates with ``mean(case, n)``."""
    some = cases()[:problems]
    places = [(case, n) for case in some for n in (case.batch_size, 4 * case.batch_size)]
    return [made(case, mean(case, n), rng, noise=noise, n=n) for case, n in places]


def test_a_multiple_that_changes_from_problem_to_problem_has_the_right_direction():
    def mean(case, n):
        return case.finite / (1 + case.horizon)

    found = verdict(results(mean, np.random.default_rng(4)), ())
    assert found.decision is Decision.DIRECTION
    assert found.direction.hypothesis is FINITE


@pytest.mark.parametrize(
    "mean",
    [
        lambda case, n: -case.finite,
        lambda case, n: tilted(case.finite, 30.0),
        lambda case, n: 2 * WITHOUT_DISCOUNT[0].mean(case, n),
    ],
    ids=["backward", "turned", "without the discount"],
)
def test_what_points_elsewhere_has_not(mean):
    found = verdict(results(mean, np.random.default_rng(4), noise=0.1, problems=4), ())
    assert found.decision is Decision.BIASED


def test_a_mean_that_is_lost_in_noise_has_no_known_direction():
    found = results(lambda case, n: case.finite, np.random.default_rng(6), 300.0, problems=4)
    assert right_direction(directions(found)) is None


def test_a_multiple_of_the_natural_gradient_is_told_from_the_gradient():
    found = directions(
        results(lambda c, n: 0.2 * NATURAL_FINITE.mean(c, n), np.random.default_rng(7), 0.1, 4)
    )
    assert right_direction(found).hypothesis is NATURAL_FINITE


@pytest.mark.parametrize("steps", [False, True])
def test_damping_is_fitted_and_both_averages_of_f_are_told_apart(steps):
    family = next(f for f in DAMPED if f.base is FINITE and f.steps is steps)
    rng = np.random.default_rng(8)
    every = directions(results(lambda c, n: 5 * family.target(c, n, 0.1), rng, 0.1, problems=4))
    found = right_direction(every)
    assert nearest(every) is found
    assert ("the steps taken" in found.hypothesis.words) == steps
    np.testing.assert_allclose(found.damping, 0.1, rtol=0.1)


def test_f_over_the_steps_is_what_a_mean_over_many_batches_estimates():
    case = next(c for c in cases() if c.name == "episodic")
    family = next(f for f in DAMPED if f.base is FINITE and f.steps)
    batches = drawn(case, 500, 0, 8)
    truth = case.truth
    psi = truth.policy.scores(truth.theta)
    per_state = np.einsum("sa,sad,sae->sde", truth.pi, psi, psi)
    F = per_state[batches.states[batches.mask]].mean(axis=0)
    estimated = np.linalg.solve(F + 0.1 * np.eye(len(F)), case.finite)
    exact = family.target(case, 8, 0.1)
    assert batches.mask.sum() > 500 * 8 * 0.9 * expected_steps(truth.mdp, truth.pi, case.horizon)
    np.testing.assert_allclose(estimated, exact, atol=0.05 * np.abs(exact).max())
    wrong = next(f for f in DAMPED if f.base is FINITE and not f.steps).target(case, 8, 0.1)
    assert np.abs(estimated - wrong).max() > 0.05 * np.abs(exact).max()


def test_a_second_mistake_behind_the_missing_discount_is_seen():
    def mean(case, n):
        without = WITHOUT_DISCOUNT[0].mean(case, n)
        return without if case.name != "cut short" else tilted(without, 40.0)

    found = verdict(results(mean, np.random.default_rng(9), noise=0.1, problems=4), ())
    assert found.decision is Decision.BIASED
    assert [case.name for case in found.behind.biased_cases] == ["cut short"]
    alone = verdict(
        results(partial(WITHOUT_DISCOUNT[0].mean), np.random.default_rng(9), 0.1, problems=4), ()
    )
    assert alone.behind is None
    assert alone.others[0].hypothesis is WITHOUT_DISCOUNT[0]
