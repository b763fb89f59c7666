"""The distribution of actions that a Gaussian policy takes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pgbench.arrays import FloatArray


@dataclass(frozen=True, eq=False)
class Law:
    """N(K̃x̃, Σ) with x̃ = (x, 1): the distribution of actions.

    gain (..., m, n+1) float64, its last column the offset; covariance (..., m, m) float64. Leading
    axes are several laws at once.
    """

    gain: FloatArray
    covariance: FloatArray

    @cached_property
    def factor(self) -> FloatArray:
        """Lower triangular L (m, m) with LLᵀ = Σ."""
        return np.asarray(np.linalg.cholesky(self.covariance), np.float64)

    @cached_property
    def precision(self) -> FloatArray:
        """Σ⁻¹ (m, m)."""
        inverse = np.linalg.inv(self.factor)
        return np.asarray(np.swapaxes(inverse, -1, -2) @ inverse, np.float64)

    @property
    def log_volume(self) -> FloatArray:
        """½ log |Σ|, (...)."""
        diagonal = np.diagonal(self.factor, axis1=-2, axis2=-1)
        return np.asarray(np.log(diagonal).sum(axis=-1), np.float64)

    @property
    def size(self) -> int:
        """Numbers in a table of weights."""
        m, columns = self.gain.shape[-2:]
        return int((m + 1) * (columns + m))
