"""One analysis of a mean: a sample, and the directions along which it is tested."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from pgbench.arrays import FloatArray, IntArray
from pgbench.measure.sums import Sums
from pgbench.statistics import (
    Estimate,
    MeanTest,
    Projections,
    Sample,
    fixed_directions,
    mean_interval,
    summarise,
)
from pgbench.statistics.directions import N_DIRECTIONS

ACCUSED = 0.01
"""Chance that a right hypothesis of the means is rejected at all, over all problems and sizes."""

LOOKS = 3
"""So often at most are estimates looked at, more of them each time."""

PLAIN = 1e-6
"""Chance that a right hypothesis is rejected at one of the looks before the last."""

LEVEL = ACCUSED - (LOOKS - 1) * PLAIN
"""The same of the last look: over all of them it is at most the sum (Bonferroni)."""

SURE = 0.9
"""A bias that can be detected is one that is found with this probability."""


@dataclass(frozen=True, eq=False)
class MeanAnalysis:
    """What a sample says about its mean: test, intervals and resolution all come from here.

    sample
        (R, d) float64, estimates, or estimates less control variates of mean zero.
    along
        (m, d) float64, directions of the test, the one that matters most first: each is tested
        less its regression on those before it, so that the first is tested as it is.
    steps
        (R,) int64, environment steps of every estimate.
    """

    sample: FloatArray
    along: FloatArray
    steps: IntArray

    def test(self, mean: FloatArray, shift: float = 0.0) -> MeanTest:
        """Test that this is the mean (d,), each coordinate of which may be off by ``shift``.

        The p-value is NaN where the tails are too heavy.
        """
        uncertain = self.along * shift if shift else None
        return self._projections.test(self.along @ mean, uncertain)

    @cached_property
    def _projections(self) -> Projections:
        return Projections(self.sample @ self.along.T)

    @cached_property
    def mean(self) -> FloatArray:
        """Mean of the sample (d,)."""
        return self.sample.mean(axis=0)

    @cached_property
    def directions(self) -> int:
        """Number of directions that can be tested; 0 where the tails are too heavy."""
        return self.test(self.mean).directions

    def distance(self, mean: FloatArray) -> Estimate:
        """‖E ĝ - mean‖ with its 95 % interval, in units of the gradients."""
        sums = Sums(mean, [self.mean], len(self.sample), np.zeros((0, mean.size)))
        sums.add_gradients(0, self.sample[:, None], self.steps)
        sample: Sample = sums.sample(0).about_its_mean()
        return summarise(sample)["bias"]

    def share(self, target: FloatArray) -> Estimate:
        """E ĝ·target/‖target‖² with its 95 % interval."""
        return mean_interval(self.sample @ target / float(np.sum(target**2)))

    def variance_along(self, direction: FloatArray) -> float:
        """Variance of the mean along a direction, times the squared length of that."""
        along = self.sample @ direction
        return float(along.var(ddof=1)) / len(along)

    def detectable(self, target: FloatArray, tests: int) -> float:
        """The bias along the target, over ‖target‖, that so many tests would find with 90 %."""
        se = np.sqrt(self.variance_along(target)) / float(np.sum(target**2))
        level = LEVEL / tests / self.directions
        return float(se * (special.ndtri(SURE) - special.ndtri(level / 2)))


def dense(g: FloatArray) -> FloatArray:
    """The direction of g, then fixed dense ones, (m, d), m ≤ 9; without g where it is zero."""
    fixed = fixed_directions(g.size)[:N_DIRECTIONS]
    return np.vstack([g / np.linalg.norm(g), fixed]) if g.any() else fixed


def complete(g: FloatArray) -> FloatArray:
    """The directions of ``dense`` and every coordinate, (m + d, d)."""
    return np.vstack([dense(g), np.eye(g.size)])
