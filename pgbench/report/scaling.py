"""Figure of the variance against the number of states."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pgbench.report.marks import DASHES, decades, dodge, faint, key, log_axis, points, power_guides
from pgbench.report.measured import Measured
from pgbench.report.panels import (
    ROWS,
    Drawing,
    NothingToDraw,
    add_legend,
    estimator_handles,
)
from pgbench.report.style import GUIDE, Style, looks, parse_label, wrapped

if TYPE_CHECKING:
    from xarray import Dataset

FAMILIES = 3


def variance_by_size(summary: "Dataset") -> Drawing:
    """Relative variance of one estimate against the number of states."""
    series = _series(summary)
    if not series:
        raise NothingToDraw("no family of problems is in the run with several sizes.")
    variance = Measured.of(summary, "relative_variance")[..., 0].positive
    kinds = list(series)[:FAMILIES]
    policies = range(min(summary.sizes["policy"], ROWS))
    members = np.concatenate([series[kind] for kind in kinds])
    drawn = np.isfinite(variance.value[members][:, list(policies)]).any(axis=(0, 1))
    if not drawn.any():
        raise NothingToDraw("no cell of the run has what it shows.")
    width = {1: 5.2, 2: 4.2}.get(len(policies), 3.3)
    figure = Figure(
        figsize=(max(width * len(policies), 6.0), 3.3 * len(kinds) + 0.5), layout="constrained"
    )
    grid = figure.subplots(len(kinds), len(policies), squeeze=False, sharex="row", sharey=True)
    n_estimators = summary.sizes["estimator"]
    for row, kind in zip(grid, kinds, strict=True):
        sizes = summary["n_states"].values[series[kind]]
        for j, ax in zip(policies, row, strict=True):
            ax.set_title(wrapped(f"{kind} × {summary['policy'].values[j]}", 60))
            log_axis(ax, np.unique(sizes), "number of states $S$")
            decades(ax)
            for e, style in enumerate(looks(summary)):
                x = sizes * dodge(e, n_estimators, sizes)
                _one_estimator(ax, x, variance[series[kind], j, e], style)
        row[0].set_ylabel(r"relative variance $\mathrm{tr}\,\hat\Sigma\,/\,\|\nabla J\|^2$")
    for ax in grid.flat:
        power_guides(ax, 1.0)
    slope = key("proportional to $S$", color=GUIDE, linewidth=0.8, linestyle=DASHES)
    add_legend(figure, [*estimator_handles(summary, drawn), slope])
    n = int(summary["batch_size"].values[0])
    more = f" Drawn are {FAMILIES} of {len(series)} families." if len(series) > FAMILIES else ""
    return Drawing(
        figure,
        f"Relative variance tr Σ̂ / ‖∇J‖² of an estimate from {n} "
        f"{'trajectory' if n == 1 else 'trajectories'} against the number S of states. Lines join "
        "geometric means over the instances of a size, bars are 95 % intervals of their sampling "
        "error, faint marks are the single instances. Dashed grey lines grow in proportion to "
        f"S.{more}",
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


def _one_estimator(ax: Axes, x: NDArray[np.float64], variance: Measured, style: Style) -> None:
    """Instances, and their geometric means joined by a line."""
    faint(ax, x, variance.value, style)
    sizes = np.unique(x[np.isfinite(variance.value)])
    if sizes.size:
        means = [variance[x == size].geometric_mean() for size in sizes]
        ends = np.array([[m.value, m.low, m.high] for m in means])
        points(ax, sizes, Measured(*ends.T), style, line=True)
