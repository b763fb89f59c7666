"""Which estimators are drawn where lines of more than a dozen could not be told apart."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING

import numpy as np

from pgbench.report.panels import Drawing

if TYPE_CHECKING:
    from xarray import Dataset

MOST_ESTIMATORS = 12
"""More lines than this could not be told apart."""


def of_the_best(figure: Callable[["Dataset"], Drawing]) -> Callable[["Dataset"], Drawing]:
    """Draw a figure for the twelve estimators of least error, with a word on the others."""

    @wraps(figure)
    def drawn(summary: "Dataset") -> Drawing:
        n = summary.sizes["estimator"]
        if n <= MOST_ESTIMATORS:
            return figure(summary)
        drawing = figure(summary.isel(estimator=_least_errors(summary)))
        note = (
            f" Drawn are the {MOST_ESTIMATORS} of {n} estimators with the least error at the"
            " largest batch size; the tables hold all."
        )
        return replace(drawing, caption=drawing.caption + note)

    return drawn


def _least_errors(summary: "Dataset") -> list[int]:
    """Indices, in the order of the grid, by rank of the relative RMSE averaged over settings."""
    error = summary["relative_rmse"].values[..., -1]
    rank = np.argsort(np.argsort(np.where(np.isfinite(error), error, np.inf), axis=2), axis=2)
    mean = rank.reshape(-1, rank.shape[2]).mean(axis=0)
    return sorted(int(e) for e in np.argsort(mean, kind="stable")[:MOST_ESTIMATORS])
