"""Figures along the path: suboptimality, returns, gradients, signal to noise, entropy."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from pgbench.arrays import FloatArray
from pgbench.ascent.summary import mean_of_replicates
from pgbench.declared.variables import INTERVAL
from pgbench.report.ascents.runs import Run, best, facets, handles, look
from pgbench.report.marks import DASHES, RAISED, decades, key
from pgbench.report.panels import Drawing, NothingToDraw, add_legend, panels
from pgbench.report.plots import Plot
from pgbench.report.style import GUIDE, INK

if TYPE_CHECKING:
    from xarray import Dataset


ROUNDING = 1e-12
"""Of the start: what is less is not drawn."""

LINEAR = 2000
"""Up to so many updates returns are drawn on a linear axis where that shows the whole climb."""


def updates(ascent: "Dataset") -> FloatArray:
    """Numbers of updates for a logarithmic axis; the start stands at its left edge."""
    steps = ascent["step"].values.astype(float)
    return np.where(steps > 0, steps, 0.5)


def log_updates(ax: Axes, ascent: "Dataset") -> None:
    """A logarithmic axis of updates whose left edge is the start."""
    last = float(ascent["step"].values[-1])
    ax.set_xscale("log")
    powers = np.arange(0, int(np.floor(np.log10(max(last, 1)))) + 1)
    while powers.size > 4:
        powers = powers[::2]
    ax.set_xticks([0.5, *10.0**powers], ["0", *(_power(int(p)) for p in powers)])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(0.5, last)
    ax.set_xlabel("updates")


def _power(p: int) -> str:
    return str(10**p) if p < 4 else f"10{str(p).translate(RAISED)}"


def draw_paths(
    ascent: "Dataset",
    shown: list[Run],
    name: str,
    axes: dict[tuple[int, int], Axes],
    x: FloatArray,
    lowest: Callable[[FloatArray], float] | None = None,
) -> None:
    """A line and band per run in every panel; ``lowest`` says from a curve where it ends."""
    value, low, high = (ascent[f"{name}{end}"].values for end in INTERVAL)
    for place, ax in axes.items():
        for number, run in enumerate(shown):
            own = (*place, *run.place)
            y = np.where(np.isfinite(value[own]), value[own], np.nan)
            if lowest is not None:
                y = np.where(y > lowest(y), y, np.nan)
            if not np.isfinite(y).any():
                continue
            ax.plot(x, y, zorder=3, **look(run, number))
            ends = [np.where(np.isfinite(e[own]), e[own], np.nan) for e in (low, high)]
            if np.isfinite(ends[0]).any():
                if lowest is not None:
                    ends[0] = np.where(np.isfinite(y), np.maximum(ends[0], lowest(y)), np.nan)
                ax.fill_between(
                    x, ends[0], ends[1], color=run.colour, alpha=0.18, linewidth=0, zorder=2
                )


def _rounding(y: FloatArray) -> float:
    start = y[np.isfinite(y)][:1]
    return ROUNDING * float(start[0]) if start.size else 0.0


def suboptimality(ascent: "Dataset") -> Drawing:
    """J* - J(θ_k) against updates, with proven bounds where they come into view."""
    gap = ascent["suboptimality_iqm"].values
    where = facets(ascent, np.isfinite(gap) & (gap > 0))
    shown, note = best(ascent)
    figure, axes = panels(ascent, where, 2.5)
    x = updates(ascent)
    draw_paths(ascent, shown, "suboptimality_iqm", axes, x, _rounding)
    bounded = False
    for place, ax in axes.items():
        own = gap[place]
        start = own[..., 0][np.isfinite(own[..., 0])].max(initial=0.0)
        drawn = [line.get_ydata() for line in ax.lines]
        least = min((float(np.nanmin(y)) for y in drawn), default=start or 1.0)
        top = max((float(np.nanmax(y)) for y in drawn), default=1.0)
        for run in shown:
            bound = ascent["bound"].values[(*place, *run.place)]
            visible = np.isfinite(bound) & (bound < 30 * top)
            if visible.any():
                bounded = True
                y = np.where(visible, bound, np.nan)
                ax.plot(x, y, color=run.colour, linestyle=DASHES, linewidth=1.0, zorder=2.5)
        decades(ax)
        ax.set_ylim(0.7 * max(least, 1e-13 * top), 2 * top)
        log_updates(ax, ascent)
    _left(axes, where.rows, "J* - J(θ)")
    legend = list(handles(shown))
    if bounded:
        legend.append(key("proven bound on the run of that colour", color=INK, linestyle=DASHES))
    add_legend(figure, legend)
    caption = (
        "What is missing to the goal, exact at every logged iterate: interquartile mean over"
        " replicates with 95 % bootstrap bands; single exact runs have none. The start stands at"
        " the left edge. A line ends where nothing but rounding is left, or, for diverged runs,"
        " where more than a quarter of the replicates is lost." + where.note + note
    )
    alt = f"Suboptimality of {len(shown)} runs against updates in {len(axes)} panels"
    return Drawing(figure, caption, alt)


def returns(ascent: "Dataset") -> Drawing:
    """J(θ_k) against updates, and the goal."""
    J = ascent["objective_iqm"].values
    where = facets(ascent, np.isfinite(J))
    shown, note = best(ascent)
    figure, axes = panels(ascent, where, 2.5)
    steps = ascent["step"].values.astype(float)
    linear = steps[-1] <= LINEAR
    x = steps if linear else updates(ascent)
    draw_paths(ascent, shown, "objective_iqm", axes, x)
    goals = ascent["goal"].values
    for place, ax in axes.items():
        if np.isfinite(goals[place]):
            ax.axhline(goals[place], color=INK, linewidth=0.8, linestyle=DASHES, zorder=1)
            ax.annotate(
                "J*",
                (1, goals[place]),
                xycoords=("axes fraction", "data"),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
            )
        if linear:
            ax.set_xlabel("updates")
            ax.set_xlim(0, steps[-1])
        else:
            log_updates(ax, ascent)
    _left(axes, where.rows, "J(θ)")
    add_legend(figure, handles(shown))
    caption = (
        "Exact return of the policy at every logged iterate: interquartile mean over replicates"
        " with 95 % bootstrap bands. Dashed: what suboptimality is measured from."
        + where.note
        + note
    )
    return Drawing(figure, caption, f"Return of {len(shown)} runs against updates")


def gradients(ascent: "Dataset") -> Drawing:
    """Norm of the exact gradient along the path."""
    norm = _median(ascent["gradient_norm"].values)
    where = facets(ascent, np.isfinite(norm) & (norm > 0))
    shown, note = best(ascent)
    figure, axes = panels(ascent, where, 2.3)
    for place, ax in axes.items():
        _lines(ax, ascent, shown, norm[place], floor=1e-14)
        decades(ax)
        log_updates(ax, ascent)
    _left(axes, where.rows, "‖∇J(θ)‖")
    add_legend(figure, handles(shown))
    caption = (
        "Norm of the exact gradient at every logged iterate, median over replicates. It falls at a"
        " maximum, and it falls where nothing is learnt: on plateaus the gradient vanishes although"
        " the policy is poor." + where.note + note
    )
    return Drawing(figure, caption, f"Gradient norm of {len(shown)} runs against updates")


def noise(ascent: "Dataset") -> Drawing:
    """Signal to noise and entropy along the path."""
    snr = ascent["snr"].values
    if not np.isfinite(snr).any():
        raise NothingToDraw("no ascent of the run was sampled.")
    some = np.isfinite(snr)
    where = facets(ascent, some)
    shown, note = best(ascent)
    several = [run for run in shown if some[(slice(None), slice(None), *run.place)].any()]
    figure, axes = panels(ascent, where, 2.2)
    for place, ax in axes.items():
        _lines(ax, ascent, several, np.where(snr > 0, snr, np.nan)[place])
        ax.axhline(1, color=GUIDE, linewidth=0.8, linestyle=DASHES, zorder=1)
        decades(ax)
        log_updates(ax, ascent)
    _left(axes, where.rows, "‖g‖² / E‖ĝ - g‖²")
    add_legend(figure, handles(several))
    caption = (
        "Signal to noise of the estimates that are followed: squared norm of what is estimated over"
        " the mean squared error, both exact up to the mean over replicates. Below 1 an estimate is"
        " more noise than gradient; at just 1 all estimates were 0, for no replicate saw a reward."
        + where.note
        + note
    )
    return Drawing(figure, caption, "Signal to noise along the path")


def cosine(ascent: "Dataset") -> Drawing:
    """Cosine of what is followed with the gradient along the path."""
    table = mean_of_replicates(ascent["cosine"].values)
    off = np.isfinite(table) & (np.abs(table - 1) > ROUNDING)
    if not off.any():
        raise NothingToDraw("no ascent of the run followed anything but the gradient.")
    where = facets(ascent, off)
    shown, note = best(ascent)
    figure, axes = panels(ascent, where, 2.2)
    for place, ax in axes.items():
        _lines(ax, ascent, shown, table[place], floor=-np.inf)
        for level in (0, 1):
            ax.axhline(level, color=GUIDE, linewidth=0.8, linestyle=DASHES, zorder=1)
        log_updates(ax, ascent)
    _left(axes, where.rows, "cosine")
    add_legend(figure, handles(shown))
    caption = (
        "Cosine of the estimate that is followed with the gradient at the same iterate, or with the"
        " natural gradient where that is estimated; mean over replicates. Of an exact mean it is"
        " what bias turns; of later updates on one batch what the batch was not drawn for."
        + where.note
        + note
    )
    return Drawing(figure, caption, "Cosine of estimates with the gradient along the path")


def entropy(ascent: "Dataset") -> Drawing:
    """Entropy of the policy along the path, and how often it acts wrongly."""
    H = mean_of_replicates(ascent["entropy"].values)
    where = facets(ascent, np.isfinite(H))
    shown, note = best(ascent)
    figure, axes = panels(ascent, where, 2.2)
    A = ascent["n_actions"].values
    for place, ax in axes.items():
        _lines(ax, ascent, shown, H[place])
        log_updates(ax, ascent)
        top = float(np.log(max(int(A[place[0]]), 2)))
        ax.axhline(top, color=GUIDE, linewidth=0.8, linestyle=DASHES, zorder=1)
        ax.set_ylim(0, 1.06 * top)
    _left(axes, where.rows, "entropy, nats")
    add_legend(figure, handles(shown))
    caption = (
        "Entropy of the policy, averaged over the states it visits and over replicates; dashed: log"
        " A, that of the uniform policy. Entropy that is gone while suboptimality is not means that"
        " the policy has committed to something wrong." + where.note + note
    )
    return Drawing(figure, caption, "Entropy along the path")


def pooled(ascent: "Dataset") -> Drawing:
    """What is left of the gap, all problems together."""
    left = ascent["relative_suboptimality_iqm"].values
    if ascent.sizes["problem"] < 2 or not np.isfinite(left).any():
        raise NothingToDraw("the run has a single problem.")
    one = ascent.isel(problem=[0])
    shown, note = best(ascent)
    some = np.isfinite(left).any(axis=(1, 2, 3))
    where = facets(one, np.broadcast_to(some[None, :, None], (1, some.size, 1)))
    figure, axes = panels(one, where, 2.8)
    x = updates(ascent)
    spread = {
        f"relative_suboptimality_iqm{end}": (
            ("problem", "policy", "algorithm", "step_size", "step"),
            ascent[f"relative_suboptimality_iqm{end}"].values[None],
        )
        for end in INTERVAL
    }
    draw_paths(one.assign(spread), shown, "relative_suboptimality_iqm", axes, x, _rounding)
    for ax in axes.values():
        ax.set_title("all problems")
        decades(ax)
        log_updates(ax, ascent)
    _left(axes, where.rows, "gap left")
    add_legend(figure, handles(shown))
    caption = (
        f"J* - J(θ) in units of the start's, over {ascent.sizes['problem']} problems and all"
        " replicates: interquartile mean with the 95 % interval of a bootstrap stratified by"
        " problem." + note
    )
    return Drawing(figure, caption, "Gap left over all problems against updates")


def _lines(
    ax: Axes, ascent: "Dataset", shown: list[Run], table: FloatArray, floor: float = 0.0
) -> None:
    x: Any = updates(ascent)
    for number, run in enumerate(shown):
        y = table[run.place]
        y = np.where(np.isfinite(y) & (y >= floor), y, np.nan)
        if np.isfinite(y).any():
            ax.plot(x, y, **look(run, number))


def _left(axes: dict[tuple[int, int], Axes], rows: list[list[tuple[int, int]]], text: str) -> None:
    """The label of the vertical axis at the left end of every row."""
    for row in rows:
        axes[row[0]].set_ylabel(text)


def _median(x: FloatArray) -> FloatArray:
    """Median over the replicates that are left, the axis before the last."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        return np.asarray(np.nanmedian(np.where(np.isfinite(x), x, np.nan), axis=-2), np.float64)


suboptimality_plot = Plot(
    "ascent_suboptimality", "How far from the best", suboptimality, order=1, of="ascents"
)
pooled_plot = Plot(
    "ascent_pooled", "All problems together", pooled, order=2, of="ascents", explained=False
)
returns_plot = Plot("ascent_returns", "What is earned", returns, order=3, of="ascents")
gradients_plot = Plot(
    "ascent_gradient", "Where gradients vanish", gradients, order=7, of="ascents", explained=False
)
noise_plot = Plot(
    "ascent_noise", "Signal and noise along the path", noise, order=8, of="ascents", explained=False
)
cosine_plot = Plot(
    "ascent_cosine", "Where it is led", cosine, order=9, of="ascents", explained=False
)
entropy_plot = Plot(
    "ascent_entropy", "How sure the policy is", entropy, order=10, of="ascents", explained=False
)
