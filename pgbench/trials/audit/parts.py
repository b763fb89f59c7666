"""The exact bias of a known estimator by cause, on the problems of a test."""

from collections.abc import Sequence

import numpy as np

from pgbench.grid.plan import Prepared
from pgbench.measure.subject import make_subject
from pgbench.policies import NotApplicable
from pgbench.trials.battery import Case
from pgbench.trials.known_estimators import KnownEstimator
from pgbench.trials.measured_mean import MeasuredMean

NONE = 1e-9
"""A part of so little of the gradient's length is rounding."""


def parts_of_bias(known: KnownEstimator, results: Sequence[MeasuredMean]) -> dict[str, float]:
    """By cause the largest part of the bias over cases and sizes, over the gradient's norm.

    Nothing of mistakes, which declare no cause.
    """
    largest: dict[str, float] = {}
    for result in [] if known.mistake else results:
        for cause, part in _parts(known, result.estimates.case, result.estimates.batch_size):
            if part > max(largest.get(cause, 0.0), NONE):
                largest[cause] = part
    return largest


def _parts(known: KnownEstimator, case: Case, batch_size: int) -> list[tuple[str, float]]:
    prepared = Prepared(case.truth, case.horizon, float(case.horizon), case.group_size)
    try:
        subject = make_subject(prepared, known.estimator, known.values)
    except NotApplicable:
        return []
    size = float(np.linalg.norm(subject.target))
    parts = subject.parts(batch_size)
    return [(cause, float(np.linalg.norm(part)) / size) for cause, part in parts.items()]
