"""Statistics of replicates: definitions, unbiasedness, standard errors and coverage."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pgbench.statistics import (
    Sample,
    block_sizes,
    least_share,
    mean_interval,
    n_blocks,
    summarise,
    tail_shape,
)
from pgbench.statistics.proportions import wilson
from pgbench.statistics.sample import MIN_SHARE, MIN_SHARED
from pgbench.statistics.squared_bias import bias_squared

TRUTH = np.array([1.0, -0.5, 0.25])
BIAS = np.array([0.2, 0.1, -0.3])
FACTOR = np.array([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.2, 0.6]])
COVARIANCE = FACTOR @ FACTOR.T
STEPS = 7.0


def sample(gradients, truth=TRUTH, steps=None, expected=None):
    """What the summary needs, by its definition."""
    R, d = gradients.shape
    K = n_blocks(R)
    steps = np.full(R, STEPS) if steps is None else steps
    expected = gradients.mean(axis=0) if expected is None else expected
    error = gradients - truth
    norms = np.linalg.norm(gradients, axis=1) * np.linalg.norm(truth)
    cosine = np.divide(gradients @ truth, norms, out=np.zeros(R), where=norms > 0)
    total = np.stack([error[np.arange(R) * K // R == b].sum(axis=0) for b in range(K)])
    return Sample(
        squared_error=(error**2).sum(axis=1),
        squared_deviation=((gradients - expected) ** 2).sum(axis=1),
        cosine=cosine,
        ascent=(gradients @ truth > 0).astype(float),
        steps=steps,
        variance=gradients.var(axis=0, ddof=1).sum(),
        gram=total @ total.T,
        sizes=block_sizes(R, K, R),
        d=d,
        truth_squared=float(truth @ truth),
        exact_bias_squared=((expected - truth) ** 2).sum(),
    )


def gaussian(R, seed, bias=BIAS):
    return TRUTH + bias + np.random.default_rng(seed).standard_normal((R, 3)) @ FACTOR.T


def repeated(repetitions, R, bias=BIAS):
    """Summaries of independent experiments of R replicates."""
    return [
        summarise(sample(gaussian(R, seed, bias), expected=TRUTH + bias))
        for seed in range(repetitions)
    ]


@pytest.fixture(scope="module")
def experiments():
    """A thousand experiments of 320 replicates."""
    return repeated(1000, 320)


@pytest.mark.parametrize("R", [2, 20, 32, 33, 500])
def test_values_are_their_definitions(R):
    gradients = gaussian(R, seed=1)
    steps = np.random.default_rng(2).integers(1, 20, R).astype(float)
    summary = summarise(sample(gradients, steps=steps))
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
    assert summary.keys() == expected.keys()
    for name, value in expected.items():
        assert summary[name].value == pytest.approx(value, rel=1e-10), name


@given(st.integers(2, 200), st.integers(0, 2**32))
def test_mean_squared_error_is_bias_squared_and_variance(R, seed):
    """With bias² corrected for noise, MSE = bias² + variance holds exactly in the sample."""
    summary = summarise(sample(gaussian(R, seed)))
    total = summary["bias_squared"].value + summary["variance"].value
    assert summary["mse"].value == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize("bias", [np.zeros(3), BIAS], ids=["unbiased", "biased"])
def test_bias_squared_is_unbiased(bias):
    made = (sample(gaussian(50, seed, bias), expected=TRUTH + bias) for seed in range(1000))
    found = [bias_squared(data).value for data in made]
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


@pytest.mark.parametrize("name", ["mse", "cosine", "steps"])
def test_standard_error_of_a_mean_is_that_of_its_numbers(name):
    gradients, steps = gaussian(160, 9), np.random.default_rng(9).random(160)
    data = sample(gradients, steps=steps)
    x = {"mse": data.squared_error, "cosine": data.cosine, "steps": steps}[name]
    assert summarise(data)[name].se == pytest.approx(x.std(ddof=1) / np.sqrt(160), rel=1e-12)


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


def test_interval_of_an_invisible_bias_starts_at_zero():
    """A squared bias estimated below 0 keeps its sign; the norm's interval begins at 0."""
    made = (sample(gaussian(320, seed, np.zeros(3)), expected=TRUTH) for seed in range(200))
    negative = [found for found in map(bias_squared, made) if found.value < 0]
    assert len(negative) > 50
    for estimate in negative:
        assert estimate.value < 0 == estimate.low < estimate.high
        # It never claims more than an estimate of 0 would: noise does not rule out all bias.
        assert estimate.high > 0.5 * np.trace(COVARIANCE) / 320


