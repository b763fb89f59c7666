"""Figure of a study of horizons: bias, variance and error against the number of steps."""

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pgbench.arrays import FloatArray
from pgbench.report.drawing import draw
from pgbench.report.marks import DASHES, decades, key, log_axis
from pgbench.report.page import folder_of_figures, rendered
from pgbench.report.panels import (
    MOST_COLUMNS,
    Drawing,
    NothingToDraw,
    Place,
    add_legend,
    estimator_handles,
)
from pgbench.report.style import INK, Style, looks, policy_titles, problem_titles, wrapped
from pgbench.report.svg import font_faces
from pgbench.report.tables import number
from pgbench.results.files import write_file
from pgbench.results.folding import folded

if TYPE_CHECKING:
    from xarray import Dataset

TOLERANCE = 0.01
"""Truncation bias that an automatic horizon allows."""

SMALLEST_BIAS = 1e-5
"""A smaller bias is not drawn."""

LARGEST_VARIANCE = 1e8
"""A larger variance is not drawn, nor an error beyond its root."""

BUDGETS = {16: 0.7, 4096: 1.5}
"""Budgets of the third row in rollouts of the grid's horizon, and the widths of their lines."""


def write_study(study: "Dataset", directory: Path) -> Path:
    """Write ``horizons.html`` and ``figures/horizons.png``, ``.svg``; the path of the page.

    Raises
    ------
    OSError, OutputError
        If the directory cannot be written.
    """
    figures, study = folder_of_figures(directory), folded(study)
    figure = draw("Bias, variance and the horizon", horizons, study, figures / "horizons")
    path = directory / "horizons.html"
    page = rendered(
        "horizon_study.html.jinja",
        name=study.attrs.get("name", "study"),
        figure=figure,
        fonts=font_faces([figure["svg"]] if "svg" in figure else []),
        messages=messages(study),
        grid=study.attrs.get("grid", ""),
    )
    write_file(path, page.encode())
    return path


def messages(study: "Dataset") -> list[str]:
    """Why curves are missing or end early.

    Said once for a setting if all its estimators share it, and for an estimator over its settings.
    """
    problems, policies, estimators = (
        [str(x) for x in study[axis].values] for axis in ("problem", "policy", "estimator")
    )
    found, by_estimator = [], defaultdict(list)
    for i, problem in enumerate(problems):
        for j, policy in enumerate(policies):
            own = [str(message) for message in study["message"].values[i, j]]
            if own[0] and len(set(own)) == 1:
                found.append(f"{problem} × {policy}: {own[0]}")
                continue
            for estimator, message in zip(estimators, own, strict=True):
                if message:
                    by_estimator[estimator, message].append(f"{problem} × {policy}")
    for (estimator, message), places in by_estimator.items():
        where = places[0] if len(places) == 1 else f"{len(places)} settings"
        found.append(f"{estimator} in {where}: {message}")
    return found


