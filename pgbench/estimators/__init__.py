"""Estimators: each a small file holding a record; see ``estimator.py`` for what a record is."""

from typing import Any

from pgbench.estimators.estimator import (
    CAUSES,
    HORIZON,
    UNBIASED,
    BatchEstimator,
    Estimator,
    Exact,
    TableEstimator,
)
from pgbench.exact.values import Truth
from pgbench.parameters import ParameterError
from pgbench.registry import discover, find
from pgbench.simulator import Simulator
from pgbench.tables import Tables

__all__ = [
    "CAUSES",
    "HORIZON",
    "UNBIASED",
    "BatchEstimator",
    "Estimator",
    "Exact",
    "Simulator",
    "TableEstimator",
    "Tables",
    "estimators",
    "find_estimator",
    "make_tables",
]


def estimators() -> dict[str, Estimator]:
    """Every estimator by name."""
    return discover(__name__, Estimator)


def find_estimator(name: str) -> Estimator:
    """The estimator of that name; ValueError for an unknown one."""
    return find("estimator", estimators(), name)


def make_tables(truth: Truth, name: str, horizon: int | None = None, **given: Any) -> Tables:
    """The tables of an estimator by name; ValueError if it is unknown or has none."""
    estimator = find_estimator(name)
    if not isinstance(estimator, TableEstimator):
        raise ParameterError(f"{name} is a function of batches and has no tables")
    return estimator.make(truth, horizon, **given)
