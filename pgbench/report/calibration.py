"""Figure of measured against exact: variances, their ratios, and z-scores beside the normal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy import special

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.outcomes import Status
from pgbench.report.checks import BAND
from pgbench.report.declared import TEST_LEVEL, normal_means, smallest
from pgbench.report.marks import decades
from pgbench.report.panels import (
    MOST_MARKS,
    Drawing,
    NothingToDraw,
    add_legend,
    estimator_handles,
)
from pgbench.report.plots import Plot
from pgbench.report.statistic import Statistic
from pgbench.report.style import INK, looks
from pgbench.report.tables import p_value
from pgbench.statistics.hypothesis_tests import MIN_SCORES

if TYPE_CHECKING:
    from xarray import Dataset

WITHIN = 0.1
"""Half-width of the band of ratios."""

WIDEST = 4.0
"""Ratios beyond this factor are drawn at the edge."""

EXACT = "exact variance tr Σ"


def calibration(summary: "Dataset") -> Drawing:
    """Measured variances and means against exact ones, over all cells."""
    variance = Statistic.of(summary, "variance").positive
    exact = summary["exact_variance"].values
    exact = np.where(exact > 0, exact, np.nan)
    ratio = variance * (1 / exact)
    compared = np.isfinite(ratio.value)
    z_mean, z_variance = summary["mean_z"].values, summary["variance_test_z"].values
    scored = np.isfinite(z_mean) | np.isfinite(z_variance)
    if not (compared | scored).any():
        raise NothingToDraw("no cell of the run has an exact variance.")
    outside = 0
    rows = [["variance", "ratio"]] if compared.any() else []
    scores = {"means": z_mean, "variances": z_variance}
    if scored.any():
        rows.append([what for what, z in scores.items() if np.isfinite(z).any()])
    figure = Figure(figsize=(10.0, 3.7 * len(rows)), layout="constrained")
    # A single panel takes the whole row.
    mosaic: list[Any] = [row * (3 - len(row)) for row in rows]
    axes: dict[str, Axes] = figure.subplot_mosaic(mosaic)
    if compared.any():
        _variances(axes["variance"], summary, exact, variance, compared)
        outside = _ratios(axes["ratio"], summary, exact, ratio, compared)
    for what, z in scores.items():
        if what in axes:
            _scores(axes[what], summary, z)
            axes[what].set_title(f"z-scores of measured {what}")
    for ax in figure.axes:
        sns.despine(ax=ax)
    handles = estimator_handles(summary, (compared | scored).any(axis=(0, 1, 3)))
    line, band = "measured = exact", f"±{_percent(WITHIN)}"
    if scored.any():
        handles.append(Line2D([], [], color=INK, linewidth=2.0, label="all estimators"))
        line, band = f"{line}; standard normal", f"{band}; 95 % band"
    handles += [Line2D([], [], color=INK, linewidth=0.9, label=line), Patch(color=BAND, label=band)]
    add_legend(figure, handles)
    return Drawing(
        figure,
        " ".join(_caption(summary, ratio, compared, outside)),
        "Measured against exact variance, their ratio, and distributions of the z-scores of means "
        "and variances beside the standard normal.",
    )


def _variances(
    ax: Axes,
    summary: "Dataset",
    exact: FloatArray,
    variance: Statistic,
    compared: BoolArray,
) -> None:
    seen = np.concatenate([exact[compared], variance.value[compared]])
    ends = [seen.min() / 2, seen.max() * 2]
    ax.plot(ends, ends, color=INK, linewidth=0.9, zorder=0.8)
    _cells(ax, summary, exact, variance, compared)
    for axis in "xy":
        decades(ax, axis)
    ax.set(
        xlim=ends,
        ylim=ends,
        xlabel=EXACT,
        ylabel="measured variance tr Σ̂",
        title="variance of every cell",
    )


def _ratios(
    ax: Axes, summary: "Dataset", exact: FloatArray, ratio: Statistic, compared: BoolArray
) -> int:
    """Draw the ratios; how many of them are drawn at the edge."""
    spread = np.abs(np.log(ratio.value[compared]))
    edge = float(np.exp(np.clip(1.3 * np.quantile(spread, 0.99), 1.5 * WITHIN, np.log(WIDEST))))
    ax.axhspan(1 - WITHIN, 1 + WITHIN, color=BAND, linewidth=0, zorder=0)
    ax.axhline(1, color=INK, linewidth=0.9, zorder=0.8)
    beyond = compared & ((ratio.value > edge) | (ratio.value < 1 / edge))
    _cells(ax, summary, exact, ratio, compared & ~beyond)
    for e, style in enumerate(looks(summary)):
        for marker, end in (("^", edge), ("v", 1 / edge)):
            x = exact[:, :, e][beyond[:, :, e] & ((ratio.value[:, :, e] > 1) == (end > 1))]
            if x.size:
                ax.plot(
                    x,
                    np.full(x.size, end),
                    linestyle="none",
                    marker=marker,
                    markersize=5.5,
                    color=style.colour,
                    clip_on=False,
                )
    decades(ax, "x")
    ax.set_yscale("log")
    ticks = _ratio_ticks(edge)
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set(
        ylim=(1 / edge, edge), xlabel=EXACT, ylabel="measured / exact", title="measured over exact"
    )
    return int(beyond.sum())


def _ratio_ticks(edge: float) -> list[float]:
    """Round ratios between 1/edge and edge."""
    wide = [0.25, 0.5, 1, 2, 4]
    middle = [0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.6, 1.8, 2]
    narrow = [0.8, 0.85, 0.9, 0.95, 1, 1.05, 1.1, 1.15, 1.2]
    ticks = narrow if edge < 1.25 else middle if edge < 2 else [*wide, 0.7, 0.9, 1.1, 1.4]
    return [t for t in ticks if 1 / edge <= t <= edge]


def _cells(ax: Axes, summary: "Dataset", x: FloatArray, y: Statistic, chosen: BoolArray) -> None:
    """A small mark per chosen cell, with its bar unless there are so many that they hide them."""
    many = _many(chosen)
    for e, style in enumerate(looks(summary)):
        own = chosen[:, :, e]
        if own.any():
            cells = y[:, :, e][own]
            ax.errorbar(
                x[:, :, e][own],
                cells.value,
                yerr=None if many else cells.bars,
                color=style.colour,
                ecolor=(style.colour, 0.25),
                marker=style.marker,
                markersize=2.0 if many else 3.2,
                markeredgewidth=0,
                linestyle="none",
                elinewidth=0.8,
                rasterized=many,
            )


def _many(cells: BoolArray) -> bool:
    return bool(cells.sum() > MOST_MARKS)


def _scores(ax: Axes, summary: "Dataset", z: FloatArray) -> None:
    """Distribution of z-scores, per estimator and over all, beside the standard normal."""
    finite = np.isfinite(z)
    reach = float(np.clip(np.abs(z[finite]).max() * 1.05, 3.5, 8.0))
    x = np.linspace(-reach, reach, 301)
    normal = special.ndtr(x)
    groups = int(finite.any(axis=2).sum())
    half = float(np.sqrt(np.log(2 / TEST_LEVEL) / (2 * groups)))
    ax.fill_between(
        x,
        np.maximum(normal - half, 0),
        np.minimum(normal + half, 1),
        color=BAND,
        linewidth=0,
        zorder=0,
    )
    ax.plot(x, normal, color=INK, linewidth=0.9, zorder=0.8)
    for e, style in enumerate(looks(summary)):
        own = z[:, :, e][finite[:, :, e]]
        if own.size >= MIN_SCORES:
            sns.ecdfplot(
                x=own, ax=ax, color=style.colour, linestyle=style.line, linewidth=0.8, alpha=0.8
            )
    sns.ecdfplot(x=z[finite], ax=ax, color=INK, linewidth=2.0)
    ax.set(xlim=(-reach, reach), ylim=(0, 1), xlabel="z", ylabel="fraction of cells")


def _caption(
    summary: "Dataset", ratio: Statistic, compared: BoolArray, outside: int
) -> Iterator[str]:
    """Sentences on what is drawn and what it says."""
    if compared.any():
        yield (
            "Top: variance over the replicates against the exact variance, which is computed with "
            "no sampling, and their ratio, with 95 % intervals. If both are right the marks lie on "
            f"the line: {_percent(np.abs(ratio.value[compared] - 1) <= WITHIN)} of "
            f"{int(compared.sum())} cells are within {_percent(WITHIN)} of it (grey)."
        )
        if _many(compared):
            yield f"The intervals of more than {MOST_MARKS} cells are not drawn."
        known = compared & np.isfinite(ratio.low * ratio.high)
        if known.any():
            holds = (ratio.low <= 1) & (ratio.high >= 1)
            yield f"{_percent(holds[known])} of the intervals hold the exact variance."
    if outside:
        yield f"{outside} cells beyond the axis are triangles at its edge."
    tested = np.isfinite(summary["mean_z"].values) | np.isfinite(summary["variance_test_z"].values)
    if tested.any():
        yield (
            "Bottom: how far means and variances are from the exact ones, in standard errors, "
            "beside the standard normal. If the code is right every curve follows it; the band "
            f"(Dvoretzky–Kiefer–Wolfowitz) is that of {int(tested.any(axis=2).sum())} independent "
            f"sets of trajectories, which estimators share. Thin lines are the estimators with at "
            f"least {MIN_SCORES} cells."
        )
        if np.isfinite(p := smallest(normal_means(summary))):
            yield (
                "Kolmogorov's test of the means, one per estimator, has a smallest p-value of "
                f"{p_value(p)} after Holm's correction; below {TEST_LEVEL:g} it says that a mean "
                "or an exact variance is wrong."
            )
    yield from _without(summary)
    yield from _no_interval(summary)


def _percent(share: float | BoolArray) -> str:
    return f"{100 * np.mean(share):.0f} %"


def _without(summary: "Dataset") -> Iterator[str]:
    """How many cells have no exact variance, and why."""
    done = summary["status"].values == Status.DONE
    missing = done & np.isnan(summary["exact_variance"].values)
    if not missing.any():
        yield f"Every one of {int(done.sum())} measured cells has an exact variance."
        return
    listed = _listed(summary["exact_note"].values[missing])
    n, n_done = int(missing.sum()), int(done.sum())
    yield f"{n} of {n_done} measured cells have no exact variance: {listed}."


def _no_interval(summary: "Dataset") -> Iterator[str]:
    """How many cells have no interval of the variance, and why."""
    done = summary["status"].values == Status.DONE
    missing = done & np.isnan(summary["variance_low"].values)
    if missing.any():
        listed = _listed(summary["interval_note"].values[missing])
        n, n_done = int(missing.sum()), int(done.sum())
        yield f"{n} of {n_done} have no interval of the variance, RMSE or bias: {listed}."


def _listed(notes: NDArray[np.object_]) -> str:
    """Reasons, and how many cells each has."""
    reasons, counts = np.unique([_reason(str(note)) for note in notes], return_counts=True)
    return "; ".join(f"{why} ({count})" for why, count in zip(reasons, counts, strict=True))


def _reason(note: str) -> str:
    """A note without its numbers, which differ from cell to cell."""
    return note.split(":")[0].strip() or "no reason was recorded"


plot = Plot("calibration", "Measured against exact", calibration, order=9)
