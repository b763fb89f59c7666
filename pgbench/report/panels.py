"""Grids of panels: which settings are drawn, how they are laid out and saved."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogFormatterSciNotation

from pgbench.arrays import BoolArray
from pgbench.report.extent import holder
from pgbench.report.marks import Powers
from pgbench.report.style import (
    Style,
    looks,
    policy_titles,
    problem_titles,
    shortened,
    theme,
    wrapped,
)
from pgbench.results.files import write_file

if TYPE_CHECKING:
    from xarray import Dataset

Place = tuple[int, int]

MOST_COLUMNS, MOST_ROWS = 6, 4
"""Most panels side by side, and most rows of them."""

TALL = 24
"""Panels of more rows than this have their scale above, too."""

MOST_NAMED = 64
"""Most estimators in a legend."""

MOST_MARKS = 10_000
"""More marks than this are drawn as an image, in SVG files too, whose size would grow with them."""

MOST_PIXELS = 10_000
"""Longest side of an image."""

SVG_DPI = 72
"""Points per inch, which is what SVG files are drawn in."""

WIDTHS = (4.6, 4.0, 3.3, 2.7, 2.25, 2.0)
"""Width in inches of a panel, by the number of columns."""


class NothingToDraw(ValueError):
    """A figure that a run has no data for; the message is a sentence that says why."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure, how to read it, and a description for those who do not see it."""

    figure: Figure
    caption: str
    alt: str

    def save(self, path: str | Path) -> None:
        """Write the figure to a file, in the format that the ending of its name says.

        PDF and SVG for papers, PNG at 144 dots per inch; text in SVG stays text.
        """
        made = BytesIO()
        with theme():
            self.figure.savefig(made, format=Path(path).suffix.removeprefix(".").lower() or "png")
        write_file(Path(path), made.getbuffer())

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        made = BytesIO()
        with theme():
            self.figure.savefig(made, format="png")
        return made.getvalue()


@dataclass(frozen=True, eq=False)
class Facets:
    """Which settings are drawn: rows of (problem, policy) indices, and a sentence on the others."""

    rows: list[list[Place]]
    note: str

    @property
    def places(self) -> list[Place]:
        """Every setting drawn."""
        return [place for row in self.rows for place in row]

    @property
    def lowest(self) -> list[Place]:
        """The lowest panel of every column; the last row may be short."""
        above = [] if len(self.rows) < 2 else self.rows[-2][len(self.rows[-1]) :]
        return [*self.rows[-1], *above]


