"""Whole trajectories as outcome weights see them: what came of each, and how long it took.

An outcome weight is a plain function of responses to one number for each, (..., P, G). The estimate
is ĝ = Σ_{p,i} w_{p,i} Z_{p,i} with Z = Σ_t ψ_t, so what averages over the batch is part of w.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.process.batch import Batch


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
        zeros where the horizon cut it; None if the problem says nothing.
    limit
        Most steps that a trajectory may take.
    """

    returns: FloatArray
    lengths: FloatArray
    truncated: BoolArray
    outcomes: FloatArray | None
    limit: int


Weights = Callable[[Responses], FloatArray]
"""An outcome weight: responses to weights (..., P, G)."""

Keep = Callable[[Responses], BoolArray]
"""Which groups are kept, (..., P); the others are drawn again."""


def responses_of(batch: Batch, group_size: int, limit: int) -> Responses:
    """Responses (m, P, G) of m replicates of P·G trajectories, groups one after another."""
    mdp, m = batch.process.mdp, batch.shape[0]
    last = np.maximum(batch.lengths - 1, 0)
    final = np.take_along_axis(batch.successors, last[:, :, None], 2).reshape(m, -1, group_size)
    cut = ~mdp.terminal[final]
    if mdp.truncated is not None:
        cut |= mdp.truncated[final]
    return Responses(
        returns=batch.returns.reshape(final.shape),
        lengths=batch.lengths.reshape(final.shape).astype(np.float64),
        truncated=cut,
        outcomes=None if mdp.outcomes is None else mdp.outcomes[final],
        limit=limit,
    )
