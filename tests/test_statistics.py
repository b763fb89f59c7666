"""Statistics of replicates: definitions, unbiasedness, standard errors and coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pgbench.statistics import STATISTICS, BlockSums, n_blocks, normality, summarise

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
    "name",
    ["bias_squared", "bias", "variance", "mse", "rmse", "cosine", "ascent_probability", "snr"],
)
def test_standard_error_is_the_spread_of_the_statistic(experiments, name):
    """The spread of 1000 repetitions is itself known to 1/√2000 = 2.2 %; bound: four times that."""
    values = np.array([s[name].value for s in experiments])
    errors = np.array([s[name].se for s in experiments])
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=4 / np.sqrt(2000))


@pytest.mark.parametrize("name", ["mse", "cosine", "ascent_probability", "steps"])
def test_standard_error_of_a_mean_is_that_of_the_block_means(name):
    """For a mean over equal blocks the jackknife is exact: sd of the block means over √K."""
    gradients, steps = gaussian(32 * 5, 9), np.random.default_rng(9).random(32 * 5)
    sums = block_sums(gradients, steps=steps)
    column = {"mse": "squared_error", "ascent_probability": "ascents"}.get(name, name)
    means = getattr(sums, column) / 5
    found = summarise(sums, float(TRUTH @ TRUTH))[name].se
    assert found == pytest.approx(means.std(ddof=1) / np.sqrt(32), rel=1e-10)


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


def test_blocks_are_never_more_than_replicates():
    assert [n_blocks(R) for R in (2, 31, 32, 33, 10**6)] == [2, 31, 32, 32, 32]


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
