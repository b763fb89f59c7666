"""The figures of a report: each a record beside the function that draws it, found by its file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pgbench.declared.parameters import Parameter
from pgbench.declared.registry import discover
from pgbench.report.panels import Drawing

Subject = Literal["run", "estimators", "ascents"]


@dataclass(frozen=True)
class Plot:
    """A figure of the page.

    Attributes
    ----------
    name
        Of its files.
    title
        What stands above it.
    draw
        Draws it from the data; NothingToDraw where they lack what it shows.
    order
        Its place on the page, among those of the same data.
    of
        What it is drawn from: the tree of the whole run, the dataset of estimators, or of ascents.
    explained
        Whether its absence is explained; else it is left out where there is nothing to show.
    """

    name: str
    title: str
    draw: Callable[[Any], Drawing]
    order: int
    of: Subject = "estimators"
    explained: bool = True

    @property
    def parameters(self) -> dict[str, Parameter]:
        """None: a figure is drawn in one way."""
        return {}

    @property
    def summary(self) -> str:
        """What it shows, in a line."""
        return (self.draw.__doc__ or "").strip().splitlines()[0]


def plots(of: Subject) -> dict[str, Plot]:
    """The figures that are drawn from the same data by name, in the order of the page."""
    found = discover("pgbench.report", Plot) | discover("pgbench.report.ascents", Plot)
    ordered = sorted(found.values(), key=lambda plot: plot.order)
    return {plot.name: plot for plot in ordered if plot.of == of}
