"""Exact mean and variance of a table estimator over one trajectory, without sampling."""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.expectation import expectation
from pgbench.exact.horizon import finite_gradient
from pgbench.exact.truth import Truth
from pgbench.problems.problem import Diverges


@dataclass(frozen=True)
class Size:
    """Memory in bytes, and operations, of which one core does about 3·10⁹ per second."""

    memory_bytes: float
    operations: float


LIMIT = Size(memory_bytes=8 * 2**30, operations=4e11)
"""The largest exact moments of table estimators that are worked out unless more is allowed: two
minutes of one core, which is what 10⁴ states take."""

SUMS_LIMIT = Size(memory_bytes=3 * 2**30, operations=4e10)
"""The same of all other exact sums, and of what is worked out to make an estimator."""

DIRECTION_LIMIT = Size(memory_bytes=2**30, operations=1e9)
"""The same for the variance along a direction; one takes about ten seconds at most."""


class TooLarge(ValueError):
    """The exact moments need more memory or time than allowed; the message says how much."""


class NoFiniteVariance(ValueError):
    """The estimator's variance is infinite over an infinite horizon."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Exact moments of a one-trajectory estimate, (d,) float64 each.

    Attributes
    ----------
    mean, variance
        Per coordinate. An average of n independent trajectories has the same mean and 1/n of the
        variance.
    bias
        mean - ∇J.
    truncation_bias
        What of the bias is due to the horizon: the mean less its own limit over an infinite
        horizon. Where there is no such limit (γ^t left out of a continuing task) it is ∇J_H - ∇J.
    error
        Proven bound on the error of the variance of large problems: by what is left out of returns
        to a state, and by the rounding of those that were followed. 0 where nothing is left out.
    """

    mean: FloatArray
    variance: FloatArray
    bias: FloatArray
    truncation_bias: FloatArray
    error: FloatArray | float = 0.0

    @property
    def remaining_bias(self) -> FloatArray:
        """What of the bias a longer horizon does not remove."""
        return self.bias - self.truncation_bias

    @property
    def trace(self) -> float:
        """tr Cov(ĝ)."""
        return float(self.variance.sum())

    def by_state(self, n_states: int) -> FloatArray:
        """Variance summed over each state's own parameters (S,), for a tabular policy."""
        if self.variance.size % n_states:
            raise ValueError(
                f"{self.variance.size} parameters do not belong to {n_states} states in equal parts"
            )
        return self.variance.reshape(n_states, -1).sum(axis=1)


def require_finite(estimator: str, mean: FloatArray, variance: FloatArray | None) -> None:
    """OverflowError where exact moments are not numbers."""
    known = {"mean": mean} if variance is None else {"mean": mean, "variance": variance}
    for name, values in known.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise OverflowError(
                f"{estimator}: coordinate {bad[0]} of the exact {name} is {values[bad[0]]}, must be"
                " finite; is theta too extreme?"
            )


def fits(needed: Size, limit: Size = LIMIT) -> bool:
    """Whether exact moments of this size are worked out."""
    return needed.memory_bytes <= limit.memory_bytes and needed.operations <= limit.operations


def require_fitting(needed: Size, limit: Size) -> None:
    """TooLarge where exact moments of this size are not worked out."""
    if not fits(needed, limit):
        raise TooLarge(
            f"too large for exact moments: {needed.memory_bytes / 2**30:.2g} GiB and"
            f" {needed.operations:.1e} operations, more than the"
            f" {limit.memory_bytes / 2**30:g} GiB and {limit.operations:g} allowed"
        )


@singledispatch
def moments_size(truth: Truth, tables: Any, horizon: int | None) -> Size:
    """What the exact moments of an estimator take, known before they are begun."""
    raise NotImplementedError(f"no exact moments are known of a {type(truth).__name__}")


@singledispatch
def table_moments(
    truth: Truth,
    tables: Any,
    horizon: int | None,
    *,
    limit: Size = LIMIT,
    threads: int | None = None,
) -> Moments:
    """Exact moments of an estimator given by its tables, over one trajectory.

    Parameters
    ----------
    truth
        What is exact about the policy on its problem.
    tables
        The estimator as data: ``Tables`` of a finite problem, ``Forms`` of a linear-quadratic one.
    horizon
        Number of steps H, or None for the infinite horizon.
    limit
        Memory and operations allowed; ``moments_size`` says beforehand what is needed.
    threads
        Number of threads, default one per core; no result depends on it.

    Raises
    ------
    ValueError
        TooLarge beyond the limit; NoFiniteVariance where the variance is infinite.
    """
    raise NotImplementedError(f"no exact moments are known of a {type(truth).__name__}")


@singledispatch
def directional_variance(
    truth: Truth, tables: Any, horizon: int | None, directions: FloatArray
) -> FloatArray:
    """Exact variance (m,) of u·ĝ for m directions u (m, d), at the price of m coordinates.

    Raises NoFiniteVariance as ``table_moments`` does, and TooLarge beyond ``DIRECTION_LIMIT``.
    """
    raise NotImplementedError(f"no exact moments are known of a {type(truth).__name__}")


def truncation_bias(truth: Truth, tables: Any, mean: FloatArray, horizon: int | None) -> FloatArray:
    """What a finite horizon does to an estimator's mean (d,); see ``Moments``."""
    if horizon is None:
        return np.zeros_like(mean)
    try:
        return mean - expectation(truth, tables)
    except Diverges:
        return finite_gradient(truth, horizon) - truth.gradient
