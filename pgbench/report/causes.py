"""Figure of where a bias comes from: the exact bias of estimators, split into its causes."""

from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pgbench.arrays import FloatArray, IndexArray
from pgbench.declared.causes import PARTS
from pgbench.report.dots import LABEL_WIDTH, ROW_HEIGHT
from pgbench.report.marks import decades, key
from pgbench.report.panels import MOST_ROWS, Drawing, NothingToDraw, add_legend
from pgbench.report.plots import Plot
from pgbench.report.selection import MOST_LEVELS, of_the_best
from pgbench.report.style import HUES, INK, MARKERS, estimator_labels, policy_titles, wrapped
from pgbench.report.unresolved import noted

if TYPE_CHECKING:
    from xarray import Dataset

NOTHING = 1e-7
"""A part whose relative norm is smaller is rounding."""


def causes(summary: "Dataset") -> Drawing:
    """Norms of the parts of the exact bias at the smallest and at the largest batch size."""
    parts, total = _relative(summary)
    shown = _split(summary, parts)
    labels = [str(e) for e in summary["estimator"].values]
    sizes = summary["batch_size"].values
    columns = sorted({0, sizes.size - 1})
    policies = np.flatnonzero(np.isfinite(total[:, :, shown]).any(axis=(0, 2, 3)))[:MOST_ROWS]
    height = (shown.size * ROW_HEIGHT + 0.45) * policies.size + 0.6
    figure = Figure(figsize=(LABEL_WIDTH + 3.6 * len(columns), height), layout="constrained")
    grid = figure.subplots(policies.size, len(columns), squeeze=False, sharex=True, sharey=True)
    for row, j in zip(grid, policies, strict=True):
        policy = f", {policy_titles(summary)[j]}" if summary.sizes["policy"] > 1 else ""
        for ax, n in zip(row, columns, strict=True):
            own = {name: values[:, j, shown, n] for name, values in parts.items()}
            _rows(ax, own, total[:, j, shown, n])
            ax.set_title(wrapped(f"batch size {sizes[n]}{policy}", 44))
    ax.set_yticks(np.arange(shown.size), estimator_labels([labels[e] for e in shown], {}))
    ax.set_ylim(shown.size - 0.4, -0.6)
    for ax in grid[-1]:
        ax.set_xlabel("part of the bias over what is estimated")
    seen = [name for name, values in parts.items() if (values[:, :, shown] > NOTHING).any()]
    stroke = {"color": INK, "marker": "|", "linestyle": "none", "markersize": 9}
    add_legend(
        figure,
        [*(key(PARTS[name].short, **_look(name)) for name in seen), key("whole bias", **stroke)],
    )
    return Drawing(
        figure,
        "Exact bias of every estimator that declares a cause beside the horizon, split: one cause "
        "after another is removed, and what that changes in the exact mean is the cause's part; "
        "the horizon has what is left. Marks are geometric means over problems of the norm of a "
        "part over the norm of what is estimated, faint marks the single problems, upright strokes "
        "the whole bias, which may be smaller than its parts where they cancel. Statistics of the "
        "batch fade as it grows; the other causes stay. Estimators whose mean has no formula are "
        "not here.",
        "Norms of the parts of the exact bias, one row per estimator, one mark per cause.",
    )


def _relative(summary: "Dataset") -> tuple[dict[str, FloatArray], FloatArray]:
    """Parts and whole bias over the norm of what is estimated, (problem, policy, e, n) each."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / summary["target_norm"].values
        there = [name for name in PARTS if f"exact_bias_{name}" in summary]
        parts = {name: summary[f"exact_bias_{name}"].values * scale for name in there}
        return parts, summary["exact_bias"].values * scale


def _split(summary: "Dataset", parts: dict[str, FloatArray]) -> IndexArray:
    """Estimators with a part that is not the horizon's, largest whole bias first."""
    beside = np.stack([values for name, values in parts.items() if name != "horizon"])
    has = np.asarray((beside > NOTHING).any(axis=(0, 1, 2, 4)))
    if not has.any():
        raise NothingToDraw("no estimator of the run has an exact bias beside that of the horizon.")
    whole = _geometric(summary["exact_relative_bias"].values[..., 0].reshape(-1, has.size))
    order = np.argsort(np.where(np.isfinite(whole), -whole, np.inf), kind="stable")
    return np.asarray(order[has[order]])


def _rows(ax: Axes, parts: dict[str, FloatArray], total: FloatArray) -> None:
    """Marks of parts and whole, (problem, row) each."""
    decades(ax, "x")
    sns.despine(ax=ax)
    ax.tick_params(axis="y", length=0)
    rows = np.arange(total.shape[1])
    # Where nothing but the horizon biases there is nothing to split.
    beside = [values > NOTHING for name, values in parts.items() if name != "horizon"]
    split = np.where(np.any(beside, axis=0), total, np.nan)
    ax.plot(
        _geometric(split), rows, linestyle="none", marker="|", color=INK, markersize=10, zorder=4
    )
    for name, values in parts.items():
        visible = np.where(values > NOTHING, values, np.nan)
        look = _look(name)
        edge = 0.5 if look["markerfacecolor"] == "white" else 0
        faint = look | {"markersize": 2.8, "alpha": 0.35, "markeredgewidth": edge}
        ax.plot(visible.ravel(), np.tile(rows, len(visible)), **faint)
        ax.plot(_geometric(visible), rows, **look)


def _geometric(values: FloatArray) -> FloatArray:
    """Geometric mean over the first axis, NaN and what vanishes left out."""
    good = np.isfinite(values) & (values > NOTHING)
    n = good.sum(axis=0)
    log = np.where(good, np.log(np.where(good, values, 1.0)), 0.0).sum(axis=0)
    return np.where(n > 0, np.exp(log / np.maximum(n, 1)), np.nan)


def _look(name: str) -> dict[str, Any]:
    place = list(PARTS).index(name)
    color = "#9a9a9a" if name == "horizon" else HUES[place % len(HUES)]
    # Parts beyond the last hue are open marks.
    opened = name != "horizon" and place >= len(HUES)
    return {
        "linestyle": "none",
        "marker": MARKERS[place % len(MARKERS)],
        "color": color,
        "markersize": 5,
        "markerfacecolor": "white" if opened else color,
        "markeredgecolor": color if opened else "white",
        "markeredgewidth": 0.9 if opened else 0.4,
    }


plot = Plot("causes", "Where bias comes from", noted(of_the_best(causes, MOST_LEVELS)), order=3)
