"""From replicate gradients to bias, variance and their uncertainty.

R independent replicates ĝ_1..ĝ_R ∈ R^d against the exact gradient g. Most statistics are means of
one number per replicate, or monotone functions of such a mean; their 95 % intervals invert the t
statistic corrected for skewness (Hall 1992), and reach as far up as a heavy tail may have hidden
(``tails``). ``docs/statistics.md`` says how often intervals cover.
"""

from dataclasses import replace

import numpy as np
from scipy import special

from pgbench.arrays import FloatArray
from pgbench.statistics.estimate import CONFIDENCE, NOTHING, Estimate
from pgbench.statistics.proportions import clopper_pearson
from pgbench.statistics.sample import MIN_SHARED, MISSED, Sample, share_held, spread
from pgbench.statistics.skewness import inverse_corrected, skewness_of_mean
from pgbench.statistics.squared_bias import bias_squared


def summarise(sample: Sample) -> dict[str, Estimate]:
    """Every statistic with standard error and interval, by the names of ``results.VARIABLES``.

    ``bias_squared`` is ‖ḡ - g‖² - tr(Σ̂)/R, unbiased for ‖E ĝ - g‖²; it may be negative, while its
    interval, an interval of a squared norm, begins at 0 or above. Where rare events were or may be
    ``unseen`` nothing that hangs on the spread has an interval. Statistics relative to ‖g‖ are NaN
    where g is zero; the direction statistics then are too.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        norm = np.sqrt(sample.truth_squared or np.float64(np.nan))
        half = np.float64(0.5)
        mse = _of_spread(sample, sample.squared_error)
        variance = _of_spread(sample, sample.squared_deviation, sample.variance)
        steps = mean_interval(sample.steps)
        if np.ptp(sample.steps) == 0:
            steps = Estimate(steps.value, 0.0, steps.value, steps.value)
        rmse = mse.map(_root, half / _root(mse.value))
        squared = bias_squared(sample)
        bias = squared.map(_root, half / abs(_root(squared.value)))
        work = sample.squared_deviation * steps.value + sample.steps * variance.value
        summary = {
            "bias_squared": squared,
            "bias": bias,
            "relative_bias": bias.map(lambda x: x / norm, 1 / norm),
            "variance": variance,
            "mse": mse,
            "rmse": rmse,
            "relative_variance": variance.map(lambda x: x / norm**2, norm**-2),
            "relative_rmse": rmse.map(lambda x: x / norm, 1 / norm),
            "snr": variance.map(lambda x: norm**2 / x, norm**2 / variance.value**2),
            "cosine": mean_interval(sample.cosine, bounds=(-1.0, 1.0)),
            "ascent_probability": _proportion(sample.ascent),
            "steps": steps,
            "work_normalised_variance": _of_spread(sample, work, variance.value * steps.value),
        }
    if sample.truth_squared == 0:
        names = ("cosine", "ascent_probability", "relative_variance", "relative_rmse", "snr")
        summary |= dict.fromkeys((*names, "relative_bias"), NOTHING)
    return summary


def _root(x: float) -> float:
    """Root of |x| with the sign of x."""
    return float(np.sign(x) * np.sqrt(abs(x)))


def mean_interval(
    x: FloatArray,
    value: float | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """The mean of R independent numbers x (R,), with the interval of Hall (1992).

    The t statistic is corrected for skewness by a monotone cubic, which is inverted here. The
    interval is shifted to ``value`` where x is linear in the replicates only to first order, and
    cut to ``bounds``. Where fewer than ``MIN_SHARED`` effective replicates carry the spread, or x
    never varied, x may hang on an event that no replicate saw: the interval is then that of Maurer
    & Pontil (2009), which holds for every law within the bounds, or NaN without bounds.
    """
    R = x.size
    value = float(x.mean()) if value is None else value
    deviation, sd, effective = spread(x)
    if not effective >= MIN_SHARED:
        half = _bernstein(sd, R, bounds[1] - bounds[0])
        return Estimate(value, np.nan, max(value - half, bounds[0]), min(value + half, bounds[1]))
    a = float(skewness_of_mean(deviation * deviation * deviation, sd**3, R))
    se = sd / float(np.sqrt(R))
    quantile = float(special.stdtrit(R - 1, 0.5 + CONFIDENCE / 2))
    low, high = (value - se * inverse_corrected(z, a) for z in (quantile, -quantile))
    return Estimate(value, se, max(low, bounds[0]), min(high, bounds[1]))


def _bernstein(sd: float, replicates: int, width: float) -> float:
    """Half the width of an interval of a mean of numbers within bounds, NaN without bounds.

    Maurer & Pontil 2009, Theorem 4: √(2 V log(4/δ)/R) + 7 w log(4/δ)/(3 (R - 1)) for the width w of
    the bounds, δ split between both sides.
    """
    if not np.isfinite(width):
        return np.nan
    log = np.log(4 / (1 - CONFIDENCE))
    return float(sd * np.sqrt(2 * log / replicates) + 7 * width * log / (3 * (replicates - 1)))


def _of_spread(sample: Sample, x: FloatArray, value: float | None = None) -> Estimate:
    """The mean of positive x (R,) with Hall's interval, its upper end raised for a heavy tail.

    That is at least where the mean would be if the sample held the least share of it that its tail
    allows. Where the measured variance was checked against the exact one it holds half.
    """
    estimate = mean_interval(x, value, bounds=(0.0, np.inf))
    if sample.unseen:
        return Estimate(estimate.value, np.nan, np.nan, np.nan)
    share = share_held(x)
    if sample.checked:
        share = max(share, MISSED)
    highest = estimate.value + float(x.mean()) * (1 / share - 1)
    return replace(estimate, high=max(estimate.high, highest))


def _proportion(x: FloatArray) -> Estimate:
    """Share of ones, with the interval of Clopper & Pearson (1934).

    That of Wilson (1927) does not cover where shares are near 0 or 1.
    """
    n, value = x.size, float(x.mean())
    se = float(np.sqrt(value * (1 - value) / (n - 1)))
    return Estimate(value, se, *clopper_pearson(float(x.sum()), n))
