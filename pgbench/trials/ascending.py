"""Whether J ascends along a mean: whether its product with the gradient is positive everywhere."""

from collections.abc import Sequence
from enum import Enum

from scipy import special

from pgbench.trials.mean_analysis import LEVEL
from pgbench.trials.measured_mean import MeasuredMean


class Ascending(Enum):
    """Whether J ascends along a mean."""

    YES = "on every problem"
    NO = "not on every problem"
    UNKNOWN = "on some problem that cannot be told"


def ascending(results: Sequence[MeasuredMean], level: float = LEVEL) -> Ascending:
    """Whether E ĝ·∇J_H > 0 on all cases and sizes, each beyond doubt at the level of one in all."""
    sure = float(special.ndtri(1 - level / len(results)))
    factors = [result.along(result.estimates.case.finite) for result in results]
    if any(c.value + sure * c.se < 0 for c in factors):
        return Ascending.NO
    certain = all(c.value - sure * c.se > 0 for c in factors)
    return Ascending.YES if certain else Ascending.UNKNOWN
