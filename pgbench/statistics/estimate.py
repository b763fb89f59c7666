"""A statistic with its interval."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

CONFIDENCE = 0.95
NORMAL = float(special.ndtri(0.5 + CONFIDENCE / 2))


@dataclass(frozen=True)
class Estimate:
    """A statistic with its standard error and 95 % interval; NaN where there is none."""

    value: float
    se: float
    low: float
    high: float

    def map(self, function: Callable[[float], float], slope: float) -> "Estimate":
        """The estimate of a monotone function, whose derivative at the value is ``slope``."""
        ends = sorted(function(end) for end in (self.low, self.high))
        return Estimate(function(self.value), abs(slope) * self.se, *ends)


NOTHING = Estimate(np.nan, np.nan, np.nan, np.nan)
