"""Figures that compare runs: sizes, step sizes, outcomes."""

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pgbench.arrays import BoolArray, FloatArray, IndexArray
from pgbench.ascent.summary import median_steps
from pgbench.declared.outcomes import LOST, AscentOutcome, Status
from pgbench.report.ascents.runs import (
    Run,
    algorithm_labels,
    best,
    facets,
    handles,
    remaining,
)
from pgbench.report.extent import holder
from pgbench.report.marks import DASHES, decades, log_axis
from pgbench.report.panels import (
    MOST_COLUMNS,
    MOST_ROWS,
    Drawing,
    NothingToDraw,
    add_legend,
    panels,
)
from pgbench.report.parameters import values_along
from pgbench.report.plots import Plot
from pgbench.report.selection import MOST_LEVELS
from pgbench.report.style import INK, policy_titles, shortened
from pgbench.statistics import fit_line

if TYPE_CHECKING:
    from xarray import Dataset


AXES = {
    "n_states": "states",
    "n_actions": "actions",
    "state_dimension": "dimension of the state",
    "action_dimension": "dimension of the action",
}
"""Sizes of problems, and what they are called."""

OTHERS = {
    "n_states": "n_actions",
    "n_actions": "n_states",
    "state_dimension": "action_dimension",
    "action_dimension": "state_dimension",
}
"""What stays the same as a size varies."""

MOST_STEPS = 24
"""Most step sizes side by side."""

MOST_FAMILIES = MOST_COLUMNS // 2
"""Most families, of two columns each."""

SIZES = 3
"""Fewer sizes than this say nothing about growth."""


def sizes(ascent: "Dataset") -> Drawing:
    """Updates to a tenth of the gap, and the gradient at the start, against size."""
    found = [
        (family, axis)
        for family in dict.fromkeys(map(str, ascent["family"].values))
        for axis in AXES
        if _members(ascent, family, axis).size
    ]
    if not found:
        raise NothingToDraw(f"no family of problems has {SIZES} sizes.")
    shown, note = best(ascent)
    policies = policy_titles(ascent)[:MOST_ROWS]
    if len(found) * ascent.sizes["policy"] > MOST_FAMILIES * len(policies):
        note += f" Drawn are the first {MOST_FAMILIES} families and {MOST_ROWS} policies at most."
    found = found[:MOST_FAMILIES]
    n_columns = 2 * len(found)
    figure = Figure(
        figsize=(max(2.7 * n_columns, 6.0), 2.5 * len(policies) + 0.9), layout="constrained"
    )
    grid = figure.subplots(len(policies), n_columns, squeeze=False)
    for j, policy in enumerate(policies):
        for i, (family, axis) in enumerate(found):
            members = _members(ascent, family, axis)
            size = ascent[axis].values[members]
            left, right = grid[j, 2 * i], grid[j, 2 * i + 1]
            _reached(left, ascent, shown, members, j, size)
            _starts(right, ascent, members, j, size)
            word = AXES[axis]
            log_axis(left, np.unique(size), word)
            if right.get_xscale() == "linear":
                right.set_xlabel(word)
            else:
                log_axis(right, np.unique(size), word)
            for ax in (left, right):
                ax.set_title(f"{family}, {policy}" if len(policies) > 1 else family)
            left.set_ylabel("updates to 10 % of the gap")
            right.set_ylabel("‖∇J‖ at the start")
    add_legend(figure, handles(shown))
    caption = (
        "Left: updates until a tenth of the initial gap is left, median over replicates, mean over"
        " instances; an open mark at the top is a run that never got there. Right: norm of the"
        " exact gradient at the start." + note
    )
    return Drawing(figure, caption, "Updates to a tenth of the gap against size")


def _members(ascent: "Dataset", family: str, axis: str) -> IndexArray:
    """Problems of a family whose size along an axis varies, the other axis the same; or none."""
    other = OTHERS[axis]
    own = np.flatnonzero(ascent["family"].values.astype(str) == family)
    own = own[ascent[axis].values[own] > 0]
    if not own.size:
        return own
    groups = [own[ascent[other].values[own] == value] for value in
              np.unique(ascent[other].values[own])]  # fmt: skip
    largest = max(groups, key=lambda g: np.unique(ascent[axis].values[g]).size)
    return largest if np.unique(ascent[axis].values[largest]).size >= SIZES else own[:0]


