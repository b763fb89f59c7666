"""Figure and table of how variance, bias and time grow with the size of the problem."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.report.marks import ROUNDING, decades, dodge, faint, log_axis, points
from pgbench.report.panels import (
    MOST_ROWS,
    Drawing,
    NothingToDraw,
    add_legend,
    estimator_handles,
)
from pgbench.report.parameters import values_along, word
from pgbench.report.plots import Plot
from pgbench.report.selection import of_the_best
from pgbench.report.statistic import Statistic
from pgbench.report.style import Style, looks, policy_titles, wrapped
from pgbench.report.tables import number
from pgbench.report.unresolved import noted
from pgbench.statistics import fit_line

if TYPE_CHECKING:
    from xarray import Dataset

NAMED = 4
"""Up to so many estimators their exponents stand in the panels; the table has all."""

_RESOLUTION = 1e-9
"""Seconds; no estimate takes less."""


@dataclass(frozen=True)
class PowerLaw:
    """y ∝ x^exponent, with the 95 % interval of the exponent; NaN where there is none."""

    exponent: float
    low: float
    high: float
    constant: float
    points: int

    @property
    def label(self) -> str:
        """The exponent and its interval in words."""
        if not np.isfinite(self.exponent):
            return "–"
        interval = f" [{self.low:.2f}, {self.high:.2f}]" if np.isfinite(self.low) else ""
        text = f"{self.exponent:.2f}{interval}"
        return re.sub(r"-(0\.00\b)", r"\1", text).replace("-", "−")


def fit_power_law(x: ArrayLike, y: ArrayLike) -> PowerLaw:
    """Least squares of log y on log x, every point with the same weight.

    The interval is Student's, from the scatter about the line with n - 2 degrees of freedom. So it
    covers how instances differ, the sampling error and a moderate bend alike, if they do not depend
    on x. Points that are not positive are left out; with two points there is no interval.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    good = (x > 0) & (y > 0) & np.isfinite(y)
    u, v = np.log(x[good]), np.log(y[good])
    n = u.size
    if np.unique(u).size < 2:
        return PowerLaw(np.nan, np.nan, np.nan, np.nan, n)
    line = fit_line(u, v)
    low, high = line.slope - line.half, line.slope + line.half
    return PowerLaw(line.slope, low, high, float(np.exp(line.intercept)), n)


def quantities(summary: "Dataset") -> dict[str, Statistic]:
    """What is followed over sizes, at the first batch size: arrays (problem, policy, estimator)."""
    own = summary.isel(batch_size=0)
    seconds = own["seconds"].values
    # A difference of two laps that noise swallowed is no measurement.
    seconds = np.where(seconds > _RESOLUTION, seconds, np.nan)
    variance = Statistic.best_known(own, "relative_variance")
    # What the replicates cannot have seen all of has no interval, and is no measurement.
    seen = np.isfinite(variance.low)
    bias = Statistic.best_known(own, "relative_bias")
    parts = (np.where(x > ROUNDING, x, np.nan) for x in (bias.value, bias.low, bias.high))
    with np.errstate(divide="ignore", invalid="ignore"):
        each = seconds / own["steps"].values
    return {
        "relative variance": (variance * np.where(seen, 1.0, np.nan)).positive,
        "relative bias": Statistic(*parts),
        "seconds per estimate": Statistic(seconds, seconds, seconds).positive,
        "seconds per step": Statistic(each, each, each).positive,
    }


@of_the_best
def scaling(summary: "Dataset") -> Drawing:
    """Relative variance, relative bias and time of an estimate against the size of the problem."""
    followed = quantities(summary)
    rows = list(_rows(summary, followed))
    if not rows:
        raise NothingToDraw("no family of problems is in the run with several sizes.")
    shown = rows[:MOST_ROWS]
    figure = Figure(figsize=(2.75 * len(followed), 2.5 * len(shown) + 0.5), layout="constrained")
    grid = figure.subplots(len(shown), len(followed), squeeze=False, sharex="row")
    drawn = np.zeros(summary.sizes["estimator"], bool)
    for axes, (title, members, j) in zip(grid, shown, strict=True):
        sizes = _sizes(summary)[members].astype(float)
        word = "number of states S"
        if not summary["n_states"].values[members].any():
            word = "dimension of the state n"
        for ax, (name, values) in zip(axes, followed.items(), strict=True):
            ax.set_title(wrapped(title, 40) if ax is axes[0] else "", loc="left")
            _size_axis(ax, sizes, word)
            decades(ax)
            ax.set_ylabel(name)
            drawn |= _one_panel(ax, sizes, values[members, j], looks(summary))
    add_legend(figure, estimator_handles(summary, drawn))
    n = int(summary["batch_size"].values[0])
    more = (
        f" Drawn are {MOST_ROWS} of {len(rows)}; the dataset has all."
        if len(rows) > MOST_ROWS
        else ""
    )
    return Drawing(
        figure,
        f"Estimates from {n} {'trajectory' if n == 1 else 'trajectories'} against the number S of "
        "states, or the dimension n of the state: variance over ‖∇J‖², bias over ‖∇J‖ (exact where "
        "they are known, measured elsewhere; a measured variance without an interval is left out),"
        " seconds of one estimate and of one of its steps. Marks are geometric means over the "
        "instances of a size, bars 95 % intervals of their sampling error, faint marks the single "
        "instances. Lines are least-squares power laws y ∝ S^p, or n^p, through all instances; p "
        f"stands in {'the panels and in ' if drawn.sum() <= NAMED else ''}the table below. Its "
        "95 % interval is Student's, from the scatter about the line, so it covers how instances "
        "differ as well as the sampling error. It takes "
        "the scatter to be the same at all sizes and does not vouch for a power law beyond them. "
        "A wide one says that growth is no power law. An automatic horizon is as long as keeps the "
        "truncation bias of ∇J_H at 1 %, so that bias does not grow. Where ∇J vanishes nothing is "
        "relative to it and marks are missing."
        f"{more}",
        "Relative variance, relative bias, seconds per estimate and per step against the number of "
        "states on logarithmic axes, with fitted power laws, one line per estimator.",
    )


