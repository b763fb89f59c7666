"""Figure of an objective's penalty: how wrong each way to differentiate it is, by length."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pgbench.arrays import FloatArray, IntArray
from pgbench.report.marks import decades, lines_and_marks
from pgbench.report.panels import Drawing, NothingToDraw, add_legend, estimator_handles
from pgbench.report.plots import Plot
from pgbench.report.scaling import series
from pgbench.report.selection import of_the_best
from pgbench.report.statistic import Statistic
from pgbench.report.style import GUIDE, Style, looks
from pgbench.report.unresolved import noted

if TYPE_CHECKING:
    from xarray import Dataset

MOST_PENALTIES = 4
"""Most panels side by side."""


@of_the_best
def penalties(summary: "Dataset") -> Drawing:
    """Error of the penalty's gradient, and variance, against the size of a problem."""
    weighed = _weighed(summary)
    members = next(iter(series(summary).values()), np.zeros(0, np.int64))
    if not weighed or not members.size:
        raise NothingToDraw("no objective with a penalty is in the run at several sizes.")
    name = str(summary["size_parameter"].values[members[0]])
    sizes = _values(summary, members, name)
    own = summary.isel(problem=members, batch_size=-1)
    styles, x = looks(summary), np.unique(sizes)
    figure = Figure(figsize=(3.4 * len(weighed) + 1.4, 5.6), layout="constrained")
    rows = figure.subplots(2, len(weighed), squeeze=False, sharey="row", sharex="col")
    for (error, noise), (label, j) in zip(rows.T, weighed.items(), strict=True):
        at = own.isel(policy=j)
        norm = at["penalty_gradient_norm"].values[:, None]
        exact, measured = at["exact_bias"].values / norm, Statistic.of(at, "bias") * (1 / norm)
        _over_sizes(error, x, sizes, Statistic.mean, exact, measured, styles)
        exact, measured = (
            at["exact_relative_variance"].values,
            Statistic.of(at, "relative_variance"),
        )
        _over_sizes(noise, x, sizes, Statistic.geometric_mean, exact, measured, styles)
        decades(noise)
        error.axhline(1.0, color=GUIDE, lw=0.8, zorder=0)
        error.set_title(label)
        noise.set_xlabel(name.replace("_", " "))
        noise.set_xticks(x)
    rows[0, 0].set_ylabel("bias over the norm\nof the penalty's gradient")
    rows[1, 0].set_ylabel("variance over ‖∇J‖²")
    shown = np.isfinite(own["relative_variance"].values).any(axis=(0, 1))
    add_legend(figure, estimator_handles(summary, shown))
    return Drawing(figure, _caption(name, sizes), _ALT)


def _weighed(summary: "Dataset") -> dict[str, int]:
    """Objectives with a penalty whose gradient is not zero, and the first policy of each."""
    if "penalty_gradient_norm" not in summary:
        return {}
    norms = summary["penalty_gradient_norm"].values
    labels = [str(label) for label in summary["criterion"].values]
    found: dict[str, int] = {}
    for j, label in enumerate(labels):
        if (norms[:, j] > 0).any() and len(found) < MOST_PENALTIES:
            found.setdefault(label, j)
    return found


def _values(summary: "Dataset", members: IntArray, name: str) -> FloatArray:
    """Values of a parameter of problems, (n,)."""
    values: FloatArray = summary[f"problem_{name}"].values[members]
    return values


def _over_sizes(
    ax: Axes,
    x: FloatArray,
    own: FloatArray,
    pooled: Callable[[Statistic], Statistic],
    exact: FloatArray,
    measured: Statistic,
    styles: list[Style],
) -> None:
    """What is pooled over the instances of each size x, of those whose sizes are ``own``."""
    places = [own == size for size in x]
    line = [pooled(Statistic(exact[p], exact[p], exact[p])).value for p in places]
    marks = [pooled(measured[p]) for p in places]
    parts = (np.transpose([getattr(m, part) for m in marks]) for part in ("value", "low", "high"))
    lines_and_marks(ax, x, np.transpose(line), Statistic(*parts), styles)


def _caption(name: str, sizes: FloatArray) -> str:
    n = int(np.unique(sizes, return_counts=True)[1].max())
    of = f", arithmetic and geometric means over {n} instances," if n > 1 else ","
    return (
        f"Ways to differentiate an objective's penalty, against {name}. Above, the bias over the"
        " norm of the penalty's own gradient: at 1 it is as wrong as if there were no penalty."
        f" Below, the variance of the whole estimate over ‖∇J‖². Lines are exact{of} without"
        " sampling; marks are measured, with 95 % intervals, and stand alone where exact values are"
        " not known."
    )


_ALT = "Bias over the norm of the penalty's gradient and relative variance against a size."


plot = Plot(
    "penalties", "What a penalty in the loss does", noted(penalties), order=-1, explained=False
)