def _reached(
    ax: Axes,
    ascent: "Dataset",
    shown: list[Run],
    members: IndexArray,
    policy: int,
    size: NDArray[Any],
) -> None:
    last = float(ascent["step"].values[-1])
    steps = ascent["steps_to_10"].values
    outcome = ascent["outcome"].values
    for run in shown:
        x, y, never = [], [], []
        for value in np.unique(size):
            medians = []
            for problem in members[size == value]:
                own = (problem, policy, *run.place)
                there = outcome[own] != AscentOutcome.NO_RUN
                if there.any():
                    medians.append(median_steps(steps[own][there]))
            if medians:
                x.append(float(value))
                y.append(float(np.mean(medians)))
                never.append(not np.isfinite(y[-1]))
        if not x:
            continue
        xs, ys, lost = np.array(x), np.array(y), np.array(never)
        marker = run.marker
        ax.plot(xs[~lost], ys[~lost], color=run.colour, linestyle=run.line, marker=marker)
        ax.plot(
            xs[lost],
            np.full(int(lost.sum()), 1.5 * last),
            color=run.colour,
            marker=marker,
            linestyle="none",
            markerfacecolor="white",
        )
    decades(ax)
    ax.set_ylim(0.8, 2.2 * last)


def _starts(
    ax: Axes, ascent: "Dataset", members: IndexArray, policy: int, size: NDArray[Any]
) -> None:
    norms = ascent["gradient_norm"].values[members, policy, ..., 0].reshape(members.size, -1)
    some = np.isfinite(norms).any(axis=1)
    norm = np.nanmax(np.where(np.isfinite(norms), norms, -np.inf), axis=1, initial=-np.inf)
    good = some & (norm > 0)
    ax.plot(size[good], norm[good], color=INK, marker="o", linestyle="none")
    decades(ax)
    if np.unique(size[good]).size < SIZES:
        ax.set_xscale("log")
        return
    x, y = size[good].astype(float), np.log(norm[good])
    fits = {"power": fit_line(np.log(x), y), "exponential": fit_line(x, y)}
    kind = max(fits, key=lambda name: fits[name].r_squared)
    fit, sizes = fits[kind], np.geomspace(x.min(), x.max(), 50)
    curve = fit.intercept + fit.slope * (np.log(sizes) if kind == "power" else sizes)
    if kind == "power":
        ax.set_xscale("log")
    ax.plot(sizes, np.exp(curve), color=INK, linewidth=0.9, linestyle=DASHES)
    text = f"∝ size^{fit.slope:.2f}" if kind == "power" else f"∝ exp({fit.slope:.2f} · size)"
    ax.annotate(text, (0.04, 0.06), xycoords="axes fraction", fontsize=8)


def step_map(ascent: "Dataset") -> Drawing:
    """What is left of the gap over step size and another parameter, or algorithms."""
    values, columns = _columns(ascent)
    names, rows = _rows(ascent)
    note = ""
    if len(rows) > MOST_LEVELS or len(columns) > MOST_STEPS:
        columns = _every_so_many(columns, MOST_STEPS)
        pairs = _every_so_many(list(zip(names, rows, strict=True)), MOST_LEVELS)
        names, rows = [name for name, _ in pairs], [row for _, row in pairs]
        note = f" Every so many rows and columns are drawn; {holder(ascent)} all."
    left = remaining(ascent)
    status = ascent["ascent_status"].values == Status.DONE
    if len(columns) < SIZES or len(rows) < SIZES:
        raise NothingToDraw(f"fewer than {SIZES} step sizes were tried with {SIZES} algorithms.")
    block = np.ix_(range(left.shape[0]), range(left.shape[1]), rows, columns)
    where = facets(ascent, status[block])
    figure, axes = panels(ascent, where, 0.26 * len(rows) + 1.3, scale=1.35, margin=1.0)
    norm = LogNorm(1e-3, 1.0)
    image = None
    diverged = ascent["diverged_share"].values + ascent["unstable_share"].values
    for place, ax in axes.items():
        table = left[place][np.ix_(rows, columns)]
        there = status[place][np.ix_(rows, columns)]
        shown = np.where(there, np.clip(np.nan_to_num(table, nan=np.inf), 1e-3, 1.0), np.nan)
        image = ax.imshow(shown, norm=norm, cmap="viridis_r", aspect="auto")
        lost = diverged[place][np.ix_(rows, columns)]
        for r, c in np.argwhere(there):
            if lost[r, c] > 0.25:
                text, colour = "×", "white"
            else:
                text = _percent(float(table[r, c]))
                colour = "white" if shown[r, c] > 0.04 else "black"
            ax.text(c, r, text, ha="center", va="center", fontsize=7, color=colour)
        ax.set_xticks(range(len(columns)), [f"{values[c]:.3g}" for c in columns])
        ax.set_yticks(range(len(rows)), [shortened(n, 34) for n in names])
        ax.set_xlabel("step size α")
        ax.grid(visible=False)
    for row in where.rows:
        for place in row[1:]:
            axes[place].set_yticklabels([])
    if image is not None:
        bar = figure.colorbar(image, ax=list(axes.values()), shrink=0.8, pad=0.02)
        bar.set_label("gap left at the end")
        bar.set_ticks([1e-3, 1e-2, 1e-1, 1], labels=["≤ 0.1 %", "1 %", "10 %", "≥ 100 %"])
    caption = (
        "Suboptimality at the end over that at the start, in percent, interquartile mean over"
        " replicates; × marks pairs with which more than a quarter of the replicates diverged, and"
        " 100 or more that nothing was gained." + where.note + note
    )
    return Drawing(figure, caption, "Map of step sizes")


