"""Statistics of replicates: definitions, unbiasedness, coverage, tests and rates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pgbench.statistics import (
    STATISTICS,
    BlockSums,
    directions,
    fit_rate,
    holm,
    mean_test,
    n_blocks,
    summarise,
)

TRUTH = np.array([1.0, -0.5, 0.25])
BIAS = np.array([0.2, 0.1, -0.3])
FACTOR = np.array([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.2, 0.6]])
COVARIANCE = FACTOR @ FACTOR.T
STEPS = 7.0


def block_sums(gradients, truth=TRUTH, steps=None):
    """Sums over contiguous blocks of replicates, by their definition."""
    R = len(gradients)
    K = n_blocks(R)
    blocks = [np.flatnonzero(np.arange(R) * K // R == b) for b in range(K)]
    steps = np.full(R, STEPS) if steps is None else steps
    error = gradients - truth
    with np.errstate(invalid="ignore", divide="ignore"):
        norms = np.linalg.norm(gradients, axis=1) * np.linalg.norm(truth)
        cosine = np.where(norms > 0, gradients @ truth / norms, 0.0)
    per_replicate = [np.ones(R), (error**2).sum(axis=1), cosine, gradients @ truth > 0, steps]
    sums = [np.array([column[b].sum() for b in blocks], float) for column in per_replicate]
    total = np.stack([error[b].sum(axis=0) for b in blocks])
    return BlockSums(*sums, gram=total @ total.T)


def gaussian(R, seed, bias=BIAS):
    return TRUTH + bias + np.random.default_rng(seed).standard_normal((R, 3)) @ FACTOR.T


def repeated(repetitions, R, bias=BIAS):
    """Summaries of independent experiments of R replicates."""
    truth_squared = float(TRUTH @ TRUTH)
    return [
        summarise(block_sums(gaussian(R, seed, bias)), truth_squared) for seed in range(repetitions)
    ]


@pytest.fixture(scope="module")
def experiments():
    """A thousand experiments of 320 replicates."""
    return repeated(1000, 320)


@pytest.mark.parametrize("R", [2, 20, 32, 33, 500])
def test_values_are_their_definitions(R):
    gradients = gaussian(R, seed=1)
    steps = np.random.default_rng(2).integers(1, 20, R).astype(float)
    summary = summarise(block_sums(gradients, steps=steps), float(TRUTH @ TRUTH))
    variance = gradients.var(axis=0, ddof=1).sum()
    squared = ((gradients - TRUTH) ** 2).sum(axis=1).mean()
    bias_squared = ((gradients.mean(axis=0) - TRUTH) ** 2).sum() - variance / R
    norms = np.linalg.norm(gradients, axis=1) * np.linalg.norm(TRUTH)
    expected = {
        "bias_squared": bias_squared,
        "bias": np.sign(bias_squared) * np.sqrt(abs(bias_squared)),
        "relative_bias": np.sign(bias_squared) * np.sqrt(abs(bias_squared) / (TRUTH @ TRUTH)),
        "variance": variance,
        "mse": squared,
        "rmse": np.sqrt(squared),
        "relative_variance": variance / (TRUTH @ TRUTH),
        "relative_rmse": np.sqrt(squared / (TRUTH @ TRUTH)),
        "snr": TRUTH @ TRUTH / variance,
        "cosine": (gradients @ TRUTH / norms).mean(),
        "ascent_probability": (gradients @ TRUTH > 0).mean(),
        "steps": steps.mean(),
        "work_normalised_variance": variance * steps.mean(),
    }
    assert summary.keys() == expected.keys() == {*STATISTICS, "bias", "relative_bias"}
    for name, value in expected.items():
        assert summary[name].value == pytest.approx(value, rel=1e-10), name


@given(st.integers(2, 200), st.integers(0, 2**32))
def test_mean_squared_error_is_bias_squared_and_variance(R, seed):
    """With bias² corrected for noise, MSE = bias² + variance holds exactly in the sample."""
    summary = summarise(block_sums(gaussian(R, seed)), float(TRUTH @ TRUTH))
    total = summary["bias_squared"].value + summary["variance"].value
    assert summary["mse"].value == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize("bias", [np.zeros(3), BIAS], ids=["unbiased", "biased"])
def test_bias_squared_is_unbiased(bias):
    found = [s["bias_squared"].value for s in repeated(1000, 50, bias)]
    assert abs(np.mean(found) - bias @ bias) < 4 * np.std(found) / np.sqrt(len(found))
    naive = np.mean(found) + np.trace(COVARIANCE) / 50
    assert abs(naive - bias @ bias) > 8 * np.std(found) / np.sqrt(len(found))


def test_variance_is_unbiased(experiments):
    found = np.array([s["variance"].value for s in experiments])
    assert abs(found.mean() - np.trace(COVARIANCE)) < 4 * found.std() / np.sqrt(found.size)


@pytest.mark.parametrize(
    "name", ["bias_squared", "bias", "variance", "mse", "rmse", "cosine", "ascent_probability", "snr"]
)
def test_standard_error_is_the_spread_of_the_statistic(experiments, name):
    """The spread of 1000 repetitions is itself known to 1/√2000 = 2.2 %; bound: four times that."""
    values = np.array([s[name].value for s in experiments])
    errors = np.array([s[name].se for s in experiments])
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=4 / np.sqrt(2000))


def true_values():
    """What the statistics estimate for the Gaussian replicates of this file."""
    variance, bias_squared = np.trace(COVARIANCE), BIAS @ BIAS
    norm_squared = TRUTH @ TRUTH
    ascent = stats.norm.cdf((TRUTH + BIAS) @ TRUTH / np.sqrt(TRUTH @ COVARIANCE @ TRUTH))
    many = gaussian(4_000_000, seed=10**6)
    cosine = (many @ TRUTH / np.linalg.norm(many, axis=1)).mean() / np.sqrt(norm_squared)
    return {
        "bias_squared": bias_squared,
        "bias": np.sqrt(bias_squared),
        "relative_bias": np.sqrt(bias_squared / norm_squared),
        "variance": variance,
        "mse": bias_squared + variance,
        "rmse": np.sqrt(bias_squared + variance),
        "relative_variance": variance / norm_squared,
        "relative_rmse": np.sqrt((bias_squared + variance) / norm_squared),
        "snr": norm_squared / variance,
        "cosine": cosine,
        "ascent_probability": ascent,
        "work_normalised_variance": variance * STEPS,
    }


def test_intervals_cover_in_ninety_five_of_a_hundred(experiments):
    """Binomial bound: four standard errors of a share of 0.95 in 1000 repetitions, 2.8 %."""
    slack = 4 * np.sqrt(0.95 * 0.05 / len(experiments))
    for name, value in true_values().items():
        covered = np.mean([s[name].low <= value <= s[name].high for s in experiments])
        assert abs(covered - 0.95) < slack, (name, covered)
        # Power: a value three standard errors off is covered far less often.
        off = value + 3 * np.mean([s[name].se for s in experiments])
        assert np.mean([s[name].low <= off <= s[name].high for s in experiments]) < 0.5, name


def test_intervals_contain_their_value(experiments):
    for summary in experiments[:50]:
        for name, estimate in summary.items():
            assert estimate.low <= estimate.value <= estimate.high, name


def test_wilson_interval_at_the_ends():
    """Wilson 1927: for all of n the interval is [n/(n + z²), 1]."""
    gradients = np.broadcast_to(TRUTH, (100, 3)) + 1e-3 * gaussian(100, 3)
    estimate = summarise(block_sums(gradients), float(TRUTH @ TRUTH))["ascent_probability"]
    z = stats.norm.ppf(0.975)
    assert estimate.value == 1
    assert estimate.low == pytest.approx(100 / (100 + z**2), rel=1e-12)
    assert estimate.high == pytest.approx(1, rel=1e-12)


def test_zero_truth_has_no_relative_statistics():
    truth = np.zeros(3)
    summary = summarise(block_sums(gaussian(100, 4), truth), 0.0)
    relative = {"cosine", "ascent_probability", "relative_variance", "relative_rmse", "snr"}
    for name, estimate in summary.items():
        assert np.isnan(estimate.value) == (name in relative | {"relative_bias"}), name


@given(st.floats(1e-6, 1e6), st.integers(3, 100))
def test_statistics_scale_with_the_gradients(c, R):
    """All gradients times c: each statistic times the power of its unit."""
    gradients = gaussian(R, seed=5)
    plain = summarise(block_sums(gradients), float(TRUTH @ TRUTH))
    scaled = summarise(block_sums(c * gradients, c * TRUTH), float(c**2 * TRUTH @ TRUTH))
    powers = dict.fromkeys(("bias_squared", "variance", "mse", "work_normalised_variance"), 2)
    powers |= {"bias": 1, "rmse": 1}
    for name, estimate in plain.items():
        unit = c ** powers.get(name, 0)
        for field in ("value", "se", "low", "high"):
            expected = unit * getattr(estimate, field)
            size = unit * (abs(estimate.value) + abs(estimate.se))
            assert getattr(scaled[name], field) == pytest.approx(
                expected, rel=1e-6, abs=1e-9 * size, nan_ok=True
            ), (name, field)


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


def test_constant_directions_agree_or_reject():
    constant = np.ones((50, 2))
    assert np.isnan(mean_test(constant, np.ones(2)).p_value)
    assert mean_test(constant, np.ones(2)).directions == 0
    rejected = mean_test(constant, np.array([1.0, 1.0001]))
    assert (rejected.max_z, rejected.p_value) == (np.inf, 0.0)
    mixed = np.column_stack([np.ones(50), np.random.default_rng(0).standard_normal(50)])
    assert mean_test(mixed, np.array([1.0, 0.0])).directions == 1
    assert mean_test(mixed, np.array([1.1, 0.0])).p_value == 0


def test_directions_that_hang_on_rare_events_are_left_out():
    projections = np.zeros((1000, 2))
    projections[3, 0] = 1000.0
    projections[:, 1] = np.random.default_rng(1).standard_normal(1000)
    test = mean_test(projections, np.array([10.0, 0.0]))
    assert test.directions == 1
    assert test.p_value > 1e-3


def test_p_value_of_one_direction_is_that_of_students_t():
    """Symmetric data have no skewness, so the corrected statistic is t itself."""
    half = np.random.default_rng(2).standard_normal((40, 1))
    projections = np.concatenate([half, -half])
    expected = stats.ttest_1samp(projections[:, 0], 0.1)
    found = mean_test(projections, np.array([0.1]))
    assert found.max_z == pytest.approx(abs(expected.statistic), rel=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-10)


def test_holm_by_hand():
    """Sorted p times 4, 3, 2, 1, made monotone: .005·4, .01·3, .03·2, max(.04·1, .06)."""
    adjusted = holm([[0.01, 0.04], [0.03, 0.005]])
    np.testing.assert_allclose(adjusted, [[0.03, 0.06], [0.06, 0.02]], rtol=1e-12)


def test_holm_leaves_out_missing_tests_and_stops_at_one():
    np.testing.assert_allclose(holm([0.02, np.nan, 0.7, 0.6]), [0.06, np.nan, 1.0, 1.0])
    assert holm([]).size == 0


def test_holm_keeps_the_family_wise_error():
    """Of 1000 families of 5 true hypotheses, a share of 5 % has a rejection, four standard errors."""
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


def test_blocks_are_never_more_than_replicates():
    assert [n_blocks(R) for R in (2, 31, 32, 33, 10**6)] == [2, 31, 32, 32, 32]
