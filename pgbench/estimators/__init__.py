"""Estimators: each a small file holding a record; see ``estimator.py`` for what a record is."""

from pgbench.estimators.estimator import CAUSES, UNBIASED, TableEstimator
from pgbench.registry import discover, find
from pgbench.tables import Tables

__all__ = ["CAUSES", "UNBIASED", "TableEstimator", "Tables", "estimators", "find_estimator"]


def estimators() -> dict[str, TableEstimator]:
    """Every estimator by name."""
    return discover(__name__, TableEstimator)


def find_estimator(name: str) -> TableEstimator:
    """The estimator of that name; ValueError for an unknown one."""
    return find("estimator", estimators(), name)
