"""Exact quantities of policies on finite problems.

V, Q and visits are tables. Importing this package registers what functions such as
``pgbench.exact.expectation.expectation`` do for these problems.
"""

from pgbench.exact.finite import expectation, moments, returns, starts
from pgbench.exact.finite.values import FiniteTruth

__all__ = ["FiniteTruth", "expectation", "moments", "returns", "starts"]
