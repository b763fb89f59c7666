"""Exact truth: values, gradients, Fisher information, optima and moments, without sampling."""

from pgbench.exact.linear import SolveError
from pgbench.exact.optimum import Optimum, optimal_value
from pgbench.exact.values import Truth, evaluate

__all__ = ["Optimum", "SolveError", "Truth", "evaluate", "optimal_value"]
