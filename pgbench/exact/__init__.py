"""Exact truth: values, gradients, Fisher information, optima and moments, without sampling."""

from typing import TYPE_CHECKING, Any

import pgbench
from pgbench.exact.finite.optimum import Optimum, optimal_value
from pgbench.exact.finite.soft_optimum import SoftOptimum, soft_optimum
from pgbench.exact.finite.trajectory import log_probability
from pgbench.exact.finite.values import FiniteTruth
from pgbench.exact.linear_quadratic import QuadraticTruth, Regulator, optimal_regulator
from pgbench.exact.penalty import Penalty
from pgbench.exact.table_moments import Moments, NoFiniteVariance, Size, TooLarge
from pgbench.exact.truth import Truth, evaluate
from pgbench.problems.problem import SolveError

if TYPE_CHECKING:
    from pgbench import moments

__all__ = [
    "FiniteTruth",
    "Moments",
    "NoFiniteVariance",
    "Optimum",
    "Penalty",
    "QuadraticTruth",
    "Regulator",
    "Size",
    "SoftOptimum",
    "SolveError",
    "TooLarge",
    "Truth",
    "evaluate",
    "log_probability",
    "moments",
    "optimal_regulator",
    "optimal_value",
    "soft_optimum",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # Moments of an estimator by name need the estimators, which stand above what is exact. The
        # name is offered here too, as the package offers it.
        if name == "moments":
            return pgbench.moments
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
