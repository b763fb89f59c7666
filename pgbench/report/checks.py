"""Figure of the p-values: uniform where the code is right, small where an estimator is biased."""

from typing import TYPE_CHECKING

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pgbench.arrays import FloatArray
from pgbench.report.declared import TEST_LEVEL, declared_biased
from pgbench.report.panels import (
    MOST_MARKS,
    Drawing,
    NothingToDraw,
    add_legend,
    estimator_handles,
)
from pgbench.report.plots import Plot
from pgbench.report.style import INK, looks

if TYPE_CHECKING:
    from xarray import Dataset

SMALLEST = 1e-12
"""Smaller p-values are drawn at this value."""

BAND = "#dcdcdc"


def p_values(summary: "Dataset") -> Drawing:
    """Distributions of the p-values of the code check and of the bias test."""
    code, bias = summary["code_test_p"].values, summary["bias_test_p"].values
    shown = np.isfinite(code).any(axis=(0, 1, 3))
    if not shown.any():
        raise NothingToDraw("no cell of the run has enough replicates to test its mean.")
    figure = Figure(figsize=(12.0, 3.7), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    groups = int(np.isfinite(code).any(axis=2).sum())
    half = float(np.sqrt(np.log(2 / TEST_LEVEL) / (2 * groups)))
    x = np.linspace(0, 1, 201)
    for ax in (left, right):
        ax.fill_between(
            x, np.maximum(x - half, 0), np.minimum(x + half, 1), color=BAND, linewidth=0, zorder=0
        )
    _distributions(left, summary, code)
    _distributions(right, summary, bias)
    _tail(middle, summary, code)
    left.set_title("code check: mean against own exact expectation")
    middle.set_title("code check: the smallest p-values")
    right.set_title("bias test: mean against ∇J")
    biased = declared_biased(summary)
    labels = [str(e) for e in summary["estimator"].values]
    handles: list[Line2D | Patch] = estimator_handles(summary, shown)
    for entry in handles:
        if isinstance(entry, Line2D):
            entry.set_marker("")
    add_legend(
        figure,
        [
            *handles,
            Line2D([], [], color=INK, linewidth=2.0, label="all estimators"),
            Patch(color=BAND, label="95 % band of the uniform"),
        ],
    )
    biased_labels = ", ".join(label for label in labels if biased[label]) or "none here"
    tested = int(np.isfinite(code).sum())
    return Drawing(
        figure,
        "Distribution of p-values over all cells. Left and middle: the measured mean against "
        "the estimator's own exact expectation. If the code is right these are uniform: the "
        "black curve stays in the band, and no point of the middle panel, where both axes are "
        "logarithmic, lies below the dotted line (5 % after Bonferroni's correction). Right: "
        f"against the gradient itself; estimators that declare a bias ({biased_labels}) rise at "
        "once, and so do precise ones that see the bias of the finite horizon. Estimators of a "
        "cell share trajectories, so the band (Dvoretzky–Kiefer–Wolfowitz) is that of "
        f"{groups} independent sets of trajectories and not of {tested} p-values.",
        "Cumulative distributions of the p-values of the code check and of the bias test beside "
        "the uniform distribution.",
    )


def _distributions(ax: Axes, summary: "Dataset", p: FloatArray) -> None:
    for e, style in enumerate(looks(summary)):
        own = p[:, :, e][np.isfinite(p[:, :, e])]
        if own.size:
            sns.ecdfplot(
                x=own, ax=ax, color=style.colour, linestyle=style.line, linewidth=0.8, alpha=0.8
            )
    sns.ecdfplot(x=p[np.isfinite(p)], ax=ax, color=INK, linewidth=2.0)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="p-value", ylabel="fraction of cells")
    sns.despine(ax=ax)


def _tail(ax: Axes, summary: "Dataset", p: FloatArray) -> None:
    where = np.argwhere(np.isfinite(p))
    values = p[tuple(where.T)]
    order = np.argsort(values, kind="stable")
    quantile = (np.arange(values.size) + 0.5) / values.size
    observed = np.maximum(values[order], SMALLEST)
    low = min(observed[0], 0.05 / values.size) / 3
    ax.plot([0.3 / values.size, 1], [0.3 / values.size, 1], color=INK, linewidth=0.7)
    ax.axhline(TEST_LEVEL / values.size, color=INK, linewidth=0.9, linestyle=(0, (1, 2)))
    for e, style in enumerate(looks(summary)):
        own = where[order][:, 2] == e
        ax.plot(
            quantile[own],
            observed[own],
            linestyle="none",
            marker=style.marker,
            markersize=3.6,
            color=style.colour,
            markeredgewidth=0,
            rasterized=values.size > MOST_MARKS,
        )
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(0.3 / values.size, 1.2),
        ylim=(low, 1.5),
        xlabel="expected p-value",
        ylabel="observed p-value",
    )
    sns.despine(ax=ax)


plot = Plot("p_values", "Is the code right?", p_values, order=10)
