"""Marks, guides and axes that several figures share."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FixedLocator,
    LogFormatterSciNotation,
    LogLocator,
    NullLocator,
)

from pgbench.arrays import FloatArray
from pgbench.report.statistic import Statistic
from pgbench.report.style import GUIDE, Style

DASHES = (0, (3, 2))

SHORT = 40.0
"""An axis whose ends have a smaller ratio than this is ticked between the powers of ten too."""

ROUNDING = 1e-12
"""A relative bias below this is none."""


def points(ax: Axes, x: FloatArray, y: Statistic, style: Style, line: bool) -> None:
    """Marks with upright bars, joined by a line if ``line``."""
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


def lines_and_marks(
    ax: Axes, x: Any, exact: FloatArray, measured: Statistic, styles: list[Style]
) -> None:
    """A line of exact values (e, x) and marks of measured ones with bars, of every estimator.

    Infinite and NaN are left out.
    """
    for e, style in enumerate(styles):
        own = measured[e]
        ax.plot(x, exact[e], color=style.colour, ls=style.line, lw=1.1)
        ax.errorbar(
            x,
            own.value,
            yerr=own.bars,
            color=style.colour,
            marker=style.marker,
            markersize=3.6,
            markeredgecolor="white",
            markeredgewidth=0.4,
            ls="none",
            elinewidth=0.8,
        )


def certain(exact: FloatArray, measured: Statistic) -> tuple[FloatArray, Statistic]:
    """Exact values and measured ones, NaN where they are none or cannot be told from none."""
    sure = np.where(measured.low > 0, 1.0, np.nan)
    return np.where(exact > ROUNDING, exact, np.nan), measured * sure


def dots(ax: Axes, x: Statistic, looks: list[Style], filled: Any) -> None:
    """One mark with a level bar per entry, in rows from the top."""
    for row in np.flatnonzero(np.isfinite(x.value)):
        style = looks[row]
        # Not as error bars of the mark: an interval need not hold the estimate.
        ax.plot([x.low[row], x.high[row]], [row, row], color=style.colour, linewidth=1.3)
        ax.plot(
            x.value[row],
            row,
            color=style.colour,
            marker=style.marker,
            markersize=4.4,
            markeredgewidth=0.9,
            markerfacecolor=style.colour if filled[row] else "white",
        )


def faint(ax: Axes, x: Any, y: Any, style: Style) -> None:
    """Marks of single instances, behind those of their mean."""
    ax.plot(
        x,
        y,
        linestyle="none",
        marker=style.marker,
        markersize=2.8,
        color=style.colour,
        alpha=0.35,
        markeredgewidth=0,
    )


def key(label: str, **look: Any) -> Line2D:
    """Legend entry without data."""
    return Line2D([], [], label=label, **look)


def dodge(e: int, n: int, x: Any) -> float:
    """Factor that sets estimators with equal values side by side on a logarithmic axis."""
    x = np.unique(x)
    gap = float(np.log(x[1:] / x[:-1]).min()) if x.size > 1 else 1.0
    return float(np.exp((e - (n - 1) / 2) / max(n, 2) * min(0.28 * gap, 0.4)))


def log_axis(ax: Axes, ticks: Any, label: str) -> None:
    """Logarithmic horizontal axis with whole numbers for ticks, six at most."""
    shown = np.asarray(ticks)
    while shown.size > 6:
        shown = shown[::2]
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator([float(t) for t in shown]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(shown, [f"{t:,}".replace(",", " ") for t in shown])
    ax.set_xlabel(label)


def decades(ax: Axes, axis: str = "y") -> None:
    """Logarithmic axis with ticks at powers of ten, or between them where there are hardly two."""
    ax.set(**{f"{axis}scale": "log"})
    chosen = ax.yaxis if axis == "y" else ax.xaxis
    chosen.set_major_locator(_Decades(numticks=7))
    chosen.set_major_formatter(_EveryPower())
    chosen.set_minor_locator(NullLocator())


class _Decades(LogLocator):
    """Ticks at powers of ten, and at twice and five times these where the axis is short."""

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        """The ticks between two numbers."""
        short = vmin > 0 and vmax < SHORT * vmin
        self.set_params(subs=(1.0, 2.0, 5.0) if short else (1.0,))
        return super().tick_values(vmin, vmax)


class Powers(LogFormatterSciNotation):
    """Powers of ten in characters: a formula is parsed and set anew wherever a tick is measured."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """A tick in characters."""
        made = _POWER.fullmatch(text := super().__call__(x, pos))
        if made is None:
            return text
        factor = f"{made[1]}·" if made[1] else ""
        return f"{factor}10{made[2].translate(RAISED)}"


_POWER = re.compile(r"\$\\mathdefault\{(?:(\d+(?:\.\d+)?)\\times)?10\^\{(-?\d+)\}\}\$")
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class _EveryPower(Powers):
    """Labels of all ticks, where there are few."""

    def set_locs(self, locs: Any = None) -> None:
        """Take the ticks, none of which goes without a label."""
        super().set_locs(locs)
        self._sublabels = None


def power_guides(ax: Axes, exponent: float) -> None:
    """Dashed lines y ∝ x^exponent through the panel, one or two decades apart."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    ends = np.array([left, right])
    heights = np.log10(np.array([low, high])[:, None] / ends**exponent)
    step = 2 if np.log10(high / low) > 5 else 1
    for power in range(int(np.ceil(heights.min())), int(heights.max()) + 1, step):
        ax.plot(
            ends,
            10.0**power * ends**exponent,
            color=GUIDE,
            linewidth=0.7,
            linestyle=DASHES,
            zorder=0.5,
        )
    ax.set(xlim=(left, right), ylim=(low, high))
