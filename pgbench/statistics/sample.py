"""What replicate gradients ĝ_1..ĝ_R ∈ R^d are summarised from, and whether they saw enough."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.statistics.tails import least_share, tail_shape

MAX_BLOCKS = 32

MIN_SHARED = 2.0
"""An interval is given where at least so many effective replicates R/κ carry the spread."""

MIN_SHARE = 0.05
"""Of a variance a sample must hold at least this share, by its tail, to have an interval."""

MISSED = 0.5
"""A measured variance below this share of the exact one says that rare events were not seen."""


def n_blocks(replicates: int) -> int:
    """Number K of blocks for R replicates."""
    return min(replicates, MAX_BLOCKS)


def block_sizes(replicates: int, K: int, room: int) -> FloatArray:
    """Numbers of replicates in each of the contiguous blocks that have any, (≤ K,).

    K blocks are cut of ``room`` replicates, of which there are the first so many.
    """
    return np.bincount(np.arange(replicates) * K // room).astype(float)


@dataclass(frozen=True, eq=False)
class Sample:
    """What the summary needs of R replicates.

    squared_error, squared_deviation, cosine, ascent, steps
        (R,) float64, per replicate ‖ĝ_r - g‖², ‖ĝ_r - E ĝ‖² with the exact expectation,
        cos(ĝ_r, g), 1[ĝ_r·g > 0] and environment steps.
    variance
        tr(Σ̂), unbiased.
    gram, sizes
        (K, K) float64, inner products of the K vectors Σ_{r∈b} (ĝ_r - g) of contiguous blocks, and
        (K,) float64, the numbers of replicates in them.
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
    sizes: FloatArray
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
        sizes: FloatArray,
        truth: FloatArray,
        expected: FloatArray,
        exact_variance: float = np.nan,
    ) -> "Sample":
        """A sample from running sums.

        Parameters
        ----------
        scalars, blocks
            (R, 6) and (K, d) as in ``kernels.running.RunningSums``; blocks is overwritten.
        sizes
            (K,) float64, numbers of replicates in the blocks.
        squares
            (d,) float64, Σ (ĝ_r - mean)².
        truth, expected, exact_variance
            g and E ĝ, (d,), and tr(Σ).
        """
        error, deviation, cosine, ascent, steps, _ = np.ascontiguousarray(scalars.T)
        variance = float(squares.sum()) / (error.size - 1)
        for block, size in zip(blocks, sizes, strict=True):
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
            sizes=sizes,
            d=truth.size,
            truth_squared=float(np.sum(truth**2)),
            exact_bias_squared=float(np.sum((expected - truth) ** 2)),
            exact_variance=exact_variance,
        )

    def about_its_mean(self) -> "Sample":
        """A sample without an expectation: deviations are from the replicates' own mean.

        They are enlarged by R/(R-1), so that their mean is tr(Σ̂); the bias that they suggest is
        itself measured and counts as unknown.
        """
        R = self.squared_deviation.size
        larger = self.squared_deviation * (R / (R - 1))
        return replace(self, squared_deviation=larger, exact_bias_squared=np.nan)

    def without_direction(self) -> "Sample":
        """A sample where g may be zero, so that nothing is relative to it."""
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
        effective = spread(self.squared_deviation)[2]
        if not effective >= MIN_SHARED:
            return f"fewer than {MIN_SHARED:g} effective replicates carry the spread"
        if self.missed:
            share = self.variance / self.exact_variance
            return f"rare events were not seen: {share:.2g} of the exact variance was measured"
        if self.checked:
            return ""
        if self.unbounded:
            return "a product of ratios without bound, and no exact variance to say what was missed"
        share = share_held(self.squared_deviation)
        if share < MIN_SHARE:
            return f"the tail is too heavy: the sample may hold {share:.1g} of the variance"
        return ""


def share_held(x: FloatArray) -> float:
    """The least share of its mean that a sample of positive x (R,) may hold, by its tail."""
    return least_share(tail_shape(x), x.size)


def spread(x: FloatArray) -> tuple[FloatArray, float, float]:
    """Deviations from the mean (R,), standard deviation, and effective replicates R/κ.

    The last is NaN where x does not vary beyond rounding.
    """
    deviation = x - x.mean()
    sd = float(np.sqrt(np.sum(deviation**2) / (x.size - 1)))
    if not sd > 1e-10 * float(np.abs(x).max()):
        return deviation, sd, np.nan
    square = deviation * deviation
    return deviation, sd, x.size / float((square * square).mean() / sd**4)
