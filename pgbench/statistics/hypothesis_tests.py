"""Tests of means, variances and scores of replicates, and correction for their number."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from pgbench.arrays import BoolArray, FloatArray
from pgbench.statistics.sample import spread
from pgbench.statistics.skewness import corrected_test, skewness_of_mean

MIN_EFFECTIVE = 30
"""A mean is tested with at least this many effective replicates R/κ, κ the sample kurtosis."""

MIN_EFFECTIVE_Z, MIN_EFFECTIVE_VARIANCE = 10, 20
"""The same for the scores against exact moments, ``mean_z`` and ``variance_test``."""

MIN_SCORES = 8
"""Fewer z-scores than this are not compared with the normal distribution."""


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
    return Projections(projections).test(expected, uncertain)


@dataclass(frozen=True, eq=False)
class Projections:
    """Replicates (R, m) along m directions, of which many means may be tested; see ``mean_test``.

    What does not hang on the mean under test is worked out once.
    """

    values: FloatArray

    def test(self, expected: FloatArray, uncertain: FloatArray | None = None) -> MeanTest:
        """Test of the mean ``expected`` (m,)."""
        R, m = self.values.shape
        rounding = 1e-10 * max(self._size, float(np.abs(expected).max()))
        varies = np.sqrt(self._scatter / (R - 1)) > rounding
        good = varies & (self._effective >= MIN_EFFECTIVE)
        if 2 * good.sum() < max(varies.sum(), 1):
            return MeanTest(np.nan, np.nan, 0)
        doubts = np.zeros((m, 0)) if uncertain is None else uncertain
        z, p = self._tests(self._independent(good), self._mean - expected, doubts)
        smallest = min(min(p), 1 - 1e-16)
        return MeanTest(max(z), float(-np.expm1(len(p) * np.log1p(-smallest))), len(p))

    def _tests(
        self, parts: "list[_Part]", off: FloatArray, doubts: FloatArray
    ) -> tuple[list[float], list[float]]:
        """|z| and p-values of every part, of means that are so far ``off`` (m,)."""
        means, unsure = np.zeros(len(parts)), np.zeros((len(parts), doubts.shape[1]))
        z, p, R, hotelling = [], [], len(self.values), 0.0
        for k, part in enumerate(parts):
            mean = float(off[part.index] - part.slopes @ means[:k])
            doubt = doubts[part.index] - part.slopes @ unsure[:k]
            freedom, root = R - 1 - k, np.sqrt(part.left)
            least = float(np.sign(mean)) * max(abs(mean) - float(np.abs(doubt).sum()), 0.0)
            t = least * np.sqrt(R * freedom / part.left / (1 + hotelling))
            score, p_value = corrected_test(t, part.skewness, freedom)
            z.append(abs(score))
            p.append(p_value)
            means[k], unsure[k] = mean / root, doubt / root
            hotelling += R * means[k] ** 2
        return z, p

    @cached_property
    def _size(self) -> float:
        return float(np.abs(self.values).max())

    @cached_property
    def _mean(self) -> FloatArray:
        return np.asarray(self.values.mean(axis=0))

    @cached_property
    def _deviation(self) -> FloatArray:
        return self.values - self._mean

    @cached_property
    def _scatter(self) -> FloatArray:
        return np.asarray((self._deviation**2).sum(axis=0))

    @cached_property
    def _effective(self) -> FloatArray:
        return effective_replicates(self._deviation)

    @cached_property
    def _found(self) -> "dict[bytes, list[_Part]]":
        return {}

    def _independent(self, good: BoolArray) -> "list[_Part]":
        """Parts of these directions that are left of each less its regression on earlier ones."""
        if good.tobytes() not in self._found:
            self._found[good.tobytes()] = list(self._parts(good))
        return self._found[good.tobytes()]

    def _parts(self, good: BoolArray) -> "Iterator[_Part]":
        R, units = len(self.values), np.zeros((0, len(self.values)))
        for j in np.flatnonzero(good):
            residual, slopes = self._deviation[:, j].copy(), np.zeros(len(units))
            for _ in range(2):
                # Twice, since once does not leave orthogonal what is nearly parallel.
                c = (units * residual).sum(axis=1)
                residual, slopes = residual - (c[:, None] * units).sum(axis=0), slopes + c
            left = float((residual**2).sum())
            few = effective_replicates(residual[:, None])[0] < MIN_EFFECTIVE
            if left <= 1e-12 * self._scatter[j] or few:
                continue
            cubed = (left / (R - 1 - len(units))) ** 1.5
            skewness = float(skewness_of_mean(residual * residual * residual, cubed, R))
            yield _Part(int(j), slopes, left, skewness)
            units = np.vstack([units, residual / np.sqrt(left)])


@dataclass(frozen=True, eq=False)
class _Part:
    """What is left of a direction less its regression on the parts before it.

    slopes
        Of that regression (k,), on parts with unit scatter.
    left, skewness
        Scatter of what is left, and the skewness of its mean.
    """

    index: int
    slopes: FloatArray
    left: float
    skewness: float


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
        a = skewness_of_mean(deviation**3, measured**1.5, R)
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
    deviation, sd, effective = spread(squared_deviations)
    if not effective >= MIN_EFFECTIVE_VARIANCE:
        return VarianceTest(np.nan, np.nan, np.nan)
    t = np.sqrt(R) * (float(squared_deviations.mean()) - expected) / sd
    a = float(skewness_of_mean(deviation * deviation * deviation, sd**3, R))
    score, p = corrected_test(t, a, R - 1)
    z = float(np.sign(score) * -special.ndtri(p / 2))
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


def normality(scores: ArrayLike) -> FloatArray:
    """Adjusted p-values (m,) of standard normal z-scores (..., m), a test per last index.

    Kolmogorov's test of the finite scores against N(0, 1), corrected over the m tests by Holm's
    method. The scores of a test must be independent; those of different tests need not be. NaN
    where fewer than 8 are finite.
    """
    from scipy.stats import kstest  # half a second, for what only reports ask

    z = np.asarray(scores, np.float64)
    columns = z.reshape(-1, z.shape[-1]).T
    p = np.full(len(columns), np.nan)
    for i, column in enumerate(columns):
        own = column[np.isfinite(column)]
        if own.size >= MIN_SCORES:
            p[i] = kstest(own, "norm").pvalue
    return holm(p)