def _columns(ascent: "Dataset") -> tuple[FloatArray, list[int]]:
    """Step sizes α (step_size,), NaN of rules that have none, and the columns of a map."""
    found = [values.get("step", np.nan) for values in values_along(ascent, "step_size")]
    steps = np.array(found, float)
    return steps, [int(z) for z in np.argsort(steps, kind="stable") if np.isfinite(steps[z])]


def _every_so_many(entries: list[Any], most: int) -> list[Any]:
    """At most so many entries, the first and the last among them."""
    places = np.linspace(0, len(entries) - 1, min(most, len(entries))).round().astype(int)
    return [entries[i] for i in places]


def _rows(ascent: "Dataset") -> tuple[list[str], list[int]]:
    """Rows of the map: values of one numeric parameter of one algorithm, or algorithms."""
    names, values = ascent["algorithm_name"].values, values_along(ascent, "algorithm")
    for kind in dict.fromkeys(map(str, names)):
        own = [i for i, name in enumerate(names) if name == kind]
        for key in values[own[0]]:
            found = {i: values[i][key] for i in own if isinstance(values[i].get(key), float)}
            if len(set(found.values())) >= SIZES and len(found) == len(own):
                rows = sorted(own, key=lambda i: -found[i])
                symbol = "α_w" if key == "critic_step" else key
                return [f"{symbol} = {found[i]:.3g}" for i in rows], rows
    return algorithm_labels(ascent), list(range(len(names)))


def _percent(x: float) -> str:
    if not np.isfinite(x):
        return "×"
    value = 100 * x
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.1 else "<0.1"


WIDE = 0.86
"""Width of a bar in a map, of the room that it has."""

FATES = (
    ("1 % of the gap or less is left", "#029e73"),
    ("10 % or less", "#8fd0b8"),
    ("more than 10 %", "#d9d9d9"),
    ("collapsed", "#de8f05"),
    ("diverged", "#d55e00"),
    ("unstable", "#7b3294"),
)


def outcomes(ascent: "Dataset") -> Drawing:
    """What became of the replicates of every run."""
    gap, outcome = ascent["suboptimality"].values, ascent["outcome"].values
    sampled = (outcome != AscentOutcome.NO_RUN).sum(axis=-1) > 1
    if not sampled.any():
        raise NothingToDraw("no ascent of the run was sampled.")
    if (swept := _swept(ascent)) is not None:
        return _outcome_map(ascent, sampled, *swept)
    kept, note = best(ascent, MOST_LEVELS)
    every = [run for run in kept if sampled[(..., *run.place)].any()]
    where = facets(ascent, sampled)
    height = 0.2 * len(every) + 0.8
    figure, axes = panels(ascent, where, height, scale=1.3, margin=2.6)
    for place, ax in axes.items():
        for number, run in enumerate(every):
            own = (*place, *run.place)
            n = int((outcome[own] != AscentOutcome.NO_RUN).sum())
            if n == 0:
                continue
            _bar(ax, _fates(gap[own], outcome[own]), row=number, start=0.0, width=1.0, height=0.78)
        ax.set_xlim(0, 1)
        ax.set_ylim(len(every) - 0.4, -0.6)
        ax.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        ax.set_yticks([])
        ax.grid(visible=False)
    for row in where.rows:
        axes[row[0]].set_yticks(range(len(every)), [shortened(r.label, 46) for r in every])
    _fate_legend(figure, outcome)
    caption = "Shares of the replicates by what became of them. " + _FATES_READ + where.note + note
    return Drawing(figure, caption, "Outcomes of all runs")


