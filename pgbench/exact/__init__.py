"""Exact truth: values, gradients, Fisher information, optima and moments, without sampling."""

from pgbench.exact.finite.linear import SolveError
from pgbench.exact.finite.optimum import Optimum, optimal_value
from pgbench.exact.finite.trajectory import log_probability
from pgbench.exact.linear_quadratic import QuadraticTruth, Regulator, optimal_regulator
from pgbench.exact.table_moments import (
    Moments,
    NoFiniteVariance,
    Size,
    TooLarge,
    moments,
)
from pgbench.exact.truth import Truth
from pgbench.exact.values import FiniteTruth, evaluate

__all__ = [
    "FiniteTruth",
    "Moments",
    "NoFiniteVariance",
    "Optimum",
    "QuadraticTruth",
    "Regulator",
    "Size",
    "SolveError",
    "TooLarge",
    "Truth",
    "evaluate",
    "log_probability",
    "moments",
    "optimal_regulator",
    "optimal_value",
]
