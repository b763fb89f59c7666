"""Whether sampled estimates have the moments that are claimed for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.estimators import Estimator, Exact, TableEstimator
from pgbench.estimators.parts.estimator import BatchEstimator
from pgbench.exact.table_moments import table_moments
from pgbench.measure.gradients import estimates
from pgbench.statistics import MeanTest, VarianceTest, directions, mean_test, variance_test
from pgbench.trials.battery import FiniteCase, finite
from pgbench.trials.case import Case


@dataclass(frozen=True, eq=False)
class Sampled:
    """Estimates of an estimator on a case.

    gradients, steps
        (R, d) float64 and (R,) int64.
    """

    case: FiniteCase
    gradients: FloatArray
    steps: IntArray

    def mean_test(self, mean: FloatArray) -> MeanTest:
        """Test that the estimates have this mean (d,)."""
        along = directions(mean.size, self.case.truth.gradient)
        return mean_test(self.gradients @ along.T, along @ mean)

    @property
    def is_constant(self) -> bool:
        """Whether all estimates are the same."""
        return bool((self.gradients == self.gradients[0]).all())

    def variance_test(self, claim: Exact) -> VarianceTest:
        """Test that they have this total variance about this mean; NaN where it is not known."""
        if claim.mean is None or claim.variance is None:
            return VarianceTest(np.nan, np.nan, np.nan)
        squared = ((self.gradients - claim.mean) ** 2).sum(axis=1)
        return variance_test(squared, float(claim.variance.sum()))


def sampled(
    case: Case,
    estimator: Estimator,
    values: Mapping[str, Any],
    replicates: int,
    seed: int = 0,
    batch_size: int | None = None,
) -> Sampled:
    """Estimates on a case, from trajectories that every estimator with this seed sees."""
    place = finite(case)
    draws = place.draws(replicates, seed, batch_size)
    return Sampled(place, *estimates(place.truth, estimator, values, draws))


def claimed(
    case: FiniteCase, estimator: Estimator, values: Mapping[str, Any], batch_size: int | None = None
) -> Exact:
    """Exact mean and variance that an estimator claims on a case, as far as it knows them.

    Variances of tables are known of independent trajectories.
    """
    truth, n = case.truth, batch_size or case.batch_size
    if isinstance(estimator, BatchEstimator):
        return estimator.exact(truth, case.horizon, n, case.group_size, **values)
    assert isinstance(estimator, TableEstimator)
    tables = estimator.make(truth, case.horizon, **values)
    exact = table_moments(truth, tables, tables.process.within(case.horizon))
    return Exact(exact.mean, None if case.grouped else exact.variance / n)
