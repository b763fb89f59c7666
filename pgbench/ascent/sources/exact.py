"""Gradients without sampling: ∇J itself, and the exact mean of an estimator."""

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.ascent.crowd import Crowd
from pgbench.ascent.sources.source import EstimatorSource, Source
from pgbench.estimators import Estimator
from pgbench.policies import NotApplicable


class ExactSource(Source):
    """∇J itself."""

    sampled = False

    def gradient(self, crowd: Crowd, k: int) -> tuple[FloatArray, IntArray]:
        """∇J (m, d) at no cost."""
        return crowd.gradient, np.zeros(crowd.m, np.int64)


class MeanSource(EstimatorSource):
    """The exact mean of an estimator; NotApplicable where it is not known."""

    estimator: Estimator
    sampled = False

    def gradient(self, crowd: Crowd, k: int) -> tuple[FloatArray, IntArray]:
        """E ĝ (m, d) at no cost."""
        out = np.full(crowd.theta.shape, np.nan)
        horizon = self.numbers.horizon
        for r in np.flatnonzero(crowd.good):
            truth = crowd.truth(int(r))
            sizes = self.batch_size, self.numbers.group_size
            mean = self.estimator.mean(truth, horizon, *sizes, **self.values)
            if mean is None:
                raise NotApplicable(f"the exact mean of {self.estimator.name} is not known")
            out[r] = mean
        return out, np.zeros(crowd.m, np.int64)
