"""Figures of a statistic against the batch size: error and direction."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from pgbench.arrays import FloatArray
from pgbench.report.marks import DASHES, decades, dodge, key, log_axis, points, power_guides
from pgbench.report.panels import (
    Drawing,
    Facets,
    NothingToDraw,
    Place,
    add_legend,
    chosen_facets,
    estimator_handles,
    label_below,
    panels,
)
from pgbench.report.plots import Plot
from pgbench.report.selection import of_the_best
from pgbench.report.statistic import Statistic
from pgbench.report.style import GUIDE, INK, looks
from pgbench.report.unresolved import noted

if TYPE_CHECKING:
    from xarray import Dataset


@of_the_best
def rmse(summary: "Dataset") -> Drawing:
    """Relative root mean squared error against batch size, with the fitted power law."""
    batch_sizes = _batch_sizes(summary)
    error = Statistic.of(summary, "relative_rmse").positive
    finite = np.isfinite(error.value)
    facets = chosen_facets(summary, finite)
    figure, axes = panels(summary, facets, 2.5, sharex=True, sharey=True)
    slope = summary["rmse_rate"].values
    with np.errstate(divide="ignore"):
        constant = (
            np.exp(summary["rmse_rate_intercept"].values)
            / summary["target_norm"].max("batch_size").values
        )
    for place, ax in axes.items():
        _batch_axis(ax, batch_sizes)
        decades(ax)
        for e, style in enumerate(looks(summary)):
            own = (*place, e)
            if np.isfinite(slope[own]):
                fit = constant[own] * batch_sizes ** slope[own]
                ax.plot(batch_sizes, fit, color=style.colour, linestyle=style.line, linewidth=1.0)
            x = batch_sizes * dodge(e, summary.sizes["estimator"], batch_sizes)
            points(ax, x, error[own], style, line=False)
    places = tuple(np.array(facets.places).T)
    seen = error.value[places]
    for ax in axes.values():
        ax.set_ylim(np.nanmin(seen) / 1.6, np.nanmax(seen) * 1.6)
        ax.axhline(1, color=INK, linewidth=0.7, zorder=0.6)
        power_guides(ax, -0.5)
    _label(axes, facets, "relative RMSE")
    reference = key("slope −1/2", color=GUIDE, linewidth=0.8, linestyle=DASHES)
    handles = estimator_handles(summary, finite[places].any(axis=(0, 2)))
    add_legend(figure, [*handles, reference])
    return Drawing(
        figure,
        "Root mean squared error against the exact gradient, over its norm, against the number n "
        "of trajectories per estimate. Marks are measured, with 95 % intervals, side by side where "
        "batch sizes are the same; lines are the fitted power laws; dashed grey lines fall like n "
        "to the power −1/2, as the error of any unbiased average does. An error above 1 is worse "
        "than the estimate zero; a biased "
        f"estimator leaves its line and levels off at its relative bias.{facets.note}",
        "Relative RMSE against batch size on logarithmic axes, one line per estimator.",
    )


@of_the_best
def direction(summary: "Dataset") -> Drawing:
    """Mean cosine with the exact gradient against batch size."""
    batch_sizes = _batch_sizes(summary)
    cosine = Statistic.of(summary, "cosine")
    finite = np.isfinite(cosine.value)
    facets = chosen_facets(summary, finite)
    figure, axes = panels(summary, facets, 2.2, sharex=True, sharey=True)
    for place, ax in axes.items():
        _batch_axis(ax, batch_sizes)
        for level in (0, 1):
            ax.axhline(level, color=INK, linewidth=0.7, zorder=0.6)
        for e, style in enumerate(looks(summary)):
            x = batch_sizes * dodge(e, summary.sizes["estimator"], batch_sizes)
            points(ax, x, cosine[(*place, e)], style, line=True)
    _label(axes, facets, "mean cosine of ĝ with ∇J")
    places = tuple(np.array(facets.places).T)
    add_legend(figure, estimator_handles(summary, finite[places].any(axis=(0, 2))))
    return Drawing(
        figure,
        "Mean cosine of the estimate with the exact gradient against the number n of trajectories "
        "per estimate, with 95 % intervals. At 1 every estimate points along the gradient, at 0 it "
        "points anywhere. An unbiased estimator reaches 1 as n grows; a biased one may stay below."
        + facets.note,
        "Mean cosine with the exact gradient against batch size, one line per estimator.",
    )


def _batch_sizes(summary: "Dataset") -> FloatArray:
    batch_sizes = summary["batch_size"].values
    if batch_sizes.size < 2:
        raise NothingToDraw("the run has a single batch size.")
    return np.asarray(batch_sizes)


def _batch_axis(ax: Axes, batch_sizes: FloatArray) -> None:
    log_axis(ax, batch_sizes, "")
    ax.set_xlim(batch_sizes[0] / 1.25, batch_sizes[-1] * 1.25)


def _label(axes: dict[Place, Axes], facets: Facets, label: str) -> None:
    """Label the first panel of each row and the lowest panel of each column."""
    for row in facets.rows:
        axes[row[0]].set_ylabel(label)
    label_below(axes, facets, "batch size n")


rmse_plot = Plot("rmse", "Error against batch size", noted(rmse), order=6)
direction_plot = Plot("direction", "Direction", noted(direction), order=8)
