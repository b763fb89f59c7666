"""How a bias depends on the batch size, problem by problem."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.statistics import Estimate
from pgbench.trials.measured_mean import MeasuredMean

LARGER = 4
"""The second batch size is so many times the first."""

SLACK = 0.1
"""A share that is off by so much is still called 1/4, 1/2 or 1: 1/N is so for large N only."""


class Trend(Enum):
    """How a bias depends on the batch size, in words."""

    FASTER = "falls faster with the batch size than 1/N"
    LIKE = "falls with the batch size like 1/N"
    SLOWER = "falls with the batch size, more slowly than 1/N"
    STAYS = "does not fall with the batch size"
    GROWS = "grows with the batch size"
    UNCLEAR = "may fall with the batch size or not, which cannot be told"


@dataclass(frozen=True, eq=False)
class BiasLeft:
    """What is left of a problem's bias with four times as many trajectories, along that bias."""

    case: str
    left: Estimate

    @property
    def trend(self) -> Trend:
        """The one law that its interval allows."""
        left, low, high = self.left.value, self.left.low - SLACK, self.left.high + SLACK
        laws = {1 / LARGER: Trend.LIKE, LARGER**-0.5: Trend.SLOWER, 1.0: Trend.STAYS}
        held = [trend for share, trend in laws.items() if low <= share <= high]
        if len(held) > 1 or not np.isfinite(low):
            return Trend.UNCLEAR
        if held:
            return held[0]
        if left > 1:
            return Trend.GROWS
        return Trend.SLOWER if left > 1 / LARGER else Trend.FASTER


def shares(
    results: Sequence[MeasuredMean], seen: BoolArray, targets: Sequence[FloatArray]
) -> list[BiasLeft]:
    """One for every problem where a bias was seen at the smaller of two batch sizes."""
    found = []
    for i, small in enumerate(results):
        case, n = small.estimates.case, LARGER * small.estimates.batch_size
        larger = [
            other
            for other in results
            if other.estimates.case is case and other.estimates.batch_size == n
        ]
        if seen[i] and larger:
            found.append(BiasLeft(case.name, small.remains(targets[i], larger[0])))
    return found
