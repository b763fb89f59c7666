"""Means, times, rates and outcomes of ascents."""

import numpy as np
import pytest
from scipy import stats

from pgbench.ascent.climb import logged_steps
from pgbench.ascent.goal import FiniteGoal, QuadraticGoal
from pgbench.ascent.summary import (
    GEOMETRIC,
    NEITHER,
    POWER,
    fit_decay,
    interquartile_mean,
    iqm_interval,
    outcomes,
    share,
    steps_to,
)
from pgbench.declared.outcomes import AscentOutcome


@pytest.mark.parametrize("n", [4, 8, 20, 100])
def test_interquartile_mean_is_the_trimmed_mean_where_quarters_are_whole(n):
    x = np.random.default_rng(n).standard_normal((n, 3))
    np.testing.assert_allclose(interquartile_mean(x), stats.trim_mean(x, 0.25), rtol=1e-12)


def test_interquartile_mean_of_few():
    assert interquartile_mean([3.0]) == 3
    assert interquartile_mean([1.0, 3.0]) == 2
    # of 0, 1, 5: three quarters of a run each side of the middle one, a quarter of each end
    assert interquartile_mean([0.0, 1.0, 5.0]) == pytest.approx((0.25 * 0 + 1 + 0.25 * 5) / 1.5)


def test_what_diverged_is_infinitely_bad():
    x = np.r_[np.arange(7.0), np.nan]
    assert np.isfinite(interquartile_mean(x))
    x[[2, 3]] = np.nan
    assert interquartile_mean(x) == np.inf


def test_intervals_cover():
    """Of 300 samples of 20 skewed numbers about 95 % hold the true interquartile mean."""
    rng = np.random.default_rng(1)
    truth = interquartile_mean(rng.exponential(size=4_000_000))
    hits = 0
    for _ in range(300):
        interval = iqm_interval([rng.exponential(size=(20, 1))])
        hits += bool(interval.low[0] <= truth <= interval.high[0])
    assert 0.88 < hits / 300 < 0.985


def test_strata_are_resampled_within_themselves():
    """Two problems whose runs agree exactly leave nothing to resample."""
    strata = [np.full((5, 2), 1.0), np.full((9, 2), 3.0)]
    interval = iqm_interval(strata)
    np.testing.assert_array_equal(interval.low, interval.high)
    mixed = iqm_interval([np.concatenate(strata)])
    assert (mixed.low < mixed.high).all()


def test_single_runs_have_no_interval():
    interval = iqm_interval([np.ones((1, 4))])
    assert np.isnan(interval.low).all()
    assert (interval.value == 1).all()


def test_steps_to():
    steps = np.array([0, 1, 2, 5, 10])
    gap = np.array([[8.0, 4, 0.8, 0.5, 0.9], [8, 8, 8, 8, 8], [8, np.nan, np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(steps_to(steps, gap, 0.1), [2, np.nan, np.nan])
    assert np.isnan(steps_to(steps, np.zeros((1, 5)), 0.1)).all()


K = logged_steps(1000, 40)


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0])
def test_power_laws_are_recognised(p):
    fit = fit_decay(K, 3.0 * np.maximum(K, 0.5)[None] ** -p)
    assert (fit.kind, fit.rate) == (POWER, pytest.approx(p))


@pytest.mark.parametrize("c", [0.004, 0.5])
def test_exponentials_are_recognised_also_where_they_end_in_rounding(c):
    gap = np.maximum(3 * np.exp(-c * K), 1e-15)[None]
    fit = fit_decay(K, gap)
    assert (fit.kind, fit.rate) == (GEOMETRIC, pytest.approx(c))


def test_what_does_not_fall_has_no_rate():
    rng = np.random.default_rng(0)
    assert fit_decay(K, 1 + 0.1 * rng.random((5, K.size))).kind == NEITHER
    assert fit_decay(K, np.full((1, K.size), np.nan)).kind == ""
    assert fit_decay(K, 1.0 + 0.001 * K[None]).kind == NEITHER
    assert fit_decay(K, 1.0 - 1e-6 * K[None]).kind == NEITHER


def test_rates_have_intervals():
    rng = np.random.default_rng(3)
    runs = np.exp(0.3 * rng.standard_normal((40, 1))) * np.maximum(K, 0.5) ** (
        -1 - 0.1 * rng.standard_normal((40, 1))
    )
    fit = fit_decay(K, runs)
    assert fit.kind == POWER
    assert fit.low < fit.rate < fit.high
    assert fit.low < 1 < fit.high
    assert fit.high - fit.low < 0.2


def test_outcomes():
    gap = np.array([[1.0, 0.5], [1, 0.5], [1, 0.05], [1, np.nan], [1, np.nan]])
    certain = np.array([False, True, True, False, True])
    stopped, stable = np.array([-1, -1, -1, 7, 7]), np.array([True, True, True, True, False])
    found = outcomes(gap, certain, stopped, stable)
    assert found.tolist() == [1, 2, 1, 3, 4]
    became = [AscentOutcome(code).name for code in found]
    assert became == ["FINISHED", "COLLAPSED", "FINISHED", "DIVERGED", "UNSTABLE"]


def test_nearly_certain_means_little_entropy_or_a_hundredth_of_the_spread():
    softmax = FiniteGoal(0.0, "", None, np.zeros((2, 3), bool), np.zeros(2))
    assert softmax.certain(np.log(3) * np.array([[1, 0.02], [1, 0.005]])).tolist() == [False, True]
    gaussian = QuadraticGoal(0.0, "", None)
    fallen = np.array([[5, 5 - np.log(99)], [5, 5 - np.log(101)]])
    assert gaussian.certain(fallen).tolist() == [False, True]


def test_shares():
    assert share(0, 10)[0] == 0
    assert share(0, 10)[2] == pytest.approx(0.2775, abs=1e-4)
