"""The mean of an estimator, measured as sharply as known estimators on the same trajectories allow.

What is known to have mean zero, an estimator of the suite less its exact mean, is fitted to the
estimates and taken away (control variates). Coefficients are fitted on one half of the replicates
and used on the other, so that means stay what they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.statistics import Estimate, mean_interval
from pgbench.statistics.estimate import CONFIDENCE, NORMAL, NOTHING
from pgbench.statistics.hypothesis_tests import MIN_EFFECTIVE, effective_replicates
from pgbench.trials.candidate import Estimates
from pgbench.trials.mean_analysis import MeanAnalysis, complete, dense


class Basis(Enum):
    """What is known of a mean, and whence."""

    TABLES = "it follows from tables, nothing is left to chance"
    EQUAL = "every estimate was one of known ones, or a combination of them with a known mean"
    SAMPLES = "samples say it, as sharply as their noise allows"
    NOTHING = "the estimates hang on too few rare ones"


def unseen(replicates: int) -> float:
    """Bound of the chance of what happened in none of so many estimates, at 95 %.

    1 - .05^(1/n), about 3/n: the rule of three (Hanley & Lippman-Hand 1983).
    """
    return float(-np.expm1(np.log1p(-CONFIDENCE) / replicates))


TINY = 1e-9
"""Estimates of at most so much of the gradient's length are beyond the digits of the tests."""


