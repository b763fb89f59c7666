"""What common code divides an estimate by, when that differs from batch to batch.

A loss that is averaged over all steps of a batch is the sum over its steps divided by their number,
which is random; so is the length of the longest trajectory, or the deviation of the returns. The
mean of such an estimate is no multiple of the gradient, yet every single one is a multiple of a
right one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.claims import Needs
from pgbench.functions import Batches


@dataclass(frozen=True)
class Normaliser:
    """A number that estimates are divided by.

    words
        As in "divided by ...".
    of
        ``of(batches)`` (R,), one for every batch; an average over trajectories is divided by it.
    remark
        What that says about the code.
    slack
        Relative difference that counts as none: code adds small numbers to what may be zero.
    scale, accepts
        What a function must claim for it to be right.
    """

    words: str
    of: Callable[[Batches], FloatArray]
    remark: str
    slack: float = 0.0
    scale: str = "per_step"
    accepts: frozenset[str] = frozenset()

    def needed(self, of: Needs | None) -> Needs | None:
        """What must be claimed for what is divided, by what that itself needs."""
        return of and of.also(self.scale, self.accepts)

    def divided(self, estimates: FloatArray, batches: Batches) -> FloatArray:
        """Estimates (R, d), divided; zero where the divisor is."""
        divisor = self.of(batches)[:, None]
        return np.divide(estimates, divisor, out=np.zeros_like(estimates), where=divisor > 0)


def returns(batches: Batches) -> FloatArray:
    """Discounted return of every trajectory, (R, N)."""
    gamma = batches.place.gamma
    return np.asarray((batches.rewards * gamma ** np.arange(batches.rewards.shape[2])).sum(axis=2))


def _steps(batches: Batches) -> FloatArray:
    return batches.steps / batches.batch_size


def _longest(batches: Batches) -> FloatArray:
    return batches.mask.sum(axis=2).max(axis=1).astype(np.float64)


def _deviation(batches: Batches) -> FloatArray:
    return np.asarray(returns(batches).std(axis=1))


def _sample_deviation(batches: Batches) -> FloatArray:
    n = batches.batch_size
    return _deviation(batches) * np.sqrt(n / max(n - 1, 1))


NORMALISERS = (
    Normaliser(
        "the steps per trajectory of its batch",
        _steps,
        "a mean over all steps of the batch in place of a sum over steps and a mean over"
        " trajectories: the number of steps is random, and long episodes count for less",
    ),
    Normaliser(
        "the length of its batch's longest trajectory",
        _longest,
        "a mean over the padded batch: the length of the padding is random",
    ),
    Normaliser(
        "the standard deviation of its batch's returns",
        _deviation,
        "what is divided by a deviation of the same batch keeps no length",
        slack=1e-3,
        scale="exact",
        accepts=frozenset({"normalisation"}),
    ),
    Normaliser(
        "the standard deviation of its batch's returns (with N - 1)",
        _sample_deviation,
        "what is divided by a deviation of the same batch keeps no length",
        slack=1e-3,
        scale="exact",
        accepts=frozenset({"normalisation"}),
    ),
)
"""The commonest."""
