"""Exact truth: values, gradients, Fisher information, optima and moments, without sampling."""

from pgbench.exact.linear import SolveError
from pgbench.exact.moments import (
    Moments,
    NoFiniteVariance,
    Size,
    TooLarge,
    moments,
)
from pgbench.exact.optimum import Optimum, optimal_value
from pgbench.exact.trajectory import log_probability
from pgbench.exact.values import Truth, evaluate

__all__ = [
    "Moments",
    "NoFiniteVariance",
    "Optimum",
    "Size",
    "SolveError",
    "TooLarge",
    "Truth",
    "evaluate",
    "log_probability",
    "moments",
    "optimal_value",
]
