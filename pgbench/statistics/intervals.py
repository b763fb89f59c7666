"""From replicate gradients to bias, variance and their uncertainty.

R independent replicates ĝ_1..ĝ_R ∈ R^d against the exact gradient g. Most statistics are means of
one number per replicate, or monotone functions of such a mean; their 95 % intervals invert the t
statistic corrected for skewness (Hall 1992), and reach as far up as a heavy tail may have hidden
(``tails``). The interval of the squared bias inverts a noncentral χ² with fitted scale and degrees
of freedom. ``docs/statistics.md`` says how often intervals cover.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from pgbench.arrays import FloatArray
from pgbench.statistics.tails import least_share, tail_shape

MAX_BLOCKS = 32
CONFIDENCE = 0.95
N_DIRECTIONS = 8
MIN_EFFECTIVE = 30
"""A mean is tested with at least this many effective replicates R/κ, κ the sample kurtosis."""

MIN_EFFECTIVE_Z, MIN_EFFECTIVE_VARIANCE = 10, 20
"""The same for the scores against exact moments, ``mean_z`` and ``variance_test``."""

MIN_SHARED = 2.0
"""An interval is given where at least so many effective replicates R/κ carry the spread."""

MIN_SHARE = 0.05
"""Of a variance a sample must hold at least this share, by its tail, to have an interval."""

MISSED = 0.5
"""A measured variance below this share of the exact one says that rare events were not seen."""

_NORMAL = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))


def n_blocks(replicates: int) -> int:
    """Number K of blocks for R replicates."""
    return min(replicates, MAX_BLOCKS)


@dataclass(frozen=True)
class Estimate:
    """A statistic with its standard error and 95 % interval; NaN where there is none."""

    value: float
    se: float
    low: float
    high: float

    def map(self, function: Callable[[float], float], slope: float) -> "Estimate":
        """The estimate of a monotone function, whose derivative at the value is ``slope``."""
        ends = sorted(function(end) for end in (self.low, self.high))
        return Estimate(function(self.value), abs(slope) * self.se, *ends)


NOTHING = Estimate(np.nan, np.nan, np.nan, np.nan)


@dataclass(frozen=True, eq=False)
class Sample:
    """What the summary needs of R replicates.

    squared_error, squared_deviation, cosine, ascent, steps
        (R,) float64, per replicate ‖ĝ_r - g‖², ‖ĝ_r - E ĝ‖² with the exact expectation,
        cos(ĝ_r, g), 1[ĝ_r·g > 0] and environment steps.
    variance
        tr(Σ̂), unbiased.
    gram
        (K, K) float64, inner products of the K vectors Σ_{r∈b} (ĝ_r - g) of contiguous blocks.
    d
        Number of parameters.
    truth_squared, exact_bias_squared
        ‖g‖² and ‖E ĝ - g‖².
    exact_variance
        tr(Σ), NaN where it is not known.
    unbounded
        Whether an estimate is a product of ratios without bound.
    """

    squared_error: FloatArray
    squared_deviation: FloatArray
    cosine: FloatArray
    ascent: FloatArray
    steps: FloatArray
    variance: float
    gram: FloatArray
    d: int
    truth_squared: float
    exact_bias_squared: float
    exact_variance: float = np.nan
    unbounded: bool = False

    @classmethod
    def from_running(
        cls,
        scalars: FloatArray,
        squares: FloatArray,
        blocks: FloatArray,
        truth: FloatArray,
        expected: FloatArray,
        exact_variance: float = np.nan,
    ) -> "Sample":
        """From running sums.

        Parameters
        ----------
        scalars, blocks
            (R, 6) and (K, d) as in ``kernels.running.RunningSums``; blocks is overwritten.
        squares
            (d,) float64, Σ (ĝ_r - mean)².
        truth, expected, exact_variance
            g and E ĝ, (d,), and tr(Σ).
        """
        error, deviation, cosine, ascent, steps, _ = np.ascontiguousarray(scalars.T)
        variance = float(squares.sum()) / (error.size - 1)
        for block, size in zip(blocks, _block_sizes(error.size), strict=True):
            block -= size * truth
        return cls(
            squared_error=error,
            squared_deviation=deviation,
            cosine=cosine,
            ascent=ascent,
            steps=steps,
            # What cancels to rounding is no variance.
            variance=variance if variance > 1e-13 * float(error.mean()) else 0.0,
            gram=blocks @ blocks.T,
            d=truth.size,
            truth_squared=float(np.sum(truth**2)),
            exact_bias_squared=float(np.sum((expected - truth) ** 2)),
            exact_variance=exact_variance,
        )

    def about_its_mean(self) -> "Sample":
        """The same where the expectation is not known and deviations are from the replicates' mean.

        They are enlarged by R/(R-1), so that their mean is tr(Σ̂); the bias that they suggest is
        itself measured and counts as unknown.
        """
        R = self.squared_deviation.size
        larger = self.squared_deviation * (R / (R - 1))
        return replace(self, squared_deviation=larger, exact_bias_squared=np.nan)

    def without_direction(self) -> "Sample":
        """The same where g may be zero, so that nothing is relative to it."""
        return replace(self, truth_squared=0.0)

    @property
    def missed(self) -> bool:
        """Whether the measured variance is below half the exact one: rare events were not seen."""
        return self.variance < MISSED * self.exact_variance

    @property
    def checked(self) -> bool:
        """Whether an exact variance says what the replicates did not see."""
        return bool(np.isfinite(self.exact_variance))

    @cached_property
    def unseen(self) -> str:
        """Why nothing that hangs on the spread has an interval, or nothing if it has.

        Numbers come after a colon.
        """
        effective = _spread(self.squared_deviation)[2]
        if not effective >= MIN_SHARED:
            return f"fewer than {MIN_SHARED:g} effective replicates carry the spread"
        if self.missed:
            share = self.variance / self.exact_variance
            return f"rare events were not seen: {share:.2g} of the exact variance was measured"
        if self.checked:
            return ""
        if self.unbounded:
            return "a product of ratios without bound, and no exact variance to say what was missed"
        share = _least_share(self.squared_deviation)
        if share < MIN_SHARE:
            return f"the tail is too heavy: the sample may hold {share:.1g} of the variance"
        return ""


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
        bias_squared = _bias_squared(sample)
        bias = bias_squared.map(_root, half / abs(_root(bias_squared.value)))
        work = sample.squared_deviation * steps.value + sample.steps * variance.value
        summary = {
            "bias_squared": bias_squared,
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
    deviation, sd, effective = _spread(x)
    if not effective >= MIN_SHARED:
        half = _bernstein(sd, R, bounds[1] - bounds[0])
        return Estimate(value, np.nan, max(value - half, bounds[0]), min(value + half, bounds[1]))
    a = float((deviation * deviation * deviation).mean()) / sd**3 / np.sqrt(R)
    se = sd / float(np.sqrt(R))
    quantile = float(stats.t.ppf(0.5 + CONFIDENCE / 2, R - 1))
    low, high = (value - se * _inverse_corrected(z, a) for z in (quantile, -quantile))
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
    share = _least_share(x)
    if sample.checked:
        share = max(share, MISSED)
    highest = estimate.value + float(x.mean()) * (1 / share - 1)
    return replace(estimate, high=max(estimate.high, highest))


def _least_share(x: FloatArray) -> float:
    return least_share(tail_shape(x), x.size)


def _spread(x: FloatArray) -> tuple[FloatArray, float, float]:
    """Deviations from the mean (R,), standard deviation, and effective replicates R/κ.

    The last is NaN where x does not vary beyond rounding.
    """
    deviation = x - x.mean()
    sd = float(np.sqrt(np.sum(deviation**2) / (x.size - 1)))
    if not sd > 1e-10 * float(np.abs(x).max()):
        return deviation, sd, np.nan
    square = deviation * deviation
    return deviation, sd, x.size / float((square * square).mean() / sd**4)


def _corrected(t: FloatArray | float, a: FloatArray | float) -> FloatArray:
    """g(t) = t + a (t²/3 + 1/6) + a² t³/27, increasing in t, with a = γ̂/√R (Hall 1992, eq. 2.2)."""
    return np.asarray(t + a * (t**2 / 3 + 1 / 6) + a**2 * t**3 / 27)


def _inverse_corrected(z: float, a: float) -> float:
    """t with g(t) = z: g(t) = ((1 + a t/3)³ - 1)/a + a/6."""
    if abs(a) < 1e-6:
        return z - a * (z**2 / 3 + 1 / 6)
    return 3 / a * (float(np.cbrt(1 + a * (z - a / 6))) - 1)


def _proportion(x: FloatArray) -> Estimate:
    """Share of ones, with the interval of Clopper & Pearson (1934).

    It covers at every share. That of Wilson (1927), which covers on the average, does not where
    shares are near 0 or 1.
    """
    n, ones = x.size, float(x.sum())
    value, tail = float(x.mean()), (1 - CONFIDENCE) / 2
    se = float(np.sqrt(value * (1 - value) / (n - 1)))
    low = float(special.betaincinv(ones, n - ones + 1, tail)) if ones > 0 else 0.0
    high = float(special.betaincinv(ones + 1, n - ones, 1 - tail)) if ones < n else 1.0
    return Estimate(value, se, low, high)


def _bias_squared(sample: Sample) -> Estimate:
    """‖ḡ - g‖² - tr(Σ̂)/R with the interval of ‖E ĝ - g‖².

    ‖ḡ - g‖² = ‖b + ε‖² has mean ‖b‖² + tr(Σ)/R and variance 2 tr(Σ²)/R² + 4 b'Σb/R. It is taken to
    be c χ'²_ν(λ) with that mean and variance and cλ = ‖b‖² (Satterthwaite 1946, for λ = 0), and
    ‖b‖² inverted. The upper end is that of a squared bias estimated as 0 where the estimate is
    negative, so that it never claims more than the noise allows; the lower end is that of a
    covariance as many times larger as the replicates may have missed (``_missing``).
    """
    K, R = sample.gram.shape[0], sample.squared_error.size
    total = float(sample.gram.sum()) / R**2
    noise = sample.variance / R
    value = total - noise
    if sample.unseen or K < 4 or noise == 0:
        return Estimate(value, np.nan, np.nan, np.nan)
    square = _trace_of_square(sample) / R**2
    square = min(max(square, noise**2 / sample.d), noise**2)
    measured, exact = _variances_along_bias(sample, total)
    se = float(np.sqrt(2 * square + 4 * max(value, 0.0) * exact))
    # The larger, for the interval's sake: the first hangs on few blocks, the second on E ĝ.
    along = max(measured, exact)

    # From here on in units of the noise tr(Σ)/R, so that tolerances are relative.
    square, along = square / noise**2, along / noise

    def z(beta: float, observed: float) -> float:
        c = (square + 2 * beta * along) / (1 + 2 * beta)
        return _noncentral_z(observed / c, 1 / c, beta / c)

    def solve(quantile: float, noise: float, floor: float = 0.0) -> float:
        observed = max(total / noise, floor)
        if z(0.0, observed) <= quantile:
            return 0.0
        upper = observed
        while z(upper, observed) > quantile:
            upper *= 2
        return noise * float(optimize.brentq(lambda x: z(x, observed) - quantile, 0.0, upper))

    low = solve(_NORMAL, noise * _missing(sample))
    return Estimate(value, se, low, solve(-_NORMAL, noise, floor=1.0))


def _missing(sample: Sample) -> float:
    """How many times larger than measured tr(Σ) may be, at least 1: exactly, or by its tail."""
    if sample.checked:
        return max(1.0, sample.exact_variance / sample.variance)
    return 1 / _least_share(sample.squared_deviation)


def _trace_of_square(sample: Sample) -> float:
    """tr(Σ²) from the inner products of the blocks, unbiased (Himeno & Yamada 2014).

    A block of n replicates stands for (Σ_{r∈b} ĝ_r - nḡ)/√n, which has covariance Σ.
    """
    gram, K, R = sample.gram, sample.gram.shape[0], sample.squared_error.size
    n = _block_sizes(R)
    lean = np.outer(n, gram.sum(axis=0)) / R
    centred = gram - lean - lean.T + np.outer(n, n) * gram.sum() / R**2
    centred = centred / np.sqrt(np.outer(n, n))
    norms = np.diagonal(centred)
    square, trace = float((centred**2).sum()) / (K - 1) ** 2, float(norms.sum()) / (K - 1)
    fourth = float((norms**2).sum()) / (K - 1)
    scale = (K - 1) / (K * (K - 2) * (K - 3))
    return scale * ((K - 1) * (K - 2) * square + trace**2 - K * fourth)


def _block_sizes(replicates: int) -> FloatArray:
    """Numbers of replicates in each of the contiguous blocks, (K,)."""
    K = n_blocks(replicates)
    return np.bincount(np.arange(replicates) * K // replicates).astype(float)


def _variances_along_bias(sample: Sample, total: float) -> tuple[float, float]:
    """u'Σu/R with u along the measured ḡ - g, from the blocks, and along the exact bias b.

    (ĝ_r - g)·b is ½(‖ĝ_r - g‖² - ‖ĝ_r - E ĝ‖² + ‖b‖²), so the second needs no other sums; where b
    is nothing but rounding it is the first. Where ḡ = g it has no direction: no more than tr(Σ̂)/R.
    """
    K, R = sample.gram.shape[0], sample.squared_error.size
    measured = sample.variance / R
    if total > 0:
        n = _block_sizes(R)
        along = sample.gram.sum(axis=1) / R - n * total
        measured = float(np.sum(along**2 / n)) / (K - 1) / total / R
    b2 = sample.exact_bias_squared
    if not b2 > 1e-20 * float(sample.squared_error.mean()):
        return measured, measured
    along = (sample.squared_error - sample.squared_deviation) / 2
    return measured, float(along.var(ddof=1)) / b2 / R


def _noncentral_z(x: float, nu: float, lam: float) -> float:
    """Φ⁻¹(P(χ'²_ν(λ) ≤ x)); beyond ν + λ = 10⁴ the approximation of Sankaran (1963)."""
    if nu + lam < 1e4:
        return max(-40.0, min(40.0, float(special.ndtri(special.chndtr(x, nu, lam)))))
    h = 1 - 2 * (nu + lam) * (nu + 3 * lam) / (3 * (nu + 2 * lam) ** 2)
    p, m = (nu + 2 * lam) / (nu + lam) ** 2, (h - 1) * (1 - 3 * h)
    mean = 1 + h * p * (h - 1 - (2 - h) * m * p / 2)
    return float(((x / (nu + lam)) ** h - mean) / (h * np.sqrt(2 * p) * (1 + m * p / 2)))


def directions(d: int, g: FloatArray) -> FloatArray:
    """Directions (m, d), m ≤ 9, along which means are tested: fixed ones, then the exact gradient.

    Where the gradient is zero it is left out.
    """
    fixed = fixed_directions(d)
    return np.vstack([fixed, g / np.linalg.norm(g)]) if g.any() else fixed


def fixed_directions(d: int) -> FloatArray:
    """Directions (m, d), m ≤ 8: rows of a cosine basis with random signs.

    Orthogonal, dense, the same for every estimator, and a complete basis for d ≤ 8. A single
    coordinate of a large problem often hangs on events that R replicates never see, and its z-score
    then has no normal limit; along a dense direction all coordinates add up and it has.
    """
    m = min(d, N_DIRECTIONS)
    signs = np.random.default_rng(19930501).choice([-1.0, 1.0], size=d)
    angles = np.pi / d * np.outer(np.arange(m), np.arange(d) + 0.5)
    basis: FloatArray = signs * np.cos(angles) / np.sqrt(d)
    return basis


@dataclass(frozen=True)
class MeanTest:
    """Test of a mean: largest |z|, p-value corrected for the number of directions tested."""

    max_z: float
    p_value: float
    directions: int


def mean_test(
    projections: FloatArray, expected: FloatArray, uncertain: FloatArray | None = None
) -> MeanTest:
    """Test that E ĝ is as expected, along each of m directions.

    Each direction is tested less its regression on the ones before it, which makes the tests
    independent (Roy 1958), however the directions are correlated; one that depends linearly on
    others is left out. The t statistic is corrected for skewness (Hall 1992, eq. 2.2) and compared
    with Student's t; the smallest p-value is corrected for their number (Šidák 1967). A direction
    whose kurtosis leaves fewer than 30 effective replicates, R/κ, is not tested, nor is one that
    never varied: they hang on events that few replicates saw, or none. Where more than half of the
    directions that vary do, none is tested, for the others hang on the same events.

    Parameters
    ----------
    projections
        (R, m) float64, replicates projected on the directions, reward per unit of θ.
    expected
        (m,) float64, the mean under test, projected likewise.
    uncertain
        (m, k) float64, or None: that mean may be off by any combination of these columns with
        factors from -1 to 1, and no more than what is left then counts.
    """
    R, m = projections.shape
    rounding = 1e-10 * max(np.abs(projections).max(), np.abs(expected).max())
    x = projections - expected
    mean = x.mean(axis=0)
    deviation = x - mean
    scatter = (deviation**2).sum(axis=0)
    varies = np.sqrt(scatter / (R - 1)) > rounding
    good = varies & (effective_replicates(deviation) >= MIN_EFFECTIVE)
    if 2 * good.sum() < max(varies.sum(), 1):
        return MeanTest(np.nan, np.nan, 0)
    # A direction with unit scatter, the mean along it, and what is uncertain of that.
    basis: list[tuple[FloatArray, float, FloatArray]] = []
    doubts = np.zeros((m, 0)) if uncertain is None else uncertain
    z, p = [], []
    hotelling = 0.0
    for j in np.flatnonzero(good):
        residual, residual_mean, doubt = deviation[:, j].copy(), float(mean[j]), doubts[j]
        for unit, unit_mean, unit_doubt in basis * 2:
            # Twice, since once does not leave orthogonal what is nearly parallel.
            c = float((residual * unit).sum())
            residual, residual_mean = residual - c * unit, residual_mean - c * unit_mean
            doubt = doubt - c * unit_doubt
        left = float((residual**2).sum())
        if left <= 1e-12 * scatter[j] or effective_replicates(residual[:, None])[0] < MIN_EFFECTIVE:
            continue
        freedom = R - 1 - len(basis)
        off = residual_mean
        if doubt.size:
            off = float(np.sign(off)) * max(abs(off) - float(np.abs(doubt).sum()), 0.0)
        t = off * np.sqrt(R * freedom / left / (1 + hotelling))
        a = float((residual * residual * residual).mean()) / (left / freedom) ** 1.5 / np.sqrt(R)
        z.append(abs(float(_corrected(t, a))))
        p.append(2 * float(stats.t.sf(z[-1], freedom)))
        root = np.sqrt(left)
        basis.append((residual / root, residual_mean / root, doubt / root))
        hotelling += R * basis[-1][1] ** 2
    smallest = min(min(p), 1 - 1e-16)
    return MeanTest(max(z), float(-np.expm1(len(p) * np.log1p(-smallest))), len(p))


def effective_replicates(deviation: FloatArray) -> FloatArray:
    """Effective replicates R/κ of each column of deviations from the mean (R, m)."""
    square = deviation * deviation
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(square.sum(axis=0) ** 2 / (square * square).sum(axis=0))


def mean_z(projections: FloatArray, expected: FloatArray, variance: FloatArray) -> FloatArray:
    """z-scores (m,) of measured means against exact ones, N(0, 1) where both moments are right.

    √R (mean - expected)/√variance, corrected for the skewness of the mean by the cube root of
    Wilson & Hilferty (1931), whose expansion is that of Cornish & Fisher (1938). NaN where a
    direction is not testable: fewer than 10 effective replicates R/κ, or a measured variance below
    half the exact one, which says that events of weight were not seen.

    Parameters
    ----------
    projections
        (R, m) float64, replicates projected on the directions, reward per unit of θ.
    expected, variance
        (m,) float64, exact mean and exact variance of one replicate's projections.
    """
    R = projections.shape[0]
    mean = projections.mean(axis=0)
    deviation = projections - mean
    measured = (deviation**2).sum(axis=0) / (R - 1)
    rounding = 1e-10 * max(np.abs(projections).max(), np.abs(expected).max())
    testable = (np.sqrt(measured) > rounding) & (measured >= variance / 2)
    testable &= effective_replicates(deviation) >= MIN_EFFECTIVE_Z
    with np.errstate(divide="ignore", invalid="ignore"):
        a = (deviation**3).mean(axis=0) / measured**1.5 / np.sqrt(R)
        z = np.sqrt(R) * (mean - expected) / np.sqrt(variance)
        a = np.where(np.abs(a) < 1e-6, 1e-6, a)
        corrected = 6 / a * (np.cbrt(1 + a * z / 2) - 1 + a**2 / 36)
    return np.where(testable, corrected, np.nan)


@dataclass(frozen=True)
class VarianceTest:
    """Test of a total variance: signed z, its square, and the two-sided p-value."""

    z: float
    chi_squared: float
    p_value: float


def variance_test(squared_deviations: FloatArray, expected: float) -> VarianceTest:
    """Test that tr(Σ) is as expected, by ‖ĝ_r - E ĝ‖² (R,) from the exact mean.

    The t statistic of their mean is corrected for skewness (Hall 1992, eq. 2.2); z is the normal
    quantile of its Student probability and positive where the measured variance is the larger. NaN
    with fewer than 20 effective replicates R/κ, κ the kurtosis of the squared deviations.
    """
    R = squared_deviations.size
    deviation, sd, effective = _spread(squared_deviations)
    if not effective >= MIN_EFFECTIVE_VARIANCE:
        return VarianceTest(np.nan, np.nan, np.nan)
    t = np.sqrt(R) * (float(squared_deviations.mean()) - expected) / sd
    a = float((deviation * deviation * deviation).mean()) / sd**3 / np.sqrt(R)
    corrected = float(_corrected(t, a))
    p = 2 * float(stats.t.sf(abs(corrected), R - 1))
    z = float(np.sign(corrected) * stats.norm.isf(p / 2))
    return VarianceTest(z, z**2, p)


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


def fit_rate(n: ArrayLike, y: ArrayLike, low: ArrayLike, high: ArrayLike) -> Rate:
    """Slope of log y against log n, for independent y with 95 % intervals.

    All points have the same weight: standard errors as weights would favour samples that missed
    rare events, whose y and error are both too small. The interval of the slope, a sum of log y
    with known coefficients, combines those of y, which may be lopsided (Zou & Donner 2008). Points
    without a positive finite interval are left out; with fewer than two left every field is NaN.
    The interval does not reflect a departure from a straight line.
    """
    n, y, low, high = (np.asarray(x, np.float64) for x in (n, y, low, high))
    good = (n > 0) & (y > 0) & (low > 0) & np.isfinite(high)
    if good.sum() < 2 or np.unique(n[good]).size < 2:
        return Rate(np.nan, np.nan, np.nan, np.nan)
    x, value = np.log(n[good]), np.log(y[good])
    down, up = value - np.log(low[good]), np.log(high[good]) - value
    c = (x - x.mean()) / np.sum((x - x.mean()) ** 2)
    slope = float(np.sum(c * value))
    below = float(np.sqrt(np.sum((c * np.where(c > 0, down, up)) ** 2)))
    above = float(np.sqrt(np.sum((c * np.where(c > 0, up, down)) ** 2)))
    return Rate(slope, slope - below, slope + above, float(value.mean() - slope * x.mean()))


MIN_SCORES = 8
"""Fewer z-scores than this are not compared with the normal distribution."""


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
