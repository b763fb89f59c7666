"""Whole trajectories as weights of them see them: what came of each, and how long it took.

An outcome weight is a plain function of responses to one number for each, (..., P, G). The estimate
is ĝ = Σ_{p,i} w_{p,i} Z_{p,i} with Z = Σ_t ψ_t, so what averages over the batch is part of w.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pgbench.arrays import BoolArray, FloatArray


@dataclass(frozen=True, eq=False)
class Responses:
    """P groups of G trajectories each; arrays are (..., P, G).

    Attributes
    ----------
    returns
        float64, R = Σ_t γ^t r_t, unit reward.
    lengths
        float64, steps of each. Where only a total counts it may be shared evenly, in fractions.
    truncated
        bool, whether a limit cut the trajectory: the problem's own, or the horizon.
    outcomes
        (..., P, G, c) float64, what the problem says of the state in which the trajectory ended,
        the first 1 for success and 0 for failure; zeros where the horizon cut it. None if the
        problem says nothing.
    limit
        Most steps that a trajectory may take.
    """

    returns: FloatArray
    lengths: FloatArray
    truncated: BoolArray
    outcomes: FloatArray | None
    limit: int

    @property
    def success(self) -> FloatArray:
        """1 for success and 0 for failure, (..., P, G): the verdict, or else whether R > 0."""
        if self.outcomes is None:
            return np.asarray(self.returns > 0, np.float64)
        return self.outcomes[..., 0]

    @property
    def count(self) -> int:
        """How many there are, P·G."""
        return self.returns.shape[-2] * self.returns.shape[-1]

    @property
    def group_size(self) -> int:
        """G."""
        return self.returns.shape[-1]


Weights = Callable[[Responses], FloatArray]
"""An outcome weight: responses to weights (..., P, G)."""

Keep = Callable[[Responses], BoolArray]
"""Which groups are kept, (..., P); the others are drawn again."""