def jackknife(gradients, truth=TRUTH):
    """Symmetric 95 % interval of ‖bias‖² from leaving out one of 32 blocks at a time."""
    K = 32

    def statistic(kept):
        error = kept - truth
        variance = kept.var(axis=0, ddof=1).sum() / len(kept)
        return (error.mean(axis=0) ** 2).sum() - variance

    block = np.arange(len(gradients)) * K // len(gradients)
    deleted = np.array([statistic(gradients[block != b]) for b in range(K)])
    half = stats.t.ppf(0.975, K - 1) * np.sqrt((K - 1) * deleted.var())
    return statistic(gradients) - half, statistic(gradients) + half


FLAT = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [1e-3, 0.0, 0.0]])


@pytest.mark.parametrize("size", [0.0, 1.0, 3.0, 30.0])
@pytest.mark.parametrize("factor", [FACTOR, FLAT], ids=["full rank", "one direction"])
def test_interval_of_the_bias_covers_at_least_as_stated(factor, size):
    """Bias of so many standard errors. Binomial bound: four standard errors in 400 repetitions.

    Where noise hides the bias the interval holds it in 97.5 of a hundred and more.
    """
    bias = size / np.sqrt(320) * factor[:, 0]
    slack = 4 * np.sqrt(0.95 * 0.05 / 400)
    covered = 0
    for seed in range(400):
        noise = np.random.default_rng(seed).standard_normal((320, 3)) @ factor.T
        data = sample(TRUTH + bias + noise, expected=TRUTH + bias)
        estimate = bias_squared(data)
        covered += estimate.low <= bias @ bias <= estimate.high
    assert covered / 400 > 0.95 - slack
    if size == 30:
        assert covered / 400 < 0.95 + slack


def test_jackknife_interval_of_the_bias_does_not_cover():
    """The same bound fails for a symmetric interval, where noise has one direction."""
    covered = 0
    for seed in range(400):
        noise = np.random.default_rng(seed).standard_normal((320, 3)) @ FLAT.T
        low, high = jackknife(TRUTH + noise)
        covered += low <= 0 <= high
    assert covered / 400 < 0.95 - 4 * np.sqrt(0.95 * 0.05 / 400)


def test_interval_of_a_skewed_mean_covers():
    """Squared errors are skewed: Hall's interval covers, Student's does not.

    Lognormal numbers, 400 at a time; bound: four standard errors of 2000 repetitions.
    """
    rng, slack = np.random.default_rng(7), 4 * np.sqrt(0.95 * 0.05 / 2000)
    covered = plain = 0
    for _ in range(2000):
        x = rng.lognormal(sigma=1.0, size=400)
        estimate, mean = mean_interval(x), np.exp(0.5)
        covered += estimate.low <= mean <= estimate.high
        plain += abs(x.mean() - mean) <= stats.t.ppf(0.975, 399) * estimate.se
    assert abs(covered / 2000 - 0.95) < slack
    assert plain / 2000 < 0.95 - slack


def test_interval_of_a_symmetric_mean_is_students():
    half = np.random.default_rng(0).standard_normal(50)
    x = np.concatenate([half, -half]) + 3
    expected = stats.t.interval(0.95, 99, x.mean(), x.std(ddof=1) / 10)
    found = mean_interval(x)
    np.testing.assert_allclose([found.low, found.high], expected, rtol=1e-12)


def test_no_interval_where_too_few_replicates_carry_the_spread():
    """One event among 1000 has R/κ ≈ 1, two have 2; what never varied may hang on unseen events."""
    for events, known in ((0, False), (1, False), (3, True), (30, True)):
        x = np.where(np.arange(1000) < events, 5.0, 1.0)
        estimate = mean_interval(x)
        assert estimate.value == pytest.approx(x.mean())
        assert np.isfinite([estimate.se, estimate.low, estimate.high]).all() == known
    assert MIN_SHARED == 2


def test_interval_within_bounds_where_events_are_rare_covers():
    """One event in 2000, 1000 at a time: given always, and 95 of a hundred hold the mean.

    Hall's alone, given where there were two events, holds it in far fewer. Bound: four standard
    errors of 4000 repetitions.
    """
    rng, slack = np.random.default_rng(3), 4 * np.sqrt(0.95 * 0.05 / 4000)
    x = (rng.random((4000, 1000)) < 1 / 2000).astype(float)
    found = [mean_interval(row, bounds=(-1.0, 1.0)) for row in x]
    hits = np.array([e.low <= 1 / 2000 <= e.high for e in found])
    assert hits.mean() > 0.95 - slack
    assert hits[x.sum(axis=1) > 1].mean() < 0.95 - slack
    assert all(-1 <= e.low <= e.value <= e.high < 0.05 for e in found)
    # Maurer & Pontil 2009, Theorem 4, for 1000 zeros: 7 · 2 log 80 / (3 · 999).
    assert mean_interval(np.zeros(1000), bounds=(-1.0, 1.0)).high == pytest.approx(
        14 * np.log(80) / 2997
    )


