"""From replicate gradients to bias, variance and their uncertainty.

R independent replicates ĝ_1..ĝ_R ∈ R^d against the exact gradient g, cut into K ≤ 32 contiguous
blocks. Every statistic of the summary is a function of block sums, and its standard error comes
from leaving out one block at a time (Efron & Stein 1981; Shao & Tu 1995, Section 2.3). Intervals
are 95 % Student intervals with K - 1 degrees of freedom, on the logarithm where a quantity is
positive.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

FloatArray = NDArray[np.float64]

MAX_BLOCKS = 32
CONFIDENCE = 0.95
N_DIRECTIONS = 8
MIN_EFFECTIVE = 30


def n_blocks(replicates: int) -> int:
    """Number K of jackknife blocks for R replicates."""
    return min(replicates, MAX_BLOCKS)


@dataclass(frozen=True)
class Estimate:
    """A statistic with its standard error and 95 % interval."""

    value: float
    se: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class BlockSums:
    """Sums over each of K blocks of replicates, all that the summary needs.

    count (K,), squared_error Σ‖ĝ_r - g‖², cosine Σ cos(ĝ_r, g), ascents Σ 1[ĝ_r·g > 0],
    steps Σ environment steps, and gram (K, K) of the vectors Σ_{r∈b} (ĝ_r - g).
    """

    count: FloatArray
    squared_error: FloatArray
    cosine: FloatArray
    ascents: FloatArray
    steps: FloatArray
    gram: FloatArray

    @classmethod
    def from_running(cls, block_scalars: FloatArray, block_error: FloatArray) -> "BlockSums":
        """From the (K, 5) and (K, d) arrays of ``kernels.running.RunningMoments``."""
        # einsum, not BLAS: the sums must not depend on a library's number of threads.
        gram = np.einsum("id,jd->ij", block_error, block_error)
        count, error, cosine, ascents, steps = np.ascontiguousarray(block_scalars.T)
        return cls(count, error, cosine, ascents, steps, gram)


@dataclass(frozen=True, eq=False)
class Totals:
    """What the statistics are functions of, for one or several subsets of the replicates."""

    n: FloatArray
    mean_error_squared: FloatArray
    squared_error: FloatArray
    cosine: FloatArray
    ascents: FloatArray
    steps: FloatArray
    truth_squared: float

    @property
    def variance(self) -> FloatArray:
        """tr(Σ̂), unbiased."""
        scatter = self.squared_error - self.mean_error_squared
        # What cancels to rounding is no variance.
        scatter = np.where(scatter > 1e-13 * self.squared_error, scatter, 0.0)
        return scatter * self.n / (self.n - 1)

    @property
    def bias_squared(self) -> FloatArray:
        """‖ḡ - g‖² - tr(Σ̂)/R, unbiased for ‖E ĝ - g‖²; may be negative."""
        return self.mean_error_squared - self.variance / self.n


def _signed_root(x: FloatArray) -> FloatArray:
    return np.sign(x) * np.sqrt(np.abs(x))


def _totals(sums: BlockSums, weights: FloatArray, truth_squared: float) -> Totals:
    """Totals of the subsets given by 0/1 rows of ``weights`` (m, K)."""
    n = weights @ sums.count
    return Totals(
        n=n,
        mean_error_squared=np.einsum("mi,ij,mj->m", weights, sums.gram, weights) / n**2,
        squared_error=weights @ sums.squared_error / n,
        cosine=weights @ sums.cosine / n,
        ascents=weights @ sums.ascents / n,
        steps=weights @ sums.steps / n,
        truth_squared=truth_squared,
    )


@dataclass(frozen=True)
class Statistic:
    """A function of the totals, and the scale on which its interval is symmetric."""

    function: Callable[[Totals], FloatArray]
    scale: str = "linear"


STATISTICS: Mapping[str, Statistic] = {
    "bias_squared": Statistic(lambda t: t.bias_squared),
    "variance": Statistic(lambda t: t.variance, "log"),
    "mse": Statistic(lambda t: t.squared_error, "log"),
    "rmse": Statistic(lambda t: np.sqrt(t.squared_error), "log"),
    "relative_variance": Statistic(lambda t: t.variance / t.truth_squared, "log"),
    "relative_rmse": Statistic(lambda t: np.sqrt(t.squared_error / t.truth_squared), "log"),
    "snr": Statistic(lambda t: t.truth_squared / t.variance, "log"),
    "cosine": Statistic(lambda t: t.cosine),
    "ascent_probability": Statistic(lambda t: t.ascents, "proportion"),
    "steps": Statistic(lambda t: t.steps, "log"),
    "work_normalised_variance": Statistic(lambda t: t.variance * t.steps, "log"),
}
"""Every statistic with a jackknife interval; bias itself is the signed root of ``bias_squared``."""


def summarise(sums: BlockSums, truth_squared: float) -> dict[str, Estimate]:
    """Every statistic of ``STATISTICS`` and the bias, with standard errors and intervals.

    Statistics relative to ‖g‖ are NaN where g is zero; the direction statistics then are too.
    """
    K = sums.count.size
    everything = _totals(sums, np.ones((1, K)), truth_squared)
    leave_one_out = _totals(sums, 1 - np.eye(K), truth_squared)
    quantile = float(stats.t.ppf(0.5 + CONFIDENCE / 2, max(K - 1, 1)))
    summary = {}
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for name, statistic in STATISTICS.items():
            value = float(statistic.function(everything)[0])
            deleted = statistic.function(leave_one_out)
            se = float(np.sqrt((K - 1) / K * np.sum((deleted - deleted.mean()) ** 2)))
            low, high = _interval(statistic.scale, value, se, quantile, float(sums.count.sum()))
            summary[name] = Estimate(value, se, low, high)
    if truth_squared == 0:
        for name in ("cosine", "ascent_probability", "relative_variance", "relative_rmse", "snr"):
            summary[name] = Estimate(np.nan, np.nan, np.nan, np.nan)
    squared = summary["bias_squared"]
    bias = _signed_root(np.array([squared.value, squared.low, squared.high]))
    norm = np.sqrt(truth_squared) if truth_squared > 0 else np.nan
    slope = 2 * abs(bias[0])
    for name, unit in (("bias", 1.0), ("relative_bias", norm)):
        se = squared.se / slope if slope > 0 else np.nan
        summary[name] = Estimate(*(float(x / unit) for x in (bias[0], se, bias[1], bias[2])))
    return summary


def _interval(
    scale: str, value: float, se: float, quantile: float, n: float
) -> tuple[float, float]:
    if scale == "log" and value > 0:
        factor = float(np.exp(quantile * se / value))
        return value / factor, value * factor
    if scale == "proportion" and np.isfinite(value):
        # Wilson's interval does not collapse at 0 and 1.
        z2 = float(stats.norm.ppf(0.5 + CONFIDENCE / 2)) ** 2
        middle = (value + z2 / (2 * n)) / (1 + z2 / n)
        half = float(np.sqrt(z2 * (value * (1 - value) / n + z2 / (4 * n * n)))) / (1 + z2 / n)
        return middle - half, middle + half
    return value - quantile * se, value + quantile * se


def directions(d: int, g: FloatArray) -> FloatArray:
    """Directions (m, d), m ≤ 9, along which means are tested: 8 fixed ones and the exact gradient.

    The fixed ones are rows of a cosine basis with random signs: orthogonal, dense, the same for
    every estimator, and a complete basis for d ≤ 8. A single coordinate of a large problem often
    hangs on events that R replicates never see, and its z-score then has no normal limit; along a
    dense direction all coordinates add up and it has.
    """
    m = min(d, N_DIRECTIONS)
    signs = np.random.default_rng(19930501).choice([-1.0, 1.0], size=d)
    angles = np.pi / d * np.outer(np.arange(m), np.arange(d) + 0.5)
    basis = signs * np.cos(angles) / np.sqrt(d)
    return np.vstack([basis, g / np.linalg.norm(g)]) if g.any() else basis


@dataclass(frozen=True)
class MeanTest:
    """Test of a mean: largest |z|, p-value corrected for the number of directions tested."""

    max_z: float
    p_value: float
    directions: int


def mean_test(projections: FloatArray, expected: FloatArray) -> MeanTest:
    """Test that E ĝ is as expected, along each of m directions.

    The t statistic of a direction is corrected for skewness (Hall 1992, eq. 2.2) and compared with
    Student's t; the smallest p-value is corrected for the number of directions (Šidák 1967). A
    direction whose kurtosis leaves fewer than 30 effective replicates, R/κ, is not tested; so with
    fewer than 90 replicates none is. One that never varied is not tested either: it may hang on an
    event that no replicate saw.

    Parameters
    ----------
    projections
        (R, m) float64, replicates projected on the directions, reward per unit of θ.
    expected
        (m,) float64, the mean under test, projected likewise.
    """
    R = projections.shape[0]
    mean = projections.mean(axis=0)
    deviation = projections - mean
    variance = (deviation**2).sum(axis=0) / (R - 1)
    rounding = 1e-10 * max(np.abs(projections).max(), np.abs(expected).max())
    constant = np.sqrt(variance) <= rounding
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = (deviation**3).mean(axis=0) / variance**1.5
        kurtosis = (deviation**4).mean(axis=0) / variance**2
        t = np.sqrt(R) * (mean - expected) / np.sqrt(variance)
        z = np.abs(t + skewness / np.sqrt(R) * (t**2 / 3 + 1 / 6) + skewness**2 * t**3 / (27 * R))
    tested = ~constant & (R / kurtosis >= MIN_EFFECTIVE)
    m = int(tested.sum())
    if m == 0:
        return MeanTest(np.nan, np.nan, 0)
    largest = float(z[tested].max())
    smallest = 2 * float(stats.t.sf(largest, R - 1))
    return MeanTest(largest, float(-np.expm1(m * np.log1p(-min(smallest, 1 - 1e-16)))), m)


def holm(p_values: ArrayLike) -> FloatArray:
    """Adjusted p-values of an array of any shape; NaN entries are not tests (Holm 1979)."""
    p = np.asarray(p_values, np.float64)
    adjusted = np.full(p.shape, np.nan)
    valid = np.isfinite(p)
    values = p[valid]
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate((values.size - np.arange(values.size)) * values[order])
    result = np.empty(values.size)
    result[order] = np.minimum(steps, 1.0)
    adjusted[valid] = result
    return adjusted


@dataclass(frozen=True)
class Rate:
    """Fitted exponent of y ∝ n^slope with its 95 % interval."""

    slope: float
    low: float
    high: float
    intercept: float


def fit_rate(n: ArrayLike, y: ArrayLike, se: ArrayLike) -> Rate:
    """Slope of log y against log n, weighted by the standard errors of independent y.

    Points that are not positive and finite are left out; with fewer than two left every field is
    NaN. The interval reflects the standard errors alone, not a departure from a straight line.
    """
    n, y, se = (np.asarray(x, np.float64) for x in (n, y, se))
    good = (n > 0) & (y > 0) & (se > 0) & np.isfinite(y * se)
    if good.sum() < 2 or np.unique(n[good]).size < 2:
        return Rate(np.nan, np.nan, np.nan, np.nan)
    x, values, weight = np.log(n[good]), np.log(y[good]), (y[good] / se[good]) ** 2
    x_mean, y_mean = np.average(x, weights=weight), np.average(values, weights=weight)
    spread = np.sum(weight * (x - x_mean) ** 2)
    slope = float(np.sum(weight * (x - x_mean) * (values - y_mean)) / spread)
    half = float(stats.norm.ppf(0.5 + CONFIDENCE / 2) / np.sqrt(spread))
    return Rate(slope, slope - half, slope + half, float(y_mean - slope * x_mean))


MIN_SCORES = 8
"""Fewer z-scores are not tested for their distribution."""


def normality(scores: ArrayLike) -> FloatArray:
    """Adjusted p-values (m,) of standard normal z-scores (..., m), a test per last index.

    Kolmogorov's test of the finite scores against N(0, 1), corrected over the m tests by Holm's
    method. The scores of a test must be independent; those of different tests need not be. NaN
    where fewer than 8 are finite.
    """
    z = np.asarray(scores, np.float64)
    columns = z.reshape(-1, z.shape[-1]).T
    p = np.full(len(columns), np.nan)
    for i, column in enumerate(columns):
        own = column[np.isfinite(column)]
        if own.size >= MIN_SCORES:
            p[i] = stats.kstest(own, "norm").pvalue
    return holm(p)
