"""Dot plots with one row per estimator: bias against truth, rates, work-normalised ranking."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from pgbench.report.declared import LEVEL, declared_biased
from pgbench.report.panels import (
    ROWS,
    Drawing,
    FloatArray,
    Measured,
    NothingToDraw,
    add_legend,
    chosen_facets,
    panels,
)
from pgbench.report.style import GUIDE, INK, Style, estimator_labels, styles, wrapped

if TYPE_CHECKING:
    from xarray import Dataset

ROW_HEIGHT = 0.19
LABEL_WIDTH = 2.1
_LINEAR = 0.01


def bias(summary: "Dataset") -> Drawing:
    """Measured relative bias next to the exact one, at the largest batch size."""
    measured = Measured.of(summary, "relative_bias")[..., -1]
    exact = summary["exact_relative_bias"].values[..., -1]
    significant = summary["bias_test_p_holm"].values[..., -1] < LEVEL
    finite: NDArray[np.bool_] = np.isfinite(measured.value)
    facets = chosen_facets(summary, np.asarray(finite.any(axis=2)))
    figure, axes = _rows_of_dots(summary, facets)
    limits = [np.inf, -np.inf]
    for place, ax in axes.items():
        ax.axvline(0, color=INK, linewidth=0.7, zorder=0.6)
        _dots(ax, summary, measured[place], filled=significant[place])
        ax.plot(
            exact[place],
            np.arange(exact.shape[-1]),
            linestyle="none",
            marker="|",
            markersize=9,
            markeredgewidth=1.3,
            color=INK,
            zorder=4,
        )
        for ends in (measured[place].low, measured[place].high, exact[place]):
            limits[0], limits[1] = np.nanmin([limits[0], *ends]), np.nanmax([limits[1], *ends])
    for ax in axes.values():
        _signed_log_axis(ax, *limits)
    _label_below(axes, facets, "relative bias")
    grey = Style(INK, "o", "none")
    add_legend(
        figure,
        [
            _dot(grey, "measured, bias significant", True),
            _dot(grey, "measured, not significant", False),
            Line2D(
                [],
                [],
                color=INK,
                marker="|",
                markersize=9,
                linestyle="none",
                markeredgewidth=1.3,
                label="exact, no sampling",
            ),
        ],
    )
    n = int(summary["batch_size"].values[-1])
    return Drawing(
        figure,
        f"Relative bias ‖E ĝ − ∇J‖ / ‖∇J‖ at batch size {n}. Dots are measured with the noise "
        "removed, sign kept: a squared bias below zero by chance is drawn to the left; bars are "
        "95 % intervals. Upright strokes are the exact bias, computed with no sampling. A dot "
        "is filled where the mean differs from ∇J at the 5 % level after Holm's correction over "
        "all cells; the interval of the norm may still hold zero, since the test looks along "
        f"single directions. The axis is linear between −{_LINEAR:g} and {_LINEAR:g} (shaded) "
        "and logarithmic outside. † declares a bias that a longer horizon does not "
        f"remove.{facets.note}",
        f"Relative bias with interval beside the exact relative bias, at batch size {n}, one row "
        "per estimator.",
    )


def rates(summary: "Dataset") -> Drawing:
    """Fitted exponents of RMSE against batch size."""
    rate = Measured.of(summary, "rmse_rate")
    finite: NDArray[np.bool_] = np.isfinite(rate.value)
    if summary.sizes["batch_size"] < 2:
        raise NothingToDraw("the run has a single batch size.")
    facets = chosen_facets(summary, np.asarray(finite.any(axis=2)))
    figure, axes = _rows_of_dots(summary, facets)
    for place, ax in axes.items():
        ax.axvline(-0.5, color=GUIDE, linewidth=1.0, linestyle=(0, (3, 2)), zorder=0.6)
        _dots(ax, summary, rate[place], filled=np.ones(finite.shape[2], bool))
        ax.locator_params(axis="x", nbins=4)
    _label_below(axes, facets, "slope of log RMSE")
    return Drawing(
        figure,
        "Slope of log RMSE against log batch size with its 95 % interval, the slopes of the lines "
        "above. Unbiased estimators sit at −1/2 (dashed); a slope nearer to zero shows a bias that "
        f"averaging does not remove. † declares such a bias.{facets.note}",
        "Fitted slope of RMSE with interval, one row per estimator, beside the value −1/2.",
    )


def ranking(summary: "Dataset") -> Drawing:
    """Variance times work, and times seconds, relative to reward-to-go or to the mean estimator."""
    labels = [str(e) for e in summary["estimator"].values]
    work = Measured.of(summary, "work_normalised_variance")[..., -1].positive
    variance = Measured.of(summary, "variance")[..., -1].positive
    time = variance * summary["seconds"].values[..., -1]
    if not np.isfinite(work.value).any():
        raise NothingToDraw("no cell of the run has what it shows.")
    policies = [j for j in range(summary.sizes["policy"]) if np.isfinite(work.value[:, j]).any()]
    height = (len(labels) * ROW_HEIGHT + 0.45) * len(policies[:ROWS]) + 0.6
    figure = Figure(figsize=(9.6, height), layout="constrained")
    grid = figure.subplots(len(policies[:ROWS]), 2, squeeze=False, sharey="row", sharex="col")
    several = summary.sizes["policy"] > 1
    for row, j in zip(grid, policies, strict=False):
        order: Any = None
        for ax, quantity, unit in zip(row, (work, time), ("steps", "seconds"), strict=True):
            relative = _relative(quantity[:, j], labels)
            mean = _geometric_mean(relative)
            if order is None:
                order = np.argsort(
                    np.where(np.isnan(mean.value), np.inf, mean.value), kind="stable"
                )
            _ranked(ax, summary, relative, mean, order)
            policy = f", {summary['policy'].values[j]}" if several else ""
            ax.set_title(wrapped(f"variance × {unit}{policy}", 60))
        marked = declared_biased(summary)
        row[0].set_yticks(
            np.arange(len(labels)), estimator_labels([labels[e] for e in order], marked)
        )
        row[0].set_ylim(len(labels) - 0.4, -0.6)
    reference = "reward_to_go" if "reward_to_go" in labels else "the geometric mean of all"
    for ax in grid[-1]:
        ax.set_xlabel(f"relative to {reference}")
    n = int(summary["batch_size"].values[-1])
    more = f" Drawn are {ROWS} of {len(policies)} policies." if len(policies) > ROWS else ""
    return Drawing(
        figure,
        f"Price of precision at batch size {n}: variance times environment steps (left) and "
        f"times seconds (right), relative to {reference} in the same setting; half is twice as "
        "good. Dots are geometric means over problems, sorted by the left one, bars are 95 % "
        "intervals of their sampling error (that of the clock is not in them), faint marks the "
        f"single problems. Lower variance may be bought with bias: † declares one.{more}",
        "Work-normalised and time-normalised variance, sorted, one row per estimator.",
    )


def _rows_of_dots(summary: "Dataset", facets: Any) -> tuple[Figure, Any]:
    labels = [str(e) for e in summary["estimator"].values]
    height = len(labels) * ROW_HEIGHT + 0.45
    figure, axes = panels(summary, facets, height, LABEL_WIDTH, sharex=True, sharey=True)
    for ax in axes.values():
        ax.set_yticks(np.arange(len(labels)), estimator_labels(labels, declared_biased(summary)))
        ax.set_ylim(len(labels) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
    return figure, axes


def _label_below(axes: Any, facets: Any, label: str) -> None:
    """Label the horizontal axes of the lowest row."""
    for place in facets.rows[-1]:
        axes[place].set_xlabel(label)


def _dots(ax: Axes, summary: "Dataset", x: Measured, filled: Any) -> None:
    look = styles(summary)
    for e, label in enumerate(summary["estimator"].values):
        if np.isfinite(x.value[e]):
            style = look[str(label)]
            ax.errorbar(
                x.value[e],
                e,
                xerr=x.bars[:, e : e + 1],
                color=style.colour,
                marker=style.marker,
                markersize=4.6,
                markerfacecolor=style.colour if filled[e] else "white",
                elinewidth=1.3,
            )


def _dot(style: Style, label: str, filled: bool) -> Line2D:
    return Line2D(
        [],
        [],
        color=style.colour,
        marker=style.marker,
        linestyle="none",
        markerfacecolor=style.colour if filled else "white",
        label=label,
    )


def _signed_log_axis(ax: Axes, low: float, high: float) -> None:
    ax.set_xscale("symlog", linthresh=_LINEAR, linscale=0.6)
    ax.axvspan(-_LINEAR, _LINEAR, color="#f3f3f3", linewidth=0, zorder=0)
    low, high = min(1.6 * low, -_LINEAR), max(1.6 * high, _LINEAR)
    decades = [10.0**k for k in range(-2, 12)]
    ticks = [t for t in (*(-d for d in decades), 0.0, *decades) if low <= t <= high]
    labelled = [t for t in ticks if t == 0 or round(np.log10(abs(t))) % 2 == 1]
    ax.set_xlim(low, high)
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(
        FuncFormatter(lambda t, _: f"{t:g}".replace("-", "−") if t in labelled else "")
    )


def _relative(quantity: Measured, labels: Sequence[str]) -> Measured:
    """(problem, estimator), over reward-to-go or the geometric mean of all."""
    half = quantity.log_half_width
    log: FloatArray = np.log(quantity.value)
    if "reward_to_go" in labels:
        e = labels.index("reward_to_go")
        log = log - log[:, e : e + 1]
        half = np.sqrt(half**2 + half[:, e : e + 1] ** 2)
        half[:, e] = 0.0
    else:
        complete = np.asarray(np.isfinite(log).all(axis=1))
        log = np.where(complete[:, None], log, np.nan)
        log = log - log.mean(axis=1, keepdims=True)
    return Measured(np.exp(log), np.exp(log - half), np.exp(log + half))


def _geometric_mean(x: Measured) -> Measured:
    """Over problems, with the interval of its sampling error."""
    good = np.isfinite(x.value)
    n = np.where(good.any(axis=0), good.sum(axis=0), np.nan)
    log = np.where(good, np.log(np.where(good, x.value, 1.0)), 0.0).sum(axis=0) / n
    widths: FloatArray = np.where(good, x.log_half_width, 0.0)
    spread = np.sqrt((widths**2).sum(axis=0)) / n
    return Measured(np.exp(log), np.exp(log - spread), np.exp(log + spread))


def _ranked(ax: Axes, summary: "Dataset", x: Measured, mean: Measured, order: Any) -> None:
    look = styles(summary)
    ax.axvline(1, color=INK, linewidth=0.7, zorder=0.6)
    for row, e in enumerate(order):
        style = look[str(summary["estimator"].values[e])]
        ax.plot(
            x.value[:, e],
            np.full(x.value.shape[0], row),
            linestyle="none",
            marker=style.marker,
            color=style.colour,
            alpha=0.35,
            markersize=3.2,
            markeredgewidth=0,
        )
        if np.isfinite(mean.value[e]):
            ax.errorbar(
                mean.value[e],
                row,
                xerr=mean.bars[:, e : e + 1],
                color=style.colour,
                marker=style.marker,
                markersize=5.6,
                markeredgecolor="white",
                markeredgewidth=0.5,
                elinewidth=1.3,
            )
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(numticks=7))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="y", length=0)
    sns.despine(ax=ax)