def test_steps_that_never_vary_are_known_exactly():
    steps = summarise(sample(gaussian(100, 3)))["steps"]
    assert (steps.value, steps.se, steps.low, steps.high) == (STEPS, 0, STEPS, STEPS)


def test_replicates_that_never_vary_have_no_intervals():
    """All the same by chance or by nature: the replicates cannot tell."""
    gradients = np.tile(TRUTH + BIAS, (100, 1))
    summary = summarise(sample(gradients, expected=TRUTH + BIAS))
    assert summary["variance"].value == pytest.approx(0, abs=1e-25)
    assert summary["bias_squared"].value == pytest.approx(BIAS @ BIAS)
    for name in ("variance", "mse", "bias", "work_normalised_variance"):
        assert np.isnan([summary[name].low, summary[name].high]).all(), name


def test_mean_that_is_exactly_the_truth_has_an_interval():
    half = np.round(1024 * gaussian(50, 8, np.zeros(3)) - 1024 * TRUTH) / 1024
    estimate = summarise(sample(TRUTH + np.concatenate([half, -half]), expected=TRUTH))["bias"]
    assert estimate.value < 0 == estimate.low < estimate.high < np.inf


def test_interval_of_a_bias_far_above_the_noise():
    """There it is ‖b‖ ± 1.96 standard errors along it, in every approximation of the law."""
    for size in (3.0, 6.0, 30.0, 1e3):
        data = sample(TRUTH + gaussian(400, 2, size * FACTOR[:, 0]) - TRUTH)
        estimate = summarise(data)["bias"]
        half = (estimate.high - estimate.low) / 2
        assert estimate.low < estimate.value < estimate.high
        assert half == pytest.approx(stats.norm.ppf(0.975) * estimate.se, rel=0.25)


def test_interval_of_a_share_at_the_ends():
    """Clopper & Pearson 1934: for all of n the interval is [0.025^(1/n), 1]."""
    gradients = np.broadcast_to(TRUTH, (100, 3)) + 1e-3 * gaussian(100, 3)
    estimate = summarise(sample(gradients))["ascent_probability"]
    assert estimate.value == 1
    assert estimate.low == pytest.approx(0.025**0.01, rel=1e-12)
    assert estimate.high == 1


@pytest.mark.parametrize("p", [8e-4, 0.02, 0.3, 1 - 8e-4])
def test_interval_of_a_share_covers_exactly(p):
    """By the binomial law of 200 replicates, at each share; Wilson's holds .0008 in 85 of 100."""
    R, z2 = 200, stats.norm.ppf(0.975) ** 2
    weights = stats.binom.pmf(np.arange(R + 1), R, p)
    own, wilson = np.zeros(R + 1, bool), np.zeros(R + 1, bool)
    for k in range(R + 1):
        ascent = (np.arange(R) < k).astype(float)
        data = replace(sample(gaussian(R, 0)), ascent=ascent)
        estimate = summarise(data)["ascent_probability"]
        own[k] = estimate.low <= p <= estimate.high
        middle, half = (k / R + z2 / (2 * R)) / (1 + z2 / R), 0.0
        half = np.sqrt(z2 * (k / R * (1 - k / R) / R + z2 / (4 * R * R))) / (1 + z2 / R)
        wilson[k] = abs(p - middle) <= half
    assert weights @ own >= 0.95
    if p in (8e-4, 1 - 8e-4):
        assert weights @ wilson < 0.9


def test_zero_truth_has_no_relative_statistics():
    summary = summarise(sample(gaussian(100, 4), np.zeros(3)))
    relative = {"cosine", "ascent_probability", "relative_variance", "relative_rmse", "snr"}
    for name, estimate in summary.items():
        assert np.isnan(estimate.value) == (name in relative | {"relative_bias"}), name


@given(st.floats(1e-6, 1e6), st.integers(3, 100))
def test_statistics_scale_with_the_gradients(c, R):
    """All gradients times c: each statistic times the power of its unit."""
    gradients = gaussian(R, seed=5)
    plain, scaled = summarise(sample(gradients)), summarise(sample(c * gradients, c * TRUTH))
    powers = dict.fromkeys(("bias_squared", "variance", "mse", "work_normalised_variance"), 2)
    powers |= {"bias": 1, "rmse": 1}
    for name, estimate in plain.items():
        unit = c ** powers.get(name, 0)
        for field in ("value", "se", "low", "high"):
            expected = unit * getattr(estimate, field)
            size = unit * (abs(estimate.value) + np.nan_to_num(estimate.se))
            assert getattr(scaled[name], field) == pytest.approx(
                expected, rel=1e-6, abs=1e-9 * size, nan_ok=True
            ), (name, field)


