"""Figures of a statistic against a size: variance against states, error and direction against n."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from pgbench.report.panels import (
    Drawing,
    FloatArray,
    Measured,
    NothingToDraw,
    add_legend,
    chosen_facets,
    estimator_handles,
    panels,
)
from pgbench.report.style import GUIDE, INK, Style, parse_label, styles, wrapped

if TYPE_CHECKING:
    from xarray import Dataset


def variance_by_size(summary: "Dataset") -> Drawing:
    """Relative variance of one estimate against the number of states."""
    from matplotlib.figure import Figure

    series = _series(summary)
    if not series:
        raise NothingToDraw("no family of problems is in the run with several sizes.")
    b = 0
    variance = Measured.of(summary, "relative_variance")[..., b].positive
    shown = np.isfinite(variance.value)
    kinds = list(series)[:3]
    policies = range(min(summary.sizes["policy"], 4))
    members = np.concatenate([series[kind] for kind in kinds])
    drawn = shown[members].any(axis=(0, 1))
    if not drawn.any():
        raise NothingToDraw("no cell of the run has what it shows.")
    width = {1: 5.2, 2: 4.2}.get(len(policies), 3.3)
    figure = Figure(
        figsize=(max(width * len(policies), 6.0), 3.3 * len(kinds) + 0.5), layout="constrained"
    )
    grid = figure.subplots(len(kinds), len(policies), squeeze=False, sharex="row", sharey=True)
    look = styles(summary)
    for row, kind in zip(grid, kinds, strict=True):
        sizes = summary["n_states"].values[series[kind]]
        for j, ax in zip(policies, row, strict=True):
            place = (series[kind], j)
            title = f"{kind} × {summary['policy'].values[j]}"
            ax.set_title(wrapped(title, 60))
            for e, label in enumerate(summary["estimator"].values):
                dodge = _dodge(e, summary.sizes["estimator"], sizes)
                _instances(ax, sizes, variance[(*place, e)], look[str(label)], dodge)
            _log_axes(ax, np.unique(sizes), "number of states")
        row[0].set_ylabel(r"relative variance $\mathrm{tr}\,\hat\Sigma\,/\,\|\nabla J\|^2$")
    add_legend(figure, estimator_handles(summary, drawn))
    n = int(summary["batch_size"].values[b])
    more = f" Drawn are {len(kinds)} of {len(series)} families." if len(series) > 3 else ""
    return Drawing(
        figure,
        f"Relative variance tr Σ̂ / ‖∇J‖² of an estimate from {n} "
        f"{'trajectory' if n == 1 else 'trajectories'} against the number of states. Lines join "
        "geometric means over the instances of a size, bars are 95 % intervals of their sampling "
        "error, faint marks are the single instances. A line with slope 1 belongs to an estimator "
        f"whose variance grows in proportion to the state space.{more}",
        f"Relative variance against number of states, one line per estimator, at batch size {n}.",
    )


def _series(summary: "Dataset") -> dict[str, NDArray[np.int64]]:
    """Indices of problems that differ in size and instance only, where there are several sizes."""
    series: dict[str, list[int]] = {}
    for i, label in enumerate(map(str, summary["problem"].values)):
        kind, values = parse_label(label)
        size = str(summary["size_parameter"].values[i])
        others = [f"{k}={v}" for k, v in values.items() if k not in (size, "seed")]
        if size and summary["n_states"].values[i] > 0:
            series.setdefault(", ".join([kind, *others]), []).append(i)
    n_states = summary["n_states"].values
    return {k: np.array(v) for k, v in series.items() if np.unique(n_states[v]).size > 1}


def _instances(
    ax: Axes, sizes: NDArray[np.int64], variance: Measured, style: Style, dodge: float
) -> None:
    ax.plot(
        sizes * dodge,
        variance.value,
        linestyle="none",
        marker=style.marker,
        markersize=2.6,
        color=style.colour,
        alpha=0.35,
        markeredgewidth=0,
    )
    found = []
    for size in np.unique(sizes):
        own = variance[sizes == size]
        good = np.isfinite(own.value)
        if good.any():
            mean = np.exp(np.log(own.value[good]).mean())
            factor = np.exp(np.sqrt(np.sum(own.log_half_width[good] ** 2)) / good.sum())
            found.append((size * dodge, mean, mean / factor, mean * factor))
    if found:
        x, *rest = np.array(found).T
        _points(ax, x, Measured(*rest), style, line=True)


def _points(ax: Axes, x: FloatArray, y: Measured, style: Style, line: bool) -> None:
    ax.errorbar(
        x,
        y.value,
        yerr=y.bars,
        color=style.colour,
        marker=style.marker,
        markeredgecolor="white",
        markeredgewidth=0.4,
        linestyle=style.line if line else "none",
        linewidth=1.2,
        elinewidth=1.0,
    )


def _dodge(e: int, n: int, x: Any) -> float:
    """Factor that sets estimators with equal values side by side on a logarithmic axis."""
    x = np.unique(x)
    gap = float(np.log(x[1:] / x[:-1]).min()) if x.size > 1 else 1.0
    return float(np.exp((e - (n - 1) / 2) / max(n, 2) * min(0.28 * gap, 0.4)))


def _log_axes(ax: Axes, ticks: Any, xlabel: str, log_y: bool = True) -> None:
    ax.set_xscale("log")
    shown = np.asarray(ticks)
    while shown.size > 6:
        shown = shown[::2]
    ax.xaxis.set_major_locator(FixedLocator([float(t) for t in shown]))
    ax.set_xticks(shown, [f"{t:,}".replace(",", " ") for t in shown])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(xlabel)
    if log_y:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(numticks=7))
        ax.yaxis.set_minor_formatter(NullFormatter())


def rmse(summary: "Dataset") -> Drawing:
    """Relative root mean squared error against batch size, with the fitted power law."""
    batch_sizes = summary["batch_size"].values
    error = Measured.of(summary, "relative_rmse").positive
    finite: NDArray[np.bool_] = np.isfinite(error.value)
    if batch_sizes.size < 2:
        raise NothingToDraw("the run has a single batch size.")
    facets = chosen_facets(summary, np.asarray(finite.any(axis=(2, 3))))
    figure, axes = panels(summary, facets, 2.5, sharex=True, sharey=True)
    look = styles(summary)
    slope = summary["rmse_rate"].values
    constant = np.exp(summary["rmse_rate_intercept"].values)
    norm = summary["gradient_norm"].values
    for (i, j), ax in axes.items():
        for e, label in enumerate(summary["estimator"].values):
            style = look[str(label)]
            x = batch_sizes * _dodge(e, summary.sizes["estimator"], batch_sizes)
            if np.isfinite(slope[i, j, e]) and norm[i, j] > 0:
                fit = constant[i, j, e] / norm[i, j] * batch_sizes ** slope[i, j, e]
                ax.plot(x, fit, color=style.colour, linestyle=style.line, linewidth=1.0)
            _points(ax, x, error[i, j, e], style, line=False)
        _log_axes(ax, batch_sizes, "batch size $n$")
    places = tuple(np.array(facets.places).T)
    _reference_slopes(list(axes.values()), batch_sizes, error.value[places])
    for row in facets.rows:
        axes[row[0]].set_ylabel(r"relative RMSE")
    _inner_labels_off(axes, facets.rows)
    add_legend(
        figure,
        [
            *estimator_handles(summary, finite[places].any(axis=(0, 2))),
            Line2D([], [], color=GUIDE, linewidth=0.8, linestyle=(0, (3, 2)), label="slope −1/2"),
        ],
    )
    return Drawing(
        figure,
        "Root mean squared error against the exact gradient, over its norm, against the number n "
        "of trajectories per estimate. Marks are measured, with 95 % intervals; lines are the "
        "fitted power laws; dashed grey lines fall like n to the power −1/2, as the error of any "
        "unbiased average does. An error above 1 is worse than the estimate zero; a biased "
        f"estimator leaves its line and levels off at its relative bias.{facets.note}",
        "Relative RMSE against batch size on logarithmic axes, one line per estimator.",
    )


def _reference_slopes(axes: list[Axes], x: Any, y: FloatArray) -> None:
    low, high = np.nanmin(y) / 1.6, np.nanmax(y) * 1.6
    ends = np.array([x[0] / 1.25, x[-1] * 1.25])
    step = 2 if np.log10(high / low) > 5 else 1
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high * ends[1]))) + 1, step)
    for ax in axes:
        for power in powers:
            ax.plot(
                ends,
                10.0**power * ends**-0.5,
                color=GUIDE,
                linewidth=0.7,
                linestyle=(0, (3, 2)),
                zorder=0.5,
            )
        ax.axhline(1, color=INK, linewidth=0.7, zorder=0.6)
        ax.set_xlim(*ends)
        ax.set_ylim(low, high)


def direction(summary: "Dataset") -> Drawing:
    """Mean cosine with the exact gradient against batch size."""
    batch_sizes = summary["batch_size"].values
    if batch_sizes.size < 2:
        raise NothingToDraw("the run has a single batch size.")
    cosine = Measured.of(summary, "cosine")
    finite: NDArray[np.bool_] = np.isfinite(cosine.value)
    facets = chosen_facets(summary, np.asarray(finite.any(axis=(2, 3))))
    figure, axes = panels(summary, facets, 2.2, sharex=True, sharey=True)
    look = styles(summary)
    for (i, j), ax in axes.items():
        ax.axhline(0, color=INK, linewidth=0.7, zorder=0.6)
        ax.axhline(1, color=INK, linewidth=0.7, zorder=0.6)
        for e, label in enumerate(summary["estimator"].values):
            x = batch_sizes * _dodge(e, summary.sizes["estimator"], batch_sizes)
            _points(ax, x, cosine[i, j, e], look[str(label)], line=True)
        _log_axes(ax, batch_sizes, "batch size $n$", log_y=False)
    for row in facets.rows:
        axes[row[0]].set_ylabel(r"mean cosine of $\hat g$ with $\nabla J$")
    _inner_labels_off(axes, facets.rows)
    places = tuple(np.array(facets.places).T)
    handles: list[Line2D | Patch] = estimator_handles(summary, finite[places].any(axis=(0, 2)))
    add_legend(figure, handles)
    return Drawing(
        figure,
        "Mean cosine of the estimate with the exact gradient against the number n of trajectories "
        "per estimate, with 95 % intervals. At 1 every estimate points along the gradient, at 0 it "
        "points anywhere. An unbiased estimator reaches 1 as n grows; a biased one may stay below."
        + facets.note,
        "Mean cosine with the exact gradient against batch size, one line per estimator.",
    )


def _inner_labels_off(axes: Any, rows: list[list[tuple[int, int]]]) -> None:
    """Keep the label of the horizontal axis on the lowest panel of each column only."""
    for row, below in pairwise(rows):
        for place in row[: len(below)]:
            axes[place].set_xlabel("")
        for place in row[len(below) :]:
            axes[place].tick_params(labelbottom=True)
