"""The exact bias of a known estimator by cause, on the problems of a test."""

from collections.abc import Sequence

from pgbench.trials.known_estimators import KnownEstimator
from pgbench.trials.measured_mean import MeasuredMean

NONE = 1e-9
"""A part of so little of the gradient's length is rounding."""


def parts_of_bias(known: KnownEstimator, results: Sequence[MeasuredMean]) -> dict[str, float]:
    """By cause the largest part of the bias over cases and sizes, over the gradient's norm.

    Nothing of mistakes that no claim allows: they declare no cause.
    """
    largest: dict[str, float] = {}
    for result in [] if known.needs is None else results:
        own = known.parts(result.estimates.case, result.estimates.batch_size)
        for cause, part in own.items():
            if part > max(largest.get(cause, 0.0), NONE):
                largest[cause] = part
    return largest
