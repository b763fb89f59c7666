"""Exact quantities of Gaussian policies on linear-quadratic problems.

With x̃ = (x, 1) everything is a matrix: V = -x̃ᵀPx̃, visits are second moments M of x̃, and a weight
table is a block of moments of (e, 1) and (x̃, e). Importing this package registers what functions
such as ``pgbench.exact.expectation.expectation`` do for these problems.
"""

from pgbench.exact.linear_quadratic import expectation, moments
from pgbench.exact.linear_quadratic.scalar import landscape
from pgbench.exact.linear_quadratic.values import QuadraticTruth
from pgbench.problems.riccati import (
    Regulator,
    optimal_gain,
    optimal_regulator,
)

__all__ = [
    "QuadraticTruth",
    "Regulator",
    "expectation",
    "landscape",
    "moments",
    "optimal_gain",
    "optimal_regulator",
]
