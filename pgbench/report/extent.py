"""How much of a large run the tables of the page show, and what holds the rest."""

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from xarray import Dataset

Row = TypeVar("Row")

MOST_ROWS = 2000
"""Rows of a table, or of all tables of one kind; more make a page that no browser likes."""


def most_settings(data: "Dataset") -> int:
    """How many settings have a table, by the rows of each: estimators, or runs of ascents."""
    axes = ("estimator",) if "estimator" in data.sizes else ("algorithm", "step_size")
    rows = 1
    for axis in axes:
        rows *= max(data.sizes[axis], 1)
    return max(MOST_ROWS // rows, 1)


def holder(data: "Dataset") -> str:
    """What holds every setting, and a verb: the tables, or the dataset where those are cut."""
    n_settings = data.sizes["problem"] * data.sizes["policy"]
    return "the tables hold" if n_settings <= most_settings(data) else "results.nc holds"


def cut(
    rows: Iterable[Row], total: int, what: str, most: int | None = None
) -> tuple[list[Row], str]:
    """The first of the rows, and a sentence on the others if there are any."""
    shown = list(islice(rows, MOST_ROWS if most is None else most))
    if len(shown) >= total:
        return shown, ""
    return shown, f"Shown are the first {len(shown)} of {total} {what}; results.nc holds all."