def exponents(summary: "Dataset") -> tuple[list[str], list[list[str]]]:
    """Names of the quantities, and rows: setting, estimator, sizes, an exponent of each."""
    followed = quantities(summary)
    rows: list[list[str]] = []
    for title, members, j in _rows(summary, followed):
        sizes = _sizes(summary)[members]
        for e, estimator in enumerate(map(str, summary["estimator"].values)):
            laws = [fit_power_law(sizes, y.value[members, j, e]) for y in followed.values()]
            if any(law.points for law in laws):
                reach = f"{number(sizes.min())} to {number(sizes.max())}"
                rows.append([title, estimator, reach, *(law.label for law in laws)])
    return list(followed), rows


def _rows(
    summary: "Dataset", followed: dict[str, Statistic]
) -> Iterator[tuple[str, IntArray, int]]:
    """Title, problems and policy of every row that has something at two sizes."""
    for kind, members in series(summary).items():
        for j, policy in enumerate(policy_titles(summary)):
            finite = np.any(
                [np.isfinite(y.value[members, j]).any(axis=1) for y in followed.values()], axis=0
            )
            if np.unique(_sizes(summary)[members][finite]).size > 1:
                yield f"{kind} × {policy}", members, j


def series(summary: "Dataset") -> dict[str, IntArray]:
    """Indices of problems that differ in size and instance only, where there are several sizes.

    A series goes by its kind, and by what else tells it from others of that kind.
    """
    members: dict[tuple[str, frozenset[tuple[str, Any]]], list[int]] = {}
    sizes = _sizes(summary)
    for i, values in enumerate(values_along(summary, "problem")):
        kind, size = (str(summary[own].values[i]) for own in ("family", "size_parameter"))
        others = frozenset((k, x) for k, x in values.items() if k not in (size, "seed"))
        if size and sizes[i] > 0:
            members.setdefault((kind, others), []).append(i)
    found = {}
    for (kind, others), own in members.items():
        shared = frozenset.intersection(*(rest for name, rest in members if name == kind))
        title = ", ".join([kind, *(f"{k}={word(x)}" for k, x in sorted(others - shared))])
        if np.unique(sizes[own]).size > 1:
            found[title] = np.array(own)
    return found


def _sizes(summary: "Dataset") -> IntArray:
    """Numbers of states, or dimensions of the state; 0 where neither is known, (problem,)."""
    finite, dimension = summary["n_states"].values, summary["state_dimension"].values
    return np.where(finite > 0, finite, dimension)


def _size_axis(ax: Axes, sizes: FloatArray, word: str) -> None:
    ticks = np.unique(sizes)
    if ticks[-1] / ticks[0] >= 1000:
        decades(ax, "x")
        ax.set_xlabel(word)
    else:
        log_axis(ax, ticks.astype(int), word)


def _one_panel(ax: Axes, sizes: FloatArray, y: Statistic, styles: list[Style]) -> BoolArray:
    """Instances, means and power laws of every estimator; which have any."""
    drawn = np.any(np.isfinite(y.value), axis=0, keepdims=True)[0]
    handles = []
    for e in np.flatnonzero(drawn):
        style, own = styles[e], y[:, e]
        x = sizes * dodge(int(e), len(styles), sizes)
        faint(ax, x, own.value, style)
        places = np.unique(x[np.isfinite(own.value)])
        means = [own[x == place].geometric_mean() for place in places]
        ends = np.array([[m.value, m.low, m.high] for m in means])
        points(ax, places, Statistic(*ends.T), style, line=False)
        law = fit_power_law(sizes, own.value)
        if np.isfinite(law.exponent):
            span = sizes[np.isfinite(own.value)]
            span = np.array([span.min(), span.max()])
            (line,) = ax.plot(
                span,
                law.constant * span**law.exponent,
                color=style.colour,
                linestyle=style.line,
                linewidth=1.0,
                label=f"p = {law.label}",
            )
            handles.append(line)
    if drawn.any():
        # At least a decade and a half, so that there is a tick, and room for the exponents above.
        seen = y.value[np.isfinite(y.value)]
        middle, reach = np.sqrt(seen.min() * seen.max()), np.sqrt(seen.max() / seen.min())
        reach = max(1.6 * reach, 6.0)
        room = reach ** (0.36 * len(handles)) if drawn.sum() <= NAMED else 1.0
        ax.set_ylim(middle / reach, middle * reach * room)
    if handles and drawn.sum() <= NAMED:
        ax.legend(handles=handles, loc="upper left", fontsize=6.5, handlelength=1.6, borderpad=0.1)
    return drawn


plot = Plot("scaling", "Growth with size", noted(scaling), order=4)
