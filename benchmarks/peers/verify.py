"""Whether a contender computes the right thing: its mean against the exact expectation."""

from typing import NamedTuple

import numpy as np

CALLS = 64
LIMIT = 4.0
"""Standard errors. For a right contender, 63 degrees of freedom and four directions, one check in
1500 goes beyond."""


class Check(NamedTuple):
    """Outcome of a check.

    worst is the largest |z| over directions; resolution the error of scale, relative to the exact
    answer, that would have been four standard errors.
    """

    worst: float
    resolution: float

    @property
    def passed(self):
        return bool(self.worst < LIMIT)  # False for NaN


def check(workload, run, gives, n):
    """Mean over 64 calls of ``n`` trajectories, projected, against the exact expectation.

    The directions are the exact answer itself, which sees errors of scale, discounting and horizon
    best, and three of standard normals.
    """
    exact = getattr(workload, gives).ravel()
    normals = np.random.default_rng(0).standard_normal((3, exact.size))
    directions = np.stack([exact, *normals])
    sample = np.stack([directions @ run(n, seed).ravel() / n for seed in range(CALLS)])
    truth, error = directions @ exact, sample.std(axis=0, ddof=1) / np.sqrt(CALLS)
    z = (sample.mean(axis=0) - truth) / error
    return Check(float(np.abs(z).max()), float(LIMIT * error[0] / truth[0]))