@dataclass(frozen=True, eq=False)
class MeasuredMean:
    """Estimates on a case at a batch size, and what they say about the mean.

    adjusted
        (R, d) float64, the estimates less fitted control variates; the same mean, less noise.
    claimed
        The exact mean (d,) where it follows from tables alone, else None.
    witness
        (R, d) float64, estimates of a plain right estimator from the same trajectories, or None.
    """

    estimates: Estimates
    adjusted: FloatArray
    claimed: FloatArray | None
    witness: FloatArray | None = None

    @cached_property
    def basis(self) -> Basis:
        """What is known of the mean, and whence."""
        if self.claimed is not None:
            return Basis.TABLES
        spread = float(np.abs(self.adjusted - self.adjusted.mean(axis=0)).max())
        if spread <= 10 * self.estimates.rounding:
            return Basis.EQUAL
        return Basis.NOTHING if self.analysis is None else Basis.SAMPLES

    @property
    def sharp(self) -> bool:
        """Whether no noise is left: the mean is exact, or was the same in every estimate."""
        return self.basis in (Basis.TABLES, Basis.EQUAL)

    @cached_property
    def analysis(self) -> MeanAnalysis | None:
        """The one that gives test, intervals and resolution; None where tails are too heavy.

        What hangs on rare events is looked at along fewer directions, or with all its noise.
        """
        few, whole = dense(self.estimates.case.finite), complete(self.estimates.case.finite)
        raw, steps = self.estimates.gradients, self.estimates.steps
        for sample, along in ((self.adjusted, whole), (self.adjusted, few), (raw, few)):
            found = MeanAnalysis(sample, along, steps)
            if found.directions:
                return found
        return None

    @cached_property
    def mean(self) -> FloatArray:
        """The mean (d,) as far as it is known."""
        if self.claimed is not None:
            return self.claimed
        if self.basis is Basis.SAMPLES and self.analysis is not None:
            return self.analysis.mean
        return np.asarray(self.adjusted.mean(axis=0))

    @property
    def tolerance(self) -> float:
        """Known means that differ by so much in a coordinate are the same."""
        return self.estimates.rounding

    @property
    def tiny(self) -> bool:
        """Whether every estimate is too small beside the gradient to be told from zero."""
        largest = float(np.abs(self.estimates.gradients).max())
        return largest <= TINY * float(np.linalg.norm(self.estimates.case.finite))

    @cached_property
    def events(self) -> float:
        """Number of estimates that carry a typical direction's spread: R/κ, κ the kurtosis."""
        raw = self.estimates.gradients
        along = (raw - raw.mean(axis=0)) @ dense(self.estimates.case.finite).T
        found = effective_replicates(along)
        return float(np.nanmedian(found)) if np.isfinite(found).any() else 0.0

    def p_value(self, mean: FloatArray) -> float:
        """p-value of this mean; 0 or 1 where no noise is left, NaN if it cannot be tested."""
        if self.sharp:
            return float(np.abs(self.mean - mean).max() <= self.tolerance)
        if self.analysis is None:
            return np.nan
        if self._stuck(mean):
            return 0.0
        return self.analysis.test(mean, self.estimates.shift).p_value

    def _stuck(self, mean: FloatArray) -> bool:
        """Whether the estimates never vary along some direction and are off along it.

        Tests leave such a direction out, for it may hang on events that were never seen. It counts
        where the witness varies along it often enough: then the events were there.
        """
        for quiet, value in self._quiet:
            # A coordinate may be off by so much, and a direction by what its coordinates add up to.
            slack = (self.tolerance + self.estimates.shift) * np.abs(quiet).sum(axis=1)
            if (np.abs(value - quiet @ mean) > slack).any():
                return True
        return False

    @cached_property
    def _quiet(self) -> list[tuple[FloatArray, FloatArray]]:
        """Directions (k, d) along which estimates never vary but the witness does, and values (k,).

        Of estimates as they are, and less control variates: noise of one direction may hide that
        nothing is left of it along another.
        """
        found = []
        raw = self.estimates.gradients
        for U in (raw,) if self.adjusted is raw else (raw, self.adjusted):
            _, sizes, rows = np.linalg.svd(U - U.mean(axis=0), full_matrices=False)
            quiet = rows[sizes <= 10 * self.estimates.rounding]
            quiet = quiet[self._responds(quiet)]
            found.append((quiet, quiet @ U.mean(axis=0)))
        return found

    def _responds(self, directions: FloatArray) -> BoolArray:
        """Whether the witness varies along directions (k, d) often enough."""
        if self.witness is None:
            return np.zeros(len(directions), bool)
        seen = self.witness @ directions.T
        seen = seen - seen.mean(axis=0)
        seen = np.where(np.abs(seen) > 10 * self.estimates.rounding, seen, 0.0)
        return np.asarray(np.nan_to_num(effective_replicates(seen)) >= MIN_EFFECTIVE)

    def _constant(self, target: FloatArray) -> bool:
        """Whether no noise is left along a target, though there may be across it."""
        unit = target / np.linalg.norm(target)
        return bool(np.ptp(self.adjusted @ unit) <= 10 * self.estimates.rounding)

    def distance(self, mean: FloatArray) -> Estimate:
        """‖E ĝ - mean‖ with its 95 % interval; NaN where nothing can be said."""
        if self.sharp:
            value = float(np.linalg.norm(self.mean - mean))
            return Estimate(value, 0.0, value, value)
        if self.analysis is None:
            return NOTHING
        slack = self.estimates.shift * float(np.sqrt(mean.size))
        found = self.analysis.distance(mean)
        low, value = max(found.low - slack, 0.0), found.value
        if mean.any() and self._constant(mean):
            # Along it the distance is known, and the whole is no shorter.
            along = float((self.adjusted.mean(axis=0) - mean) @ mean / np.linalg.norm(mean))
            low, value = max(low, abs(along)), max(value, abs(along))
        return replace(found, value=value, low=low, high=max(found.high + slack, low))

    def relative_bias(self, target: FloatArray) -> Estimate:
        """‖E ĝ - target‖/‖target‖ with its 95 % interval; NaN where nothing can be said.

        Over ‖∇J_H‖ where the target is zero.
        """
        norm = float(np.linalg.norm(target if target.any() else self.estimates.case.finite))
        return self.distance(target).map(lambda x: x / norm, 1 / norm)

    def factor(self, target: FloatArray) -> Estimate:
        """c with E ĝ·target = c ‖target‖²; NaN where nothing can be said."""
        if self.sharp or (self.analysis is not None and self._constant(target)):
            mean = self.mean if self.sharp else self.adjusted.mean(axis=0)
            value = float(mean @ target) / float(np.sum(target**2))
            return Estimate(value, 0.0, value, value)
        if self.analysis is None:
            return NOTHING
        slack, found = self._slack(target), self.analysis.share(target)
        return replace(found, low=found.low - slack, high=found.high + slack)

    def along(self, target: FloatArray) -> Estimate:
        """The same, also where other directions hang on rare events but this one does not."""
        found = self.factor(target)
        if np.isfinite(found.value):
            return found
        raw = self.estimates.gradients @ target / float(np.sum(target**2))
        enough = effective_replicates((raw - raw.mean())[:, None])[0] >= MIN_EFFECTIVE
        return mean_interval(raw) if enough else NOTHING

    def detectable(self, target: FloatArray, tests: int) -> float:
        """The bias along the target, over ‖target‖, that so many tests would find with 90 %.

        0 where no noise is left, NaN where nothing can be said.
        """
        if self.sharp:
            return 0.0
        if self.analysis is None:
            return np.nan
        if self._constant(target):
            return 0.0 if self._responds(target[None])[0] else np.nan
        return self.analysis.detectable(target, tests) + self._slack(target)

    def _slack(self, target: FloatArray) -> float:
        """How far rounding in a coarse format may move the mean along a target, over ‖target‖."""
        return self.estimates.shift * float(np.abs(target).sum() / np.sum(target**2))

    def remains(self, target: FloatArray, other: "MeasuredMean") -> Estimate:
        """Share of this bias that is left at another batch size, along this bias."""
        bias, left = self.mean - target, other.mean - target
        norm = float(np.sum(bias**2))
        value = float(bias @ left) / norm
        own, others = (m._variance_along(bias) / norm**2 for m in (self, other))
        se = float(np.sqrt(others + value**2 * own))
        half = NORMAL * se
        return Estimate(value, se, value - half, value + half)

    def _variance_along(self, direction: FloatArray) -> float:
        """Variance of the mean along a direction, times the squared length of that."""
        if self.sharp:
            return 0.0
        return np.nan if self.analysis is None else self.analysis.variance_along(direction)


