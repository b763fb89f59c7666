"""Likelihood ratios of rollouts under two policies."""

from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.rollout.several import Recorded


def ratios(drawn: Recorded, crowd: Any, other: Any) -> FloatArray:
    """Π_t π'(a_t|s_t)/π(a_t|s_t) of rollouts drawn by a finite crowd, (m, n); may be infinite."""
    from pgbench.kernels.crowd import likelihood_ratios

    m, n, _ = drawn.pair.shape
    out = np.empty((m, n))
    old, new = (np.ascontiguousarray(c.pi).reshape(m, -1) for c in (crowd, other))
    likelihood_ratios(drawn.pair, drawn.steps, old, new, out)
    return out
