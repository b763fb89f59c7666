"""Dot plots with a panel per setting and a row per estimator: bias against truth, and rates."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pgbench.report.declared import TEST_LEVEL, declared_biased
from pgbench.report.marks import DASHES, dots, key
from pgbench.report.panels import (
    TALL,
    Drawing,
    Facets,
    NothingToDraw,
    Place,
    add_legend,
    chosen_facets,
    label_below,
    panels,
    scale_at_both_ends,
)
from pgbench.report.plots import Plot
from pgbench.report.selection import MOST_LEVELS, of_the_best
from pgbench.report.statistic import Statistic
from pgbench.report.style import GUIDE, INK, estimator_labels, looks
from pgbench.report.tables import number
from pgbench.report.unresolved import noted

if TYPE_CHECKING:
    from xarray import Dataset

ROW_HEIGHT = 0.19
LABEL_WIDTH = 2.1
LINEAR = 0.01
"""The axis of the bias is linear up to here, and logarithmic beyond."""

MOST_DECADES = 3
"""Labelled powers of ten that a narrow panel has room for."""


def bias(summary: "Dataset") -> Drawing:
    """Measured relative bias next to the exact one, at the largest batch size."""
    measured = Statistic.of(summary, "relative_bias")[..., -1].within
    exact = summary["exact_relative_bias"].values[..., -1]
    significant = summary["bias_test_p_holm"].values[..., -1] < TEST_LEVEL
    facets = chosen_facets(summary, np.isfinite(measured.value))
    figure, axes = _rows_of_dots(summary, facets, "relative bias", sharex=True)
    stroke: dict[str, Any] = {
        "linestyle": "none",
        "marker": "|",
        "markersize": 9,
        "markeredgewidth": 1.3,
        "color": INK,
    }
    shown: list[float] = [0.0]
    for place, ax in axes.items():
        own = measured[place]
        ax.axvline(0, color=INK, linewidth=0.7, zorder=0.6)
        dots(ax, own, looks(summary), significant[place])
        ax.plot(exact[place], np.arange(exact.shape[-1]), zorder=4, **stroke)
        shown += [x for x in (*own.value, *own.low, *own.high, *exact[place]) if np.isfinite(x)]
    for ax in axes.values():
        _near_zero_axis(ax, max(shown))
    mark: dict[str, Any] = {"color": INK, "marker": "o", "linestyle": "none"}
    add_legend(
        figure,
        [
            key("measured, significant", **mark),
            key("measured, not significant", markerfacecolor="white", **mark),
            key("exact, no sampling", **stroke),
        ],
    )
    n = int(summary["batch_size"].values[-1])
    return Drawing(
        figure,
        f"Relative bias ‖E ĝ − ∇J‖ / ‖∇J‖ at batch size {n}. Marks are measured, with the noise "
        "removed, bars are 95 % intervals of the norm, upright strokes the exact bias, computed "
        "with no sampling. A mark is filled where the mean differs "
        "from ∇J at the 5 % level after Holm's correction over all cells; the interval of the norm "
        "may still hold zero, since the test looks along "
        f"single directions. The axis is linear up to {LINEAR:g} (shaded) and logarithmic "
        "beyond; a squared bias below zero by chance is drawn at zero. † declares a bias that a "
        "longer horizon does not "
        "remove. Estimators of the natural gradient are compared with that in place of ∇J."
        f"{facets.note}",
        f"Relative bias with interval beside the exact relative bias, at batch size {n}, one row "
        "per estimator.",
    )


def rates(summary: "Dataset") -> Drawing:
    """Fitted exponents of RMSE against batch size."""
    if summary.sizes["batch_size"] < 2:
        raise NothingToDraw("the run has a single batch size.")
    rate = Statistic.of(summary, "rmse_rate")
    facets = chosen_facets(summary, np.isfinite(rate.value))
    figure, axes = _rows_of_dots(summary, facets, "slope of log RMSE", sharex="col")
    for place, ax in axes.items():
        ax.axvline(-0.5, color=GUIDE, linewidth=1.0, linestyle=DASHES, zorder=0.6)
        dots(ax, rate[place], looks(summary), np.ones(rate.value.shape[2], bool))
        ax.locator_params(axis="x", nbins=4)
    return Drawing(
        figure,
        "Slope of log RMSE against log batch size with its 95 % interval, the slopes of the lines "
        "above. Unbiased estimators sit at −1/2 (dashed); a slope nearer to zero shows a bias that "
        f"averaging does not remove. † declares such a bias. Columns differ in scale.{facets.note}",
        "Fitted slope of RMSE with interval, one row per estimator, beside the value −1/2.",
    )


def _rows_of_dots(
    summary: "Dataset", facets: Facets, label: str, sharex: bool | str
) -> tuple[Figure, dict[Place, Axes]]:
    """Panels with a row per estimator; ``label`` stands below the lowest ones."""
    labels = [str(e) for e in summary["estimator"].values]
    height = len(labels) * ROW_HEIGHT + 0.45
    figure, axes = panels(
        summary, facets, height, scale=0.85, margin=LABEL_WIDTH, sharex=sharex, sharey=True
    )
    ticks = estimator_labels(labels, declared_biased(summary))
    for ax in axes.values():
        ax.set_yticks(np.arange(len(labels)), ticks)
        ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    label_below(axes, facets, label)
    if len(labels) > TALL:
        for ax in axes.values():
            scale_at_both_ends(ax)
    return figure, axes


def _near_zero_axis(ax: Axes, high: float) -> None:
    """A logarithmic axis that holds zero: it is linear up to ``LINEAR``."""
    high = max(1.6 * high, 2 * LINEAR)
    powers = range(round(np.log10(LINEAR)), int(np.floor(np.log10(high))) + 1)
    step = -(-len(powers) // MOST_DECADES)
    ticks = [0.0, *(10.0**k for k in [*powers][::-step][::-1])]
    ax.set_xscale("symlog", linthresh=LINEAR, linscale=0.6)
    ax.set_xlim(-0.1 * LINEAR, high)
    ax.axvspan(0, LINEAR, color="#f3f3f3", linewidth=0, zorder=0)
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())

    ax.xaxis.set_major_formatter(FuncFormatter(lambda t, _: number(t)))


bias_plot = Plot("bias", "Bias against truth", noted(of_the_best(bias, MOST_LEVELS)), order=2)
rates_plot = Plot("rates", "Rates", of_the_best(rates, MOST_LEVELS), order=7)
