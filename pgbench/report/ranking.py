"""Figure of what precision costs: variance times work, and times seconds."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pgbench.arrays import IndexArray
from pgbench.report.declared import declared_biased
from pgbench.report.dots import ROW_HEIGHT
from pgbench.report.marks import decades, dots, faint
from pgbench.report.panels import (
    MOST_ROWS,
    TALL,
    Drawing,
    NothingToDraw,
    beside,
    scale_at_both_ends,
)
from pgbench.report.plots import Plot
from pgbench.report.selection import MOST_LEVELS, of_the_best
from pgbench.report.statistic import Statistic
from pgbench.report.style import INK, estimator_labels, looks, policy_titles, wrapped
from pgbench.report.unresolved import noted

if TYPE_CHECKING:
    from xarray import Dataset

REFERENCE = "reward_to_go"

UNSEEN = 1e-4
"""Relative biases are drawn as no smaller than this."""


def ranking(summary: "Dataset") -> Drawing:
    """Variance times work, and times seconds, relative to reward-to-go or to the mean estimator."""
    labels = [str(e) for e in summary["estimator"].values]
    norm = summary["target_norm"].values[..., -1]
    scale = np.where(norm > 0, norm, np.nan) ** -2.0
    work = (Statistic.of(summary, "work_normalised_variance")[..., -1] * scale).positive
    variance = (Statistic.of(summary, "variance")[..., -1] * scale).positive
    time = (variance * summary["seconds"].values[..., -1]).positive
    finite = np.isfinite(work.value)
    if not finite.any():
        raise NothingToDraw("no cell of the run has what it shows.")
    reference = labels.index(REFERENCE) if REFERENCE in labels else None
    if reference is not None and not finite[..., reference].any():
        reference = None
    policies = np.flatnonzero(finite.any(axis=(0, 2)))
    shown = policies[:MOST_ROWS]
    height = (len(labels) * ROW_HEIGHT + 0.45) * shown.size + 0.6
    figure = Figure(figsize=(11.5, height), layout="constrained")
    grid = figure.subplots(
        shown.size, 3, squeeze=False, sharey="row", sharex="col", width_ratios=(3, 3, 2)
    )
    marked, titles = declared_biased(summary), policy_titles(summary)
    for row, j in zip(grid, shown, strict=True):
        by_work = _relative(work[:, j], reference)
        mean = by_work.geometric_mean().value
        order = np.argsort(np.where(np.isnan(mean), np.inf, mean), kind="stable")
        panes = {"steps": by_work, "seconds": _relative(time[:, j], reference)}
        for ax, (unit, relative) in zip(row[:2], panes.items(), strict=True):
            _ranked(ax, summary, relative, order)
            ax.set_title(f"variance × {unit}")
        _ranked(row[2], summary, _bias(summary, int(j)), order, Statistic.maximum)
        row[2].set_title("bias, the largest")
        if summary.sizes["policy"] > 1:
            beside(row[2], wrapped(titles[j], 28))
        row[0].set_yticks(
            np.arange(len(labels)), estimator_labels([labels[e] for e in order], marked)
        )
        row[0].set_ylim(len(labels) - 0.4, -0.6)
    against = "the geometric mean of all" if reference is None else REFERENCE
    for words, axes in zip((against, against, "what is estimated"), grid.T, strict=True):
        axes[-1].set_xlabel(f"relative to {words}")
    for ax in grid.ravel():
        ax.tick_params(labelbottom=True)
        if len(labels) > TALL:
            scale_at_both_ends(ax)
    n = int(summary["batch_size"].values[-1])
    left_out = shown.size < policies.size
    more = f" Drawn are {MOST_ROWS} of {policies.size} policies." if left_out else ""
    return Drawing(
        figure,
        f"Price of precision at batch size {n}: variance times environment steps (left) and "
        f"times seconds (middle), relative to {against} in the same setting; half is twice as "
        "good. Right: the bias that comes with it, exact where it is known and else measured, not "
        f"drawn below {UNSEEN:g}. Natural gradients count by their own norm. Marks are geometric "
        "means over problems, of bias the largest, sorted by the left panel, bars are 95 % "
        "intervals of their sampling error, where every problem has one (that of the clock is not "
        "in them), faint marks the single problems. Lower variance may be bought with bias: † "
        f"declares one.{more}",
        "Work-normalised and time-normalised variance, sorted, one row per estimator.",
    )


def _bias(summary: "Dataset", policy: int) -> Statistic:
    """Relative bias (problem, estimator) at the largest batch size."""
    exact = summary["exact_relative_bias"].values[:, policy, :, -1]
    measured = np.abs(summary["relative_bias"].values[:, policy, :, -1])
    known = np.maximum(np.where(np.isfinite(exact), exact, measured), UNSEEN)
    return Statistic(known, known, known)


def _relative(quantity: Statistic, reference: int | None) -> Statistic:
    """(problem, estimator), over the estimator ``reference`` or the geometric mean of all.

    The intervals of an estimator and of its reference add in quadrature, which is more than needed:
    they share trajectories. Without a reference, problems that lack an estimator are left out.
    """
    half, log = quantity.log_half_width, np.log(quantity.value)
    if reference is None:
        log = log - log.mean(axis=1, keepdims=True)
    else:
        log = log - log[:, [reference]]
        half = np.sqrt(half**2 + half[:, [reference]] ** 2)
        half[:, reference] = 0.0
    return Statistic(np.exp(log), np.exp(log - half), np.exp(log + half))


def _ranked(
    ax: Axes,
    summary: "Dataset",
    x: Statistic,
    order: IndexArray,
    pooled: Callable[[Statistic], Statistic] = Statistic.geometric_mean,
) -> None:
    styles = [looks(summary)[e] for e in order]
    decades(ax, "x")
    ax.axvline(1, color=INK, linewidth=0.7, zorder=0.6)
    for row, e in enumerate(order):
        faint(ax, x.value[:, e], np.full(x.value.shape[0], row), styles[row])
    dots(ax, pooled(x)[order], styles, np.ones(order.size, bool))
    ax.tick_params(axis="y", length=0)
    sns.despine(ax=ax)


plot = Plot("ranking", "What precision costs", noted(of_the_best(ranking, MOST_LEVELS)), order=1)
