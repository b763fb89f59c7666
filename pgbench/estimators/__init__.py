"""Estimators: each a small file holding a record; see ``estimator.py`` for what a record is."""

from typing import Any

from pgbench.declared.causes import CAUSES, HORIZON, UNBIASED
from pgbench.declared.parameters import ParameterError
from pgbench.declared.registry import discover, find
from pgbench.declared.sources import forget_sources, source
from pgbench.estimators.parts.estimator import (
    BatchEstimator,
    Estimator,
    Exact,
    TableEstimator,
)
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables
from pgbench.rollout.simulator import Simulator

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
    "add_estimator",
    "estimators",
    "find_estimator",
    "make_tables",
]


_added: dict[str, Estimator] = {}


def estimators() -> dict[str, Estimator]:
    """Every estimator by name, added ones last."""
    return {**discover(__name__, Estimator), **_added}


def add_estimator(estimator: Estimator) -> None:
    """Let an estimator from elsewhere be found by its name, in grids and by ``sample_gradients``.

    One that was added from the same file before is replaced, as after an edit. ValueError if the
    name is another's.
    """
    name, own = estimator.name, source(estimator.maker)
    if name in estimators() and (name not in _added or source(_added[name].maker) != own):
        raise ValueError(f"there is an estimator called {name!r} already; choose another name")
    forget_sources()
    _added[name] = estimator


def is_added(name: str) -> bool:
    """Whether the estimator of that name is from elsewhere."""
    return name in _added


def find_estimator(name: str) -> Estimator:
    """The estimator of that name; ValueError for an unknown one."""
    return find("estimator", estimators(), name)


def make_tables(truth: Truth, name: str, horizon: int | None = None, **given: Any) -> Tables:
    """The tables of an estimator by name; ValueError if it is unknown or has none."""
    estimator = find_estimator(name)
    if not isinstance(estimator, TableEstimator):
        raise ParameterError(f"{name} is a function of batches and has no tables")
    return estimator.make(truth, horizon, **given)
