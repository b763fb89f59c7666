"""The mean of an estimator, measured as sharply as known estimators on the same trajectories allow.

What is known to have mean zero, an estimator of the suite less its exact mean, is fitted to the
estimates and taken away (control variates). Coefficients are fitted on one half of the replicates
and used on the other, so that means stay what they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pgbench.statistics import (
    CONFIDENCE,
    MIN_EFFECTIVE,
    Estimate,
    Sample,
    directions,
    mean_interval,
    mean_test,
    summarise,
)
from pgbench.sums import Sums
from pgbench.trials.candidate import Estimates

FloatArray = NDArray[np.float64]

LEVEL = 0.01
"""Chance that a right account of the means is rejected at all, over all problems and sizes."""

SURE = 0.9
"""A bias that can be detected is one that is found with this probability."""


@dataclass(frozen=True, eq=False)
class Measured:
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
    def known(self) -> FloatArray | None:
        """The mean (d,) where nothing of it is left to chance, else None.

        It is exact, or the estimates never differ from known ones by more than rounding.
        """
        if self.claimed is not None:
            return self.claimed
        mean = self.adjusted.mean(axis=0)
        spread = float(np.abs(self.adjusted - mean).max())
        return mean if spread <= 10 * self.estimates.rounding else None

    @property
    def mean(self) -> FloatArray:
        """The mean (d,) as far as it is known."""
        return self.adjusted.mean(axis=0) if self.known is None else self.known

    @property
    def tolerance(self) -> float:
        """Known means that differ by so much in a coordinate are the same."""
        return self.estimates.rounding

    def p_value(self, mean: FloatArray) -> float:
        """Of the test that this is the mean; 0 or 1 where the mean is known, NaN if untestable."""
        if self.known is not None:
            return float(np.abs(self.known - mean).max() <= self.tolerance)
        if self._stuck(mean):
            return 0.0
        d = mean.size
        few = directions(d, self.estimates.case.finite)
        whole = np.vstack([few, np.eye(d)])
        # What hangs on rare events is tested along fewer directions, or with all its noise.
        for sample, along in (
            (self.adjusted, whole), (self.adjusted, few), (self.estimates.gradients, few)
        ):  # fmt: skip
            p = mean_test(sample @ along.T, along @ mean).p_value
            if np.isfinite(p):
                return p
        return np.nan

    def _stuck(self, mean: FloatArray) -> bool:
        """Whether the estimates never vary along some direction and are off along it.

        Tests leave such a direction out, for it may hang on events that were never seen. It counts
        where the witness varies along it often enough: then the events were there.
        """
        if self.witness is None:
            return False
        U = self.estimates.gradients
        _, sizes, rows = np.linalg.svd(U - U.mean(axis=0), full_matrices=False)
        quiet = rows[sizes <= 10 * self.estimates.rounding]
        off = np.abs(quiet @ (U.mean(axis=0) - mean)) > self.tolerance
        seen = self.witness @ quiet.T
        seen = seen - seen.mean(axis=0)
        square = np.where(np.abs(seen) > 10 * self.estimates.rounding, seen, 0.0) ** 2
        heavy = (square**2).sum(axis=0)
        effective = np.divide(square.sum(axis=0) ** 2, heavy, where=heavy > 0, out=heavy * 0)
        return bool((off & (effective >= MIN_EFFECTIVE)).any())

    def relative_bias(self, target: FloatArray) -> Estimate:
        """‖E ĝ - target‖/‖target‖ with its 95 % interval."""
        if self.known is not None:
            value = float(np.linalg.norm(self.known - target) / np.linalg.norm(target))
            return Estimate(value, 0.0, value, value)
        return summarise(self._sample(target))["relative_bias"]

    def _sample(self, target: FloatArray) -> Sample:
        x = self.adjusted
        sums = Sums(target, [x.mean(axis=0)], len(x), np.zeros((0, target.size)))
        sums.add_gradients(0, x[:, None], self.estimates.steps)
        return sums.sample(0).about_its_mean()

    def factor(self, target: FloatArray) -> Estimate:
        """c with E ĝ·target = c ‖target‖²."""
        norm = float(np.sum(target**2))
        if self.known is not None:
            value = float(self.known @ target) / norm
            return Estimate(value, 0.0, value, value)
        return mean_interval(self.adjusted @ target / norm)

    def detectable(self, target: FloatArray, tests: int) -> float:
        """The bias along the target, over ‖target‖, that so many tests would find with 90 %."""
        if self.known is not None:
            return 0.0
        along = self.adjusted @ target / float(np.sum(target**2))
        se = float(along.std(ddof=1)) / np.sqrt(len(along))
        level = LEVEL / tests / (target.size + 1)
        return se * float(stats.norm.isf(level / 2) + stats.norm.ppf(SURE))

    def remains(self, target: FloatArray, other: "Measured") -> Estimate:
        """Share of this bias that is left at another batch size, along this bias."""
        bias, left = self.mean - target, other.mean - target
        norm = float(np.sum(bias**2))
        value = float(bias @ left) / norm
        own, others = (m._variance_along(bias) / norm**2 for m in (self, other))
        se = float(np.sqrt(others + value**2 * own))
        half = float(stats.norm.ppf(0.5 + CONFIDENCE / 2)) * se
        return Estimate(value, se, value - half, value + half)

    def _variance_along(self, direction: FloatArray) -> float:
        """Variance of the mean along a direction, times the squared length of that."""
        if self.known is not None:
            return 0.0
        along = self.adjusted @ direction
        return float(along.var(ddof=1)) / len(along)


def measured(
    estimates: Estimates,
    controls: Sequence[FloatArray] = (),
    claimed: FloatArray | None = None,
    witness: FloatArray | None = None,
) -> Measured:
    """The estimates with control variates (R, d) each, whose means are zero, fitted and removed."""
    U = estimates.gradients
    X = np.array([*controls]).reshape(-1, *U.shape)
    if not len(X) or claimed is not None:
        return Measured(estimates, U, claimed, witness)
    half = np.arange(len(U)) % 2 == 0
    adjusted = np.empty_like(U)
    for own in (half, ~half):
        c = _fitted(U[~own], X[:, ~own])
        adjusted[own] = U[own] - np.einsum("k,krd->rd", c, X[:, own])
    # A fit to few replicates may add more noise than it removes.
    better = adjusted.var(axis=0).sum() < U.var(axis=0).sum()
    return Measured(estimates, adjusted if better else U, None, witness)


def _fitted(U: FloatArray, X: FloatArray) -> FloatArray:
    """Coefficients (K,) of the least variance of U - Σ c_k X_k."""
    y = (U - U.mean(axis=0)).ravel()
    x = (X - X.mean(axis=1, keepdims=True)).reshape(len(X), -1)
    size = np.linalg.norm(x, axis=1)
    size[size == 0] = 1.0
    c = np.linalg.lstsq((x / size[:, None]).T, y, rcond=1e-9)[0]
    return np.asarray(c / size)
