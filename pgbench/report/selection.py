"""Which estimators are drawn where lines of more than a dozen could not be told apart."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING

import numpy as np

from pgbench.report.extent import holder
from pgbench.report.panels import Drawing

if TYPE_CHECKING:
    from xarray import Dataset

MOST_ESTIMATORS = 12
"""More lines than this could not be told apart."""

MOST_LEVELS = 64
"""More rows than this, one above another, make a figure that nobody sees at once."""


def of_the_best(
    figure: Callable[["Dataset"], Drawing], most: int = MOST_ESTIMATORS
) -> Callable[["Dataset"], Drawing]:
    """Draw a figure for the estimators of least error, with a word on the others."""

    @wraps(figure)
    def drawn(summary: "Dataset") -> Drawing:
        n = summary.sizes["estimator"]
        if n <= most:
            return figure(summary)
        drawing = figure(summary.isel(estimator=_least_errors(summary, most)))
        note = (
            f" Drawn are the {most} of {n} estimators with the least error at the"
            f" largest batch size; {holder(summary)} all."
        )
        return replace(drawing, caption=drawing.caption + note)

    return drawn


def _least_errors(summary: "Dataset", most: int) -> list[int]:
    """Indices, in the order of the grid, by rank of the relative RMSE averaged over settings."""
    error = summary["relative_rmse"].values[..., -1]
    rank = np.argsort(np.argsort(np.where(np.isfinite(error), error, np.inf), axis=2), axis=2)
    mean = rank.reshape(-1, rank.shape[2]).mean(axis=0)
    return sorted(int(e) for e in np.argsort(mean, kind="stable")[:most])
