"""Estimates of batch estimators on finite problems."""

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.ascent.crowd import FiniteCrowd
from pgbench.ascent.sources.source import EstimatorSource
from pgbench.estimators import BatchEstimator
from pgbench.rollout.several import SeveralSimulator


class BatchSource(EstimatorSource):
    """Estimates by a batch estimator: a replicate of every policy, or one policy at a time."""

    estimator: BatchEstimator

    def gradient(  # type: ignore[override]
        self, crowd: FiniteCrowd, k: int
    ) -> tuple[FloatArray, IntArray]:
        """Estimates (m, d) and their environment steps (m,); NaN where they need unknown values."""
        if self.estimator.alone:
            return self.one_by_one(crowd, k)
        draws = self.numbers.draws(crowd.m, self.batch_size, k)
        simulator = SeveralSimulator(crowd.truths, draws, 0, crowd.m)
        g = np.asarray(self.estimator.estimate(simulator, **self.values), np.float64)
        if g.shape != crowd.theta.shape:
            raise ValueError(
                f"{self.estimator.name} declares that it takes many policies at once, but its"
                f" estimates have shape {g.shape}, must be {crowd.theta.shape}"
            )
        return g, simulator.steps
