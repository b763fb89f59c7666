"""Figure of what parameters do: statistics against one that is swept, or maps over two."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from pgbench.arrays import FloatArray, IndexArray
from pgbench.estimators import estimators
from pgbench.report.marks import decades, points
from pgbench.report.panels import Drawing, NothingToDraw, handle
from pgbench.report.plots import Plot
from pgbench.report.statistic import Statistic
from pgbench.report.style import HUES, LINES, MARKERS, Style
from pgbench.report.tables import number
from pgbench.results.coordinates import parameter_coordinate

if TYPE_CHECKING:
    from xarray import Dataset

FEWEST = 3
"""A parameter with fewer values is not swept."""

MOST = 4
"""Most estimators of which a sweep is drawn."""

MOST_LINES = 5
"""More combinations of the other parameters are drawn as a map."""

STATISTICS = {
    "relative_bias": "bias over ‖∇J‖",
    "relative_variance": "variance over ‖∇J‖²",
    "relative_rmse": "RMSE over ‖∇J‖",
}
"""What is drawn, and what it is called."""

LEAST = 1e-6
"""Smaller relative biases are drawn as this: they are none."""


@dataclass(frozen=True)
class Sweep:
    """Estimators of one name that differ in numbers.

    Attributes
    ----------
    members
        (n,) their places along the axis of estimators.
    along
        The parameter with most values.
    across
        Another one, if there is any.
    x, other
        (n,) values of the two; the second are zeros where there is none.
    """

    name: str
    members: IndexArray
    along: str
    across: str
    x: FloatArray
    other: FloatArray


def found_sweeps(summary: "Dataset") -> list[Sweep]:
    """Every sweep of at most two parameters that a run holds."""
    names = summary["estimator_name"].values.astype(str)
    sweeps = []
    for name in dict.fromkeys(names):
        members = np.flatnonzero(names == name)
        record = estimators().get(str(name))
        if record is None:
            continue
        coordinates = {key: summary[parameter_coordinate(key)].values for key in record.parameters}
        varied = {
            key: own[members].astype(float)
            for key, own in coordinates.items()
            if own.dtype.kind == "f" and np.unique(own[members]).size > 1
        }
        words = [own for own in coordinates.values() if own.dtype.kind != "f"]
        if any(len({*map(str, own[members])}) > 1 for own in words) or not 0 < len(varied) < 3:
            continue
        along, *rest = sorted(varied, key=lambda key: -np.unique(varied[key]).size)
        if np.unique(varied[along]).size >= FEWEST:
            other = varied[rest[0]] if rest else np.zeros(members.size)
            across = rest[0] if rest else ""
            sweeps.append(Sweep(str(name), members, along, across, varied[along], other))
    return sweeps


def sweeps(summary: "Dataset") -> Drawing:
    """Bias, variance and error of an estimator against its parameters."""
    found = found_sweeps(summary)
    if not found:
        raise NothingToDraw(
            f"no estimator is in the run with {FEWEST} values of a number that it takes."
        )
    shown = found[:MOST]
    figure = Figure(figsize=(11.5, 2.9 * len(shown) + 0.4), layout="constrained")
    rows = figure.subplots(len(shown), len(STATISTICS), squeeze=False)
    for axes, sweep in zip(rows, shown, strict=True):
        values = {name: pooled(summary, sweep, name) for name in STATISTICS}
        lines = np.unique(sweep.other)
        for ax, (name, words) in zip(axes, STATISTICS.items(), strict=True):
            ax.set_title(f"{sweep.name}: {words}")
            if lines.size > MOST_LINES:
                _map(figure, ax, sweep, values[name].value)
            else:
                _lines(ax, sweep, values[name])
        if sweep.across and lines.size <= MOST_LINES:
            entries = [
                handle(_style(k), f"{sweep.across} = {number(own)}") for k, own in enumerate(lines)
            ]
            axes[0].legend(handles=entries, fontsize=7)
    n = int(summary["batch_size"].values[-1])
    more = f" Drawn are {MOST} of {len(found)} estimators." if len(found) > MOST else ""
    return Drawing(
        figure,
        f"What an estimator's own parameters do at batch size {n}: geometric means over problems "
        "and policies of bias, variance and root mean squared error. Bias and variance are exact "
        f"where that is known; biases below {LEAST:g} are drawn there. Bars are 95 % intervals of "
        "the sampling error of what is measured. Two parameters with many values each are a map."
        f"{more}",
        "Relative bias, variance and RMSE against swept parameters of estimators.",
    )


def pooled(summary: "Dataset", sweep: Sweep, name: str) -> Statistic:
    """A statistic (n,) of the members at the largest batch size, over all settings."""
    own = summary.isel(estimator=sweep.members, batch_size=-1)
    known = Statistic.of if name == "relative_rmse" else Statistic.best_known
    found = known(own, name)
    parts = [found.value, found.low, found.high]
    if name == "relative_bias":
        parts = [np.where(np.isfinite(part), np.fmax(part, LEAST), part) for part in parts]
    shape = (-1, sweep.members.size)
    return Statistic(*(part.reshape(shape) for part in parts)).positive.geometric_mean()


def _style(place: int) -> Style:
    return Style(HUES[place % len(HUES)], MARKERS[place % len(MARKERS)], LINES[place % len(LINES)])


def _lines(ax: Axes, sweep: Sweep, y: Statistic) -> None:
    """A line against the first parameter for every value of the second."""
    for k, other in enumerate(np.unique(sweep.other)):
        own = np.flatnonzero(sweep.other == other)
        own = own[np.argsort(sweep.x[own])]
        points(ax, sweep.x[own], y[own], _style(k), line=True)
    decades(ax)
    if sweep.x.min() > 0 and sweep.x.max() > 20 * sweep.x.min():
        decades(ax, "x")
    ax.set_xlabel(sweep.along)
    sns.despine(ax=ax)


def _map(figure: Figure, ax: Axes, sweep: Sweep, values: FloatArray) -> None:
    """The statistic over both parameters."""
    columns, x = np.unique(sweep.x, return_inverse=True)
    rows, y = np.unique(sweep.other, return_inverse=True)
    table = np.full((rows.size, columns.size), np.nan)
    table[y, x] = values
    finite = table[np.isfinite(table)]
    norm = LogNorm(finite.min(), max(finite.max(), finite.min() * 1.01)) if finite.size else None
    image = ax.imshow(table, norm=norm, cmap="viridis_r", aspect="auto", origin="lower")
    ax.set_xticks(range(columns.size), [number(own) for own in columns])
    ax.set_yticks(range(rows.size), [number(own) for own in rows])
    ax.set(xlabel=sweep.along, ylabel=sweep.across)
    ax.grid(visible=False)
    bar = figure.colorbar(image, ax=ax, pad=0.02)
    bar.ax.yaxis.set_minor_formatter(NullFormatter())


plot = Plot("sweeps", "What parameters do", sweeps, order=5, explained=False)
