"""The exact expectation of a table estimator, without anything of the size of θ."""

from functools import singledispatch
from typing import Any

from pgbench.arrays import FloatArray
from pgbench.exact.truth import Truth


@singledispatch
def expectation(truth: Truth, tables: Any, horizon: int | None = None) -> FloatArray:
    """The estimator's exact mean (d,) over at most ``horizon`` steps, or without limit.

    Raises
    ------
    Diverges
        If the mean has no limit as the horizon grows.
    """
    raise NotImplementedError(f"no expectations are known of a {type(truth).__name__}")
