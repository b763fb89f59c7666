"""Fitted lines and rates: exact data, coverage of intervals, and what is left out."""

import numpy as np
import pytest
from scipy import stats

from pgbench.statistics import fit_line, fit_rate
from tests.support.numbers import close


def test_rate_of_exact_data():
    n = np.array([1, 4, 16, 64, 256])
    rate = fit_rate(n, 3 * n**-0.5, 2.97 * n**-0.5, 3.03 * n**-0.5)
    assert rate.slope == pytest.approx(-0.5, rel=1e-12)
    assert rate.intercept == pytest.approx(np.log(3), rel=1e-12)
    assert rate.low < -0.5 < rate.high


def test_rate_interval_covers():
    """Binomial bound of four standard errors in 1000 repetitions."""
    n, rng = np.array([1.0, 4.0, 16.0, 64.0]), np.random.default_rng(4)
    relative = np.array([0.01, 0.02, 0.05, 0.03])
    covered = 0
    for _ in range(1000):
        y = 3 * n**-0.5 * np.exp(relative * rng.standard_normal(4))
        rate = fit_rate(n, y, *(y * np.exp(s * 1.96 * relative) for s in (-1, 1)))
        covered += rate.low <= -0.5 <= rate.high
        assert not rate.low <= -0.6 <= rate.high
    assert abs(covered / 1000 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 1000)


def test_rate_interval_is_as_lopsided_as_those_of_its_points():
    """Two points: the slope is a difference, so its lower end takes the upper one of the first."""
    rate = fit_rate([1.0, np.e], [1.0, 1.0], np.exp([-3.0, -4.0]), np.exp([12.0, 1.0]))
    np.testing.assert_allclose(
        [rate.slope, rate.low, rate.high], [0, -np.hypot(12, 4), np.hypot(3, 1)]
    )


def test_rate_needs_two_points():
    for n, y in (([1.0], [1.0]), ([2.0, 2.0], [1.0, 1.0]), ([1.0, 4.0], [1.0, np.nan])):
        rate = fit_rate(n, y, np.multiply(y, 0.9), np.multiply(y, 1.1))
        assert np.isnan([rate.slope, rate.low, rate.high, rate.intercept]).all()


def test_rate_leaves_out_what_is_not_positive():
    y = np.array([2.0, 1.0, -1.0, np.nan])
    rate = fit_rate([1.0, 4.0, 16.0, 64.0], y, 0.9 * y, 1.1 * y)
    assert rate.slope == pytest.approx(-0.5, rel=1e-12)


def test_a_line_is_that_of_least_squares_with_students_interval():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 9))
    line = fit_line(x, y)
    design = np.stack([x, np.ones(9)], axis=1)
    expected, squares = np.linalg.lstsq(design, y, rcond=None)[:2]
    close([line.slope, line.intercept], expected)
    close(1 - line.r_squared, squares[0] / np.sum((y - y.mean()) ** 2))
    error = np.sqrt(squares[0] / 7 * np.linalg.inv(design.T @ design)[0, 0])
    close(line.half, stats.t.ppf(0.975, 7) * error)
    assert np.isnan(fit_line(x[:2], y[:2]).half)
    assert fit_line(x, np.full(9, 2.0)).half == 0
