"""Tests of means, their correction for multiplicity, and fitted rates."""

import numpy as np
import pytest
from scipy import stats

from pgbench.statistics import directions, fit_rate, holm, mean_test


def test_directions_are_orthogonal_and_complete_when_small():
    for d in (1, 3, 8, 100):
        basis = directions(d, np.zeros(d))
        gram = basis @ basis.T
        np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-13)
        assert np.linalg.matrix_rank(basis) == min(d, 8)
        assert (np.abs(basis) > 0).all(axis=1).any()
        g = np.arange(1.0, d + 1)
        np.testing.assert_allclose(directions(d, g)[-1], g / np.linalg.norm(g))
        np.testing.assert_array_equal(directions(d, g)[:-1], basis)


def p_values(repetitions, R, draw, expected):
    """p-values of independent tests."""
    rng = np.random.default_rng(8)
    return np.array([mean_test(draw(rng, R), expected).p_value for _ in range(repetitions)])


DRAWS = {
    "normal": lambda rng, R: rng.standard_normal((R, 4)) * [1, 10, 0.1, 5] + 2,
    "skewed": lambda rng, R: rng.exponential(size=(R, 4)) + 1,
    "rare": lambda rng, R: 2.0 * rng.binomial(1, 0.3, (R, 4)) / 0.3,
}


@pytest.mark.parametrize("name", DRAWS)
def test_false_alarms_are_as_frequent_as_stated(name):
    """Binomial bound of four standard errors: 0.05 ± 0.0195 in 2000 repetitions."""
    p = p_values(2000, 400, DRAWS[name], np.full(4, 2.0))
    assert abs(np.mean(p < 0.05) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / p.size)


@pytest.mark.parametrize("name", DRAWS)
def test_wrong_means_are_found(name):
    """One mean off by half a standard deviation: ten standard errors of 400 replicates."""
    spread = {"normal": 0.1, "skewed": 1.0, "rare": 2 * np.sqrt(0.7 / 0.3)}[name]
    p = p_values(200, 400, DRAWS[name], 2.0 + np.array([0, 0, spread / 2, 0]))
    assert np.mean(p < 1e-3) > 0.95


def test_directions_that_never_varied_are_not_tested():
    """They may hang on an event that no replicate saw: a reward at the end of a long chain, say."""
    constant = np.zeros((500, 2))
    for expected in (np.zeros(2), np.array([0.0, 1e-3])):
        assert np.isnan(mean_test(constant, expected).p_value)
        assert mean_test(constant, expected).directions == 0
    mixed = np.column_stack([np.ones(500), np.random.default_rng(0).standard_normal(500)])
    assert mean_test(mixed, np.array([1.1, 0.0])).directions == 1
    assert mean_test(mixed, np.array([1.1, 0.0])).p_value > 0.01
    assert mean_test(mixed, np.array([1.1, 0.5])).p_value < 1e-6


def test_too_few_replicates_are_not_tested():
    """Heavy tails cannot be told from light ones with fewer than about 90 replicates."""
    normal = np.random.default_rng(3).standard_normal((200, 1))
    assert mean_test(normal[:80], np.array([5.0])).directions == 0
    assert mean_test(normal, np.array([5.0])).p_value < 1e-6


def test_directions_that_hang_on_rare_events_are_left_out():
    projections = np.zeros((1000, 2))
    projections[3, 0] = 1000.0
    projections[:, 1] = np.random.default_rng(1).standard_normal(1000)
    test = mean_test(projections, np.array([10.0, 0.0]))
    assert test.directions == 1
    assert test.p_value > 1e-3


def test_p_value_of_one_direction_is_that_of_students_t():
    """Symmetric data have no skewness, so the corrected statistic is t itself."""
    half = np.random.default_rng(2).standard_normal((100, 1))
    projections = np.concatenate([half, -half])
    expected = stats.ttest_1samp(projections[:, 0], 0.1)
    found = mean_test(projections, np.array([0.1]))
    assert found.max_z == pytest.approx(abs(expected.statistic), rel=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-10)


def test_statistic_is_corrected_for_skewness():
    """Hall 1992, eq. 2.2: t + γ̂ n^(-1/2) (t²/3 + 1/6) + γ̂² t³/(27 n), γ̂ the sample skewness."""
    x = np.random.default_rng(5).exponential(size=800)
    t = stats.ttest_1samp(x, 0.85).statistic
    deviation = x - x.mean()
    skewness = np.mean(deviation**3) / x.std(ddof=1) ** 3
    corrected = t + skewness / np.sqrt(800) * (t**2 / 3 + 1 / 6) + skewness**2 * t**3 / (27 * 800)
    found = mean_test(x[:, None], np.array([0.85]))
    assert found.max_z == pytest.approx(abs(corrected), rel=1e-12)
    assert abs(found.max_z - abs(t)) > 0.05


def test_holm_by_hand():
    """Sorted p times 4, 3, 2, 1, made monotone: .005·4, .01·3, .03·2, max(.04·1, .06)."""
    adjusted = holm([[0.01, 0.04], [0.03, 0.005]])
    np.testing.assert_allclose(adjusted, [[0.03, 0.06], [0.06, 0.02]], rtol=1e-12)


def test_holm_leaves_out_missing_tests_and_stops_at_one():
    np.testing.assert_allclose(holm([0.02, np.nan, 0.7, 0.6]), [0.06, np.nan, 1.0, 1.0])
    assert holm([]).size == 0


def test_holm_keeps_the_family_wise_error():
    """5 % of families of five true hypotheses have a rejection; bound: four standard errors."""
    p = np.random.default_rng(3).random((1000, 5))
    share = np.mean([holm(row).min() < 0.05 for row in p])
    expected = 1 - (1 - 0.01) ** 5
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / 1000)


def test_rate_of_exact_data():
    n = np.array([1, 4, 16, 64, 256])
    rate = fit_rate(n, 3 * n**-0.5, 0.01 * n**-0.5)
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
        rate = fit_rate(n, y, relative * y)
        covered += rate.low <= -0.5 <= rate.high
        assert not rate.low <= -0.6 <= rate.high
    assert abs(covered / 1000 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 1000)


def test_rate_needs_two_points():
    for n, y in (([1.0], [1.0]), ([2.0, 2.0], [1.0, 1.0]), ([1.0, 4.0], [1.0, np.nan])):
        rate = fit_rate(n, y, [0.1] * len(n))
        assert np.isnan([rate.slope, rate.low, rate.high, rate.intercept]).all()


def test_rate_leaves_out_what_is_not_positive():
    rate = fit_rate([1.0, 4.0, 16.0, 64.0], [2.0, 1.0, -1.0, np.nan], [0.1] * 4)
    assert rate.slope == pytest.approx(-0.5, rel=1e-12)
