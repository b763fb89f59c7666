"""The policy itself."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.truth import Truth
from pgbench.samplers.sampler import ON_POLICY, Sampler


def table(truth: Truth) -> FloatArray:
    """The policy itself, with no other sampler in its place."""
    return np.asarray(truth.pi, np.float64)


sampler = Sampler(ON_POLICY, table, r"\mu = \pi", "Williams 1992")