_FATES_READ = (
    "Collapsed: the policy ends nearly"
    " deterministic, with less than 1 % of the entropy of the uniform one, and more than 10 %"
    " of the gap is left; it has committed to something wrong. Diverged: a number ceased to be"
    " finite. Unstable: a gain left the region where J is finite."
)


def _swept(ascent: "Dataset") -> tuple[list[str], list[int], list[int]] | None:
    """Rows and columns of a map: names and places of algorithms, and places of step sizes.

    None where the runs are not those of two parameters with several values each.
    """
    values, columns = _columns(ascent)
    names, rows = _rows(ascent)
    every = len(rows) == ascent.sizes["algorithm"] and len(columns) == values.size
    large = len(rows) >= SIZES and len(columns) >= SIZES
    if not every or not large or len(rows) > MOST_LEVELS or len(columns) > MOST_STEPS:
        return None
    return names, rows, columns


def _outcome_map(
    ascent: "Dataset", sampled: BoolArray, names: list[str], rows: list[int], columns: list[int]
) -> Drawing:
    """A bar of shares for every pair of two swept parameters, each at its place."""
    gap, outcome = ascent["suboptimality"].values, ascent["outcome"].values
    where, (steps, _) = facets(ascent, sampled), _columns(ascent)
    figure, axes = panels(ascent, where, 0.3 * len(rows) + 1.0, scale=1.35, margin=1.0)
    for place, ax in axes.items():
        for (r, a), (c, z) in product(enumerate(rows), enumerate(columns)):
            own = (*place, a, z)
            if not (outcome[own] != AscentOutcome.NO_RUN).any():
                continue
            shares = _fates(gap[own], outcome[own])
            _bar(ax, shares, row=r, start=c - WIDE / 2, width=WIDE, height=0.7)
        ax.set_xlim(-0.5, len(columns) - 0.5)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xticks(range(len(columns)), [f"{step:.3g}" for step in steps[columns]])
        ax.set_yticks([])
        ax.set_xlabel("step size α")
        ax.grid(visible=False)
    for row in where.rows:
        axes[row[0]].set_yticks(range(len(rows)), [shortened(name, 34) for name in names])
    _fate_legend(figure, outcome)
    caption = (
        "What became of the replicates with every pair of step sizes: each bar is all of them. "
        + _FATES_READ
        + where.note
    )
    return Drawing(figure, caption, "Outcomes over two swept parameters")


def _bar(
    ax: Axes, shares: list[float], row: int, start: float, width: float, height: float
) -> None:
    """Shares of the replicates beside each other, in the order of ``FATES``."""
    for share, (_, colour) in zip(shares, FATES, strict=True):
        ax.barh(row, width * share, left=start, color=colour, height=height, linewidth=0)
        start += width * share


def _fate_legend(figure: Figure, outcome: NDArray[Any]) -> None:
    # Only gains can be unstable.
    fates = FATES if (outcome == AscentOutcome.UNSTABLE).any() else FATES[:-1]
    add_legend(figure, [Patch(color=colour, label=label) for label, colour in fates])


def _fates(gap: FloatArray, outcome: NDArray[Any]) -> list[float]:
    """Shares of the replicates (R,) in the order of ``FATES``; gap (R, L)."""
    there = outcome != AscentOutcome.NO_RUN
    with np.errstate(divide="ignore", invalid="ignore"):
        left = gap[there, -1] / gap[there, 0]
    own = outcome[there]
    fine = own == AscentOutcome.FINISHED
    counts = [
        (fine & (left <= 0.01)).sum(),
        (fine & (left > 0.01) & (left <= 0.1)).sum(),
        (fine & ~(left <= 0.1)).sum(),
        *((own == lost).sum() for lost in LOST),
    ]
    return [float(c) / int(there.sum()) for c in counts]


step_map_plot = Plot(
    "ascent_map", "Which step sizes work", step_map, order=4, of="ascents", explained=False
)
sizes_plot = Plot("ascent_sizes", "Does size matter", sizes, order=5, of="ascents", explained=False)
outcomes_plot = Plot(
    "ascent_outcomes", "What became of the runs", outcomes, order=6, of="ascents", explained=False
)