def measured(
    estimates: Estimates,
    controls: Sequence[FloatArray] = (),
    claimed: FloatArray | None = None,
    witness: FloatArray | None = None,
) -> MeasuredMean:
    """The estimates with control variates (R, d) each, whose means are zero, fitted and removed."""
    U = estimates.gradients
    X = np.array([*controls]).reshape(-1, *U.shape)
    if not len(X) or claimed is not None:
        return MeasuredMean(estimates, U, claimed, witness)
    half = np.arange(len(U)) % 2 == 0
    adjusted = np.empty_like(U)
    for own in (half, ~half):
        c = _fitted(U[~own], X[:, ~own])
        adjusted[own] = U[own] - np.einsum("k,krd->rd", c, X[:, own])
    # A fit to few replicates may add more noise than it removes.
    better = adjusted.var(axis=0).sum() < U.var(axis=0).sum()
    return MeasuredMean(estimates, adjusted if better else U, None, witness)


def _fitted(U: FloatArray, X: FloatArray) -> FloatArray:
    """Coefficients (K,) of the least variance of U - Σ c_k X_k."""
    y = (U - U.mean(axis=0)).ravel()
    x = (X - X.mean(axis=1, keepdims=True)).reshape(len(X), -1)
    size = np.linalg.norm(x, axis=1)
    size[size == 0] = 1.0
    c = np.linalg.lstsq((x / size[:, None]).T, y, rcond=1e-9)[0]
    return np.asarray(c / size)