def horizons(study: "Dataset") -> Drawing:
    """Truncation bias, variance, and error at equal cost against H, and bias against variance."""
    places, note = _chosen(study)
    n = len(places)
    width = max(2.45 * n, 6.0)
    figure = Figure(figsize=(width, 8.8), layout="constrained")
    grid = figure.subplots(4, n, squeeze=False, sharey="row")
    titles = problem_titles(study)
    for column, place in zip(grid.T, places, strict=True):
        title = titles[str(study["problem"].values[place[0]])]
        if study.sizes["policy"] > 1:
            title += f" × {policy_titles(study)[place[1]]}"
        column[0].set_title(wrapped(title, 30))
        _column(column, study, place)
    names = ("truncation bias", "variance", "RMSE at equal steps", "variance")
    for row, name in zip(grid, names, strict=True):
        row[0].set_ylabel(f"relative {name}")
    for ax in grid.flat:
        sns.despine(ax=ax)
    where = tuple(np.array(places).T)
    shown = np.isfinite(study["relative_variance"].values[where]).any(axis=(0, 2))
    open_mark = {"linestyle": "none", "markerfacecolor": "white", "color": INK}
    add_legend(
        figure,
        [
            *estimator_handles(study, shown),
            key("horizon of the grid", color=INK, linewidth=0.8, linestyle=DASHES),
            key("at the horizon of the grid", marker="o", markersize=6, **open_mark),
            key("best horizon", marker="*", markersize=9, linestyle="none", color=INK),
            *(
                key(f"steps of {budget} rollouts", color=INK, linewidth=width)
                for budget, width in BUDGETS.items()
            ),
        ],
    )
    few, many = BUDGETS
    return Drawing(
        figure,
        "Exact, with no sampling: what the horizon H of a rollout does to an estimate. First row: "
        "truncation bias over ‖∇J‖; estimators of ∇J_H share a curve. Second row: variance of an "
        "estimate from one rollout over ‖∇J‖². Third row: RMSE over ‖∇J‖ of the average of as many "
        f"rollouts as cost the steps of {few} (thin) or {many} (thick) of the grid's horizon; an "
        "error above 1 is worse than the estimate zero, the star is the best H, and where it lies "
        "left of the dashed line more and shorter rollouts are better. Fourth row: variance "
        "against the whole bias, one curve per estimator from H = 1 at the right, a few H written "
        "below the lowest; a bias that no horizon removes turns the curve back. Dashed line and "
        "ring are the grid's own horizon; an automatic one is where the bias of ∇J_H falls to "
        f"{100 * TOLERANCE:g} % (dotted). Biases below {number(SMALLEST_BIAS)} and variances "
        f"above {number(LARGEST_VARIANCE)} are not drawn.{note}",
        "Truncation bias, variance and error against the horizon, and variance against bias, one "
        "curve per estimator and one column per problem.",
    )


def _chosen(study: "Dataset") -> tuple[list[Place], str]:
    """At most six settings with a curve, and a sentence on the others.

    Those whose bias depends on no horizon are left out first, then further instances, further
    policies, and all but every so many problems.
    """
    known = np.isfinite(study["relative_variance"].values)
    n_known = int(known.any(axis=(2, 3)).sum())
    if n_known == 0:
        raise NothingToDraw("no estimator has exact moments, or the gradient is zero.")
    biased = known & (study["relative_truncation_bias"].values > SMALLEST_BIAS)
    shown = [(int(i), int(j)) for i, j in np.argwhere(biased.any(axis=(2, 3)))]
    if not shown:
        raise NothingToDraw("one step is all there is: no horizon makes a bias.")
    if len(shown) > MOST_COLUMNS:
        shown = [p for p in shown if study["instance"].values[p[0]] == 0] or shown
    if len(shown) > MOST_COLUMNS:
        shown = [p for p in shown if p[1] == shown[0][1]]
    if len(shown) > MOST_COLUMNS:
        every = np.unique(np.linspace(0, len(shown) - 1, MOST_COLUMNS).round().astype(int))
        shown = [shown[i] for i in every]
    left_out = f" Drawn are {len(shown)} of {n_known} settings; the file holds all."
    return shown, left_out if len(shown) < n_known else ""