def chosen_facets(summary: "Dataset", finite: BoolArray) -> Facets:
    """At most six problems in a row for each of at most four policies.

    A single policy gets two rows. Of too many problems the further instances are left out first,
    then every so many. A problem or policy without a true entry of ``finite``
    (problem, policy, ...) is not drawn; NothingToDraw if nothing is left.
    """
    usable: BoolArray = np.any(finite.reshape(*finite.shape[:2], -1), axis=2)
    problems = np.flatnonzero(usable.any(axis=1))
    policies = np.flatnonzero(usable.any(axis=0))[:MOST_ROWS]
    if problems.size == 0:
        raise NothingToDraw("no cell of the run has what it shows.")
    limit = MOST_COLUMNS * (2 if policies.size == 1 else 1)
    shown = problems
    if shown.size > limit:
        shown = shown[summary["instance"].values[shown] == 0]
    if shown.size > limit:
        shown = shown[np.unique(np.linspace(0, shown.size - 1, limit).round().astype(int))]
    rows = [[(int(i), int(j)) for i in shown] for j in policies]
    if len(rows) == 1 and shown.size > MOST_COLUMNS:
        half = -(-shown.size // 2)
        rows = [rows[0][:half], rows[0][half:]]
    notes = []
    if shown.size < problems.size:
        notes.append(f"{shown.size} of {problems.size} problems")
    if policies.size < (n := int(usable.any(axis=0).sum())):
        notes.append(f"{policies.size} of {n} policies")
    note = f" Drawn are {' and '.join(notes)}; {holder(summary)} all." if notes else ""
    return Facets(rows, note)


def panels(
    summary: "Dataset",
    facets: Facets,
    height: float,
    scale: float = 1.0,
    margin: float = 0.0,
    **sharing: Any,
) -> tuple[Figure, dict[Place, Axes]]:
    """A figure with one titled panel per setting.

    Panels are ``height`` inches high and as wide as there is room for, times ``scale``; ``margin``
    inches are added for labels on the left. A panel's title is its problem; the policy stands at
    the right end of each row if there are several.
    """
    n_rows, n_columns = len(facets.rows), len(facets.rows[0])
    width = WIDTHS[n_columns - 1] * scale
    several = summary.sizes["policy"] > 1
    called = policy_titles(summary)
    policies = [wrapped(called[row[0][1]], 28) for row in facets.rows]
    if several:  # they are written upright beside the rows
        longest = max(len(line) for policy in policies for line in policy.splitlines())
        height = max(height, 0.07 * longest)
    figure = Figure(
        figsize=(max(n_columns * width + margin, 6.0), n_rows * height + 1.0), layout="constrained"
    )
    grid = figure.subplots(n_rows, n_columns, squeeze=False, **sharing)
    titles = problem_titles(summary)
    axes: dict[Place, Axes] = {}
    for row, places, policy in zip(grid, facets.rows, policies, strict=True):
        for ax in row[len(places) :]:
            ax.set_axis_off()
        for ax, (i, j) in zip(row, places, strict=False):
            axes[i, j] = ax
            title = titles[str(summary["problem"].values[i])]
            ax.set_title(wrapped(title, max(int(width * 13), 20)))
        if several:
            beside(row[len(places) - 1], policy)
    for ax in axes.values():
        sns.despine(ax=ax)
    return figure, axes


def scale_at_both_ends(ax: Axes) -> None:
    """A scale above a high panel as well as below; its title makes room for that."""
    ax.tick_params(labelbottom=True, labeltop=True)
    ax.set_title(ax.get_title(), pad=20)


def beside(ax: Axes, text: str) -> None:
    """Write upright at the right end of a row what holds for all of it."""
    ax.annotate(
        text,
        (1, 0.5),
        xytext=(6, 0),
        xycoords="axes fraction",
        textcoords="offset points",
        rotation=-90,
        ha="left",
        va="center",
        fontsize=8.5,
    )


def label_below(axes: Mapping[Place, Axes], facets: Facets, label: str) -> None:
    """Label the lowest panel of each column, with its ticks, though others may stand below it."""
    for place in facets.lowest:
        axes[place].set_xlabel(label)
        axes[place].tick_params(labelbottom=True)


def estimator_handles(summary: "Dataset", shown: BoolArray) -> list[Line2D | Patch]:
    """Legend entries of the estimators that are ``shown``."""
    labels = [str(e) for e in summary["estimator"].values]
    found: list[Line2D | Patch] = [
        handle(style, shortened(label, 50))
        for style, label, s in zip(looks(summary), labels, shown, strict=True)
        if s
    ]
    if (more := len(found) - MOST_NAMED) > 0:
        found[MOST_NAMED:] = [Line2D([], [], linestyle="none", label=f"and {more} more")]
    return found


def handle(style: Style, label: str) -> Line2D:
    """Legend entry of a line with markers."""
    return Line2D(
        [],
        [],
        color=style.colour,
        marker=style.marker,
        linestyle=style.line,
        linewidth=1.2,
        markeredgecolor="white",
        markeredgewidth=0.4,
        label=label,
    )


def add_legend(figure: Figure, handles: Sequence[Line2D | Patch]) -> None:
    """A legend below the panels, in as many columns as fit."""
    if not handles:
        return
    longest = max(len(str(h.get_label())) for h in handles)
    columns = int(figure.get_figwidth() / (0.55 + 0.068 * longest))
    columns = min(max(columns, 1), len(handles))
    rows = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + 0.17 * rows)
    figure.legend(handles=list(handles), loc="outside lower center", ncols=-(-len(handles) // rows))


def save(figure: Figure, stem: Path) -> None:
    """Write ``stem.svg`` and ``stem.png``; the same figure gives the same bytes."""
    with warnings.catch_warnings():
        # A label may hold characters that the font lacks; they are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.set_dpi(SVG_DPI)
        for ax in figure.axes:
            for axis in (ax.xaxis, ax.yaxis):
                if type(axis.get_major_formatter()) is LogFormatterSciNotation:
                    axis.set_major_formatter(Powers())
                if type(axis.get_minor_formatter()) is LogFormatterSciNotation:
                    axis.set_minor_formatter(Powers(labelOnlyBase=False))
        _lay_out(figure)
        # Not by savefig, which draws everything twice.
        made = BytesIO()
        FigureCanvasSVG(figure).print_svg(made, metadata={"Date": None})  # type: ignore[no-untyped-call]
        write_file(stem.with_suffix(".svg"), made.getbuffer())
        longest = figure.get_size_inches().max()
        figure.set_dpi(min(matplotlib.rcParams["savefig.dpi"], MOST_PIXELS / longest))
        made = BytesIO()
        FigureCanvasAgg(figure).print_png(made)  # type: ignore[no-untyped-call]
        write_file(stem.with_suffix(".png"), made.getbuffer())


def _lay_out(figure: Figure) -> None:
    """Put everything in its place, once for all files."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)
