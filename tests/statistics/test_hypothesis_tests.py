"""Tests of means, variances and scores, and their correction for multiplicity."""

from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from pgbench.statistics import (
    Projections,
    directions,
    holm,
    mean_test,
    mean_z,
    normality,
    variance_test,
)


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


def test_false_alarms_without_correction_are_too_frequent():
    """The same bound fails for the smallest of four p-values as it is."""
    rng = np.random.default_rng(8)
    draws = np.stack([DRAWS["normal"](rng, 400) for _ in range(2000)])
    p = stats.ttest_1samp(draws, 2.0, axis=1).pvalue.min(axis=1)
    assert np.mean(p < 0.05) > 0.05 + 4 * np.sqrt(0.05 * 0.95 / p.size)


def one_direction(rng, R):
    """Nine directions that all see the same number, as where noise has one direction only."""
    return np.outer(rng.standard_normal(R), np.arange(1.0, 10)) + 2


def test_directions_that_say_the_same_count_once():
    """Corrected for nine tests where there is one, false alarms would be nine times too rare."""
    p = p_values(1500, 400, one_direction, np.full(9, 2.0))
    slack = 4 * np.sqrt(0.05 * 0.95 / p.size)
    assert abs(np.mean(p < 0.05) - 0.05) < slack
    rng = np.random.default_rng(8)
    draws = np.stack([one_direction(rng, 400) for _ in range(1500)])
    plain = stats.ttest_1samp(draws, 2.0, axis=1).pvalue.min(axis=1)
    assert np.mean(1 - (1 - plain) ** 9 < 0.05) < 0.05 - slack
    assert mean_test(one_direction(rng, 400), np.full(9, 2.0)).directions == 1


def test_correlated_directions_raise_as_many_false_alarms():
    """Four numbers seen along nine directions, one of them nearly another."""
    mix = np.random.default_rng(1).standard_normal((4, 9))
    mix[:, 5] = mix[:, 4] + 1e-4 * mix[:, 5]

    def draw(rng, R):
        return rng.exponential(size=(R, 4)) @ mix

    p = p_values(2000, 400, draw, mix.sum(axis=0))
    assert np.isfinite(p).mean() > 0.99
    p = p[np.isfinite(p)]
    assert abs(np.mean(p < 0.05) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / p.size)
    assert stats.kstest(p, "uniform").pvalue > 1e-3


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


def test_few_light_directions_among_heavy_ones_are_not_tested():
    """Directions are dense: where most hang on rare events, so do the others, seen or not."""
    rng = np.random.default_rng(1)
    heavy = np.zeros((1000, 3))
    heavy[5] = 100.0, -50.0, 70.0
    light = rng.standard_normal((1000, 2))
    assert mean_test(np.hstack([heavy, light]), np.zeros(5)).directions == 0
    assert mean_test(np.hstack([heavy[:, :2], light]), np.zeros(4)).directions == 2


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


def test_z_scores_of_means_are_standard_normal():
    """Exponential and normal numbers, 8000 repetitions of 200; bound: four standard errors.

    The plain z-score fails for its skewness, 2/√200, and one with a variance 10 % too small for
    its variance.
    """
    rng, n = np.random.default_rng(11), 8000
    draws = np.stack([rng.exponential(size=(n, 200)), rng.normal(1, 1, (n, 200))], axis=-1)
    z = np.array([mean_z(x, np.ones(2), np.ones(2)) for x in draws])
    assert np.isfinite(z).mean() > 0.98
    bound = 4 * np.sqrt(6 / n)
    for own in z.T:
        own = own[np.isfinite(own)]
        assert stats.kstest(own, "norm").pvalue > 1e-3
        assert abs(stats.skew(own)) < bound
    assert stats.skew(np.sqrt(200) * (draws[:, :, 0].mean(axis=1) - 1)) > bound
    wrong = np.array([mean_z(x, np.ones(2), np.full(2, 0.9))[1] for x in draws])
    assert np.nanvar(wrong) > 1 + 4 * np.sqrt(2 / n)


def test_z_scores_find_a_wrong_mean_and_nothing_where_nothing_can_be_said():
    rng = np.random.default_rng(3)
    x = np.column_stack([rng.standard_normal((1000, 3)), np.ones(1000), np.zeros(1000)])
    x[0, 4] = 100.0
    variance = np.array([1.0, 1.0, 3.0, 1.0, 10.0])
    z = mean_z(x, np.array([0.0, 0.3, 0.0, 1.0, 0.0]), variance)
    assert abs(z[0]) < 4
    assert -12 < z[1] < -7
    # A variance far below the exact one, no variance at all, a single event.
    assert np.isnan(z[2:]).all()