def _column(axes: NDArray[np.object_], study: "Dataset", place: Place) -> None:
    """The four panels of a setting."""
    bias_panel, variance_panel, error_panel, trade_panel = axes
    H = study["horizon"].values[place]
    own = float(study["grid_horizon"].values[place])
    names = ("relative_truncation_bias", "relative_bias", "relative_variance", "expected_steps")
    truncation, bias, variance, steps = (study[name].values[place] for name in names)
    drawn_bias = np.where(bias > SMALLEST_BIAS, bias, np.nan)
    drawn_variance = np.where((variance > 0) & (variance <= LARGEST_VARIANCE), variance, np.nan)
    for e, style in enumerate(looks(study)):
        _curve(bias_panel, H, np.where(truncation[e] > SMALLEST_BIAS, truncation[e], np.nan), style)
        _curve(variance_panel, H, drawn_variance[e], style)
        for budget, width in BUDGETS.items():
            error = error_at_cost(H, own, bias[e], variance[e], steps[e], budget)
            _best(error_panel, H, error, style, width)
        _curve(trade_panel, drawn_bias[e], drawn_variance[e], style)
    for e, style in enumerate(looks(study)):
        _ring(trade_panel, drawn_bias[e, own == H], drawn_variance[e, own == H], style)
    _label_horizons(trade_panel, H, own, drawn_bias, drawn_variance)
    bias_panel.axhline(TOLERANCE, color=INK, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0.7)
    error_panel.axhline(1, color=INK, linewidth=0.7, zorder=0.6)
    last = np.nanmax(H)
    round_numbers = (1, 10, 100, 1000, 10_000, 100_000) if last >= 100 else (1, 2, 5, 10, 20, 50)
    ticks = [t for t in round_numbers if t <= last]
    for ax in (bias_panel, variance_panel, error_panel):
        log_axis(ax, ticks, "")
        ax.set_xlim(0.85, last * 1.2)
        ax.axvline(own, color=INK, linewidth=0.8, linestyle=DASHES, zorder=0.7)
    error_panel.set_xlabel("horizon H")
    decades(trade_panel, "x")
    trade_panel.set_xlabel("relative bias")
    for ax in axes:
        decades(ax)


def error_at_cost(
    H: FloatArray,
    own: float,
    bias: FloatArray,
    variance: FloatArray,
    steps: FloatArray,
    budget: float,
) -> FloatArray:
    """RMSE of averages that all cost as many steps as ``budget`` trajectories of the own horizon.

    The number of trajectories need not be whole; NaN where not even one can be paid.
    """
    at_own = steps[own == H]
    if not at_own.size:
        return np.full(H.shape, np.nan)
    n = budget * at_own[0] / steps
    error: FloatArray = np.sqrt(bias**2 + variance / n)
    return np.where(n >= 1, error, np.nan)


def _curve(ax: Axes, x: FloatArray, y: FloatArray, style: Style) -> None:
    ax.plot(
        x,
        y,
        color=style.colour,
        linestyle=style.line,
        linewidth=1.2,
        marker=style.marker,
        markersize=3.2,
        markeredgewidth=0,
    )


def _best(ax: Axes, H: FloatArray, error: FloatArray, style: Style, width: float) -> None:
    error = np.where((error > 0) & (error <= np.sqrt(LARGEST_VARIANCE)), error, np.nan)
    if not np.isfinite(error).any():
        return
    ax.plot(H, error, color=style.colour, linestyle=style.line, linewidth=width)
    best = int(np.nanargmin(error))
    ax.plot(
        H[best],
        error[best],
        marker="*",
        markersize=8,
        color=style.colour,
        markeredgecolor="white",
        markeredgewidth=0.5,
        zorder=3,
    )


def _ring(ax: Axes, bias: FloatArray, variance: FloatArray, style: Style) -> None:
    ax.plot(
        bias,
        variance,
        linestyle="none",
        marker="o",
        markersize=5.5,
        color=style.colour,
        markerfacecolor="white",
        zorder=3,
    )


def _label_horizons(
    ax: Axes, H: FloatArray, own: float, bias: FloatArray, variance: FloatArray
) -> None:
    """Some values of H below the lowest curve."""
    drawable = np.isfinite(bias * variance)
    at_own = np.where(drawable, variance, np.nan)[:, own == H]
    if not np.isfinite(at_own).any():
        return
    lowest = int(np.nanargmin(at_own[:, 0]))
    drawn = np.flatnonzero(drawable[lowest])
    log = np.log(bias[lowest, drawn])
    ring = int(np.flatnonzero(own == H)[0])
    for i in {ring, *(drawn[np.argmin(np.abs(log - np.log(level)))] for level in (0.15, 0.6))}:
        ax.annotate(
            f"{H[i]:g}",
            (bias[lowest, i], variance[lowest, i]),
            xytext=(-2, -5),
            textcoords="offset points",
            ha="center" if i == ring else "right",
            va="top",
            fontsize=7,
            color=INK,
        )