def test_blocks_are_never_more_than_replicates():
    assert [n_blocks(R) for R in (2, 31, 32, 33, 10**6)] == [2, 31, 32, 32, 32]


def test_a_sample_that_missed_the_rare_events_has_no_interval_of_its_spread():
    """Where the exact variance is twice the measured one, events of weight were not seen."""
    seen = sample(gaussian(400, 3), expected=TRUTH + BIAS)
    names = ("variance", "mse", "rmse", "snr", "bias", "bias_squared", "work_normalised_variance")
    for factor, known in ((1.9, True), (2.1, False), (np.nan, True)):
        summary = summarise(replace(seen, exact_variance=factor * seen.variance))
        for name in names:
            assert np.isfinite(summary[name].low) == known, name
            assert np.isfinite(summary[name].value)
        assert np.isfinite(summary["cosine"].low)


SPREAD = ("variance", "mse", "rmse", "snr", "bias", "bias_squared", "work_normalised_variance")


def heavy(seed, shape, R=300):
    """Replicates whose squared deviations are lognormal."""
    rng = np.random.default_rng(seed)
    length = np.exp(shape / 2 * rng.standard_normal((R, 1)))
    return TRUTH + BIAS + length * rng.choice([-1.0, 1.0], (R, 1)) * FACTOR[:1]


def test_upper_end_is_where_the_least_share_of_a_heavy_tail_puts_it():
    """Half at least where the exact variance confirms the measured one, and the value stays."""
    seen = sample(heavy(2, 2.2), expected=TRUTH + BIAS)
    share = least_share(tail_shape(seen.squared_deviation), 300)
    assert share < 0.5
    alone = summarise(seen)["variance"]
    checked = summarise(replace(seen, exact_variance=seen.variance))["variance"]
    hall = mean_interval(seen.squared_deviation, seen.variance)
    mean = seen.squared_deviation.mean()
    assert alone.high == pytest.approx(max(hall.high, seen.variance + mean * (1 / share - 1)))
    assert checked.high == pytest.approx(max(hall.high, seen.variance + mean))
    for estimate in (alone, checked):
        assert (estimate.value, estimate.se, estimate.low) == (hall.value, hall.se, hall.low)


def test_intervals_of_light_tails_are_halls():
    seen = sample(gaussian(300, 3), expected=TRUTH + BIAS)
    hall = mean_interval(seen.squared_deviation, seen.variance)
    assert summarise(seen)["variance"] == hall


def test_tails_too_heavy_for_the_sample_have_no_interval():
    """Unless the exact variance says that the replicates saw what there is."""
    seen = sample(heavy(8, 5.0), expected=TRUTH + BIAS)
    assert least_share(tail_shape(seen.squared_deviation), 300) < MIN_SHARE
    assert seen.unseen.startswith("the tail is too heavy:")
    confirmed = replace(seen, exact_variance=seen.variance)
    assert confirmed.unseen == ""
    for name in SPREAD:
        assert np.isnan(summarise(seen)[name].low), name
        assert np.isfinite(summarise(confirmed)[name].low), name


def test_products_of_ratios_have_an_interval_only_beside_an_exact_variance():
    seen = replace(sample(gaussian(400, 3), expected=TRUTH + BIAS), unbounded=True)
    assert seen.unseen.startswith("a product of ratios without bound")
    confirmed = replace(seen, exact_variance=seen.variance)
    for name in SPREAD:
        assert np.isnan(summarise(seen)[name].low), name
        assert np.isfinite(summarise(confirmed)[name].low), name
    assert np.isfinite(summarise(seen)["cosine"].low)


def test_reasons_for_no_interval():
    """Numbers come after a colon, so that the same reasons can be counted."""
    few = sample(np.vstack([np.zeros((99, 3)), np.ones((1, 3))]), expected=np.zeros(3))
    assert few.unseen == "fewer than 2 effective replicates carry the spread"
    missed = replace(sample(gaussian(400, 3)), exact_variance=100.0)
    assert missed.unseen.split(":")[0] == "rare events were not seen"
    assert sample(gaussian(400, 3)).unseen == ""


@pytest.mark.parametrize(("ones", "n"), [(0, 7), (7, 7), (1, 30), (500, 1000)])
def test_wilsons_interval_of_a_share(ones, n):
    expected = stats.binomtest(ones, n).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson(ones, n), expected, rtol=1e-12, atol=1e-15)