def test_variance_test_is_calibrated():
    """Sums of squares, 6000 repetitions of 600; bounds: four standard errors.

    The plain t statistic fails for its skewness, to the left where squares are to the right.
    """
    rng, n = np.random.default_rng(6), 6000
    draws = (rng.standard_normal((n, 600, 2)) ** 2 * [4.0, 1.0]).sum(axis=2)
    z = np.array([variance_test(x, 5.0).z for x in draws])
    assert np.isfinite(z).mean() > 0.95
    z = z[np.isfinite(z)]
    assert stats.kstest(z, "norm").pvalue > 1e-3
    p, bound = 2 * stats.norm.sf(np.abs(z)), 4 * np.sqrt(6 / n)
    assert abs(np.mean(p < 0.05) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / p.size)
    assert abs(stats.skew(z)) < bound
    assert stats.skew(stats.ttest_1samp(draws, 5.0, axis=1).statistic) < -bound


def test_variance_test_finds_a_wrong_variance():
    """Ten per cent off is 10 % · √(R/2) = 4.5 standard errors of 4000 normal numbers."""
    x = np.random.default_rng(2).standard_normal(4000) ** 2
    right, low, high = (variance_test(x, v) for v in (1.0, 0.9, 1.1))
    assert abs(right.z) < 3
    assert low.z > 2.5
    assert high.z < -2.5
    for test in (right, low, high):
        assert test.chi_squared == test.z**2
        assert test.p_value == pytest.approx(2 * stats.norm.sf(abs(test.z)), rel=1e-9)


def test_variance_test_says_nothing_of_rare_events():
    x = np.ones(1000)
    assert np.isnan(variance_test(x, 1.0).z)
    x[:5] = 100.0
    test = variance_test(x, 1.0)
    assert np.isnan([test.z, test.chi_squared, test.p_value]).all()


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


def test_a_sample_that_is_tiny_beside_the_expected_mean_is_not_tested():
    """What it would take to make up for it may have been seen by none of the replicates."""
    made = 1e-11 * (1 + 0.2 * np.random.default_rng(0).standard_normal((500, 2)))
    assert np.isnan(mean_test(made, np.ones(2)).p_value)


def test_an_uncertain_mean_is_rejected_only_beyond_what_it_may_be():
    """Along what nearly cancels, too: x + y varies by a thousandth of what x does."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal(500)
    made = np.stack([x, 1e-3 * rng.standard_normal(500) - x + 2e-3], axis=1)
    assert mean_test(made, np.zeros(2)).p_value < 1e-6
    assert mean_test(made, np.zeros(2), 1e-3 * np.eye(2)).p_value > 0.05
    assert mean_test(made, np.zeros(2), 5e-4 * np.eye(2)).p_value < 1e-6


def scores(seed=0):
    """Independent z-scores, (6, 5, 4); a test for each of the last."""
    return np.random.default_rng(seed).standard_normal((6, 5, 4))


def test_standard_normal_scores_pass_at_the_level_of_the_test():
    smallest = [normality(scores(seed)).min() for seed in range(400)]
    rejected = np.mean(np.array(smallest) < 0.05)
    assert rejected < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize("wrong", [lambda z: z + 1, lambda z: 3 * z, lambda z: z / 4])
def test_scores_that_are_not_standard_normal_are_found(wrong):
    z = scores()
    z[..., 2] = wrong(z[..., 2])
    p = normality(z)
    assert p[2] < 0.01
    assert (p[[0, 1, 3]] > 0.05).all()


def test_scores_that_are_missing_are_left_out():
    z = scores()
    z[0, :, 1] = np.nan
    z[1:, :, 2] = np.nan  # five are left
    p = normality(z)
    assert np.isnan(p).tolist() == [False, False, True, False]
    alone = stats.kstest(z[1:, :, 1].ravel(), "norm").pvalue
    np.testing.assert_allclose(normality(z[..., [1]]), alone)
    assert np.isnan(normality(np.full((3, 3), np.nan))).all()


def test_means_are_tested_on_one_sample_as_each_alone():
    rng = np.random.default_rng(3)
    values = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 5))
    known = Projections(values)
    for shift in (0.0, 0.1, 1e12, 0.0):
        expected = np.full(5, shift)
        found, alone = known.test(expected), mean_test(values, expected)
        np.testing.assert_equal(astuple(found), astuple(alone))  # NaN is NaN
