"""Figures drawn and written, one after another or by a crew."""

import re
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pgbench.harness.crew import Crew
from pgbench.report.panels import Drawing, NothingToDraw, save
from pgbench.report.plots import Subject, plots
from pgbench.report.style import theme
from pgbench.report.svg import inline

if TYPE_CHECKING:
    from xarray import Dataset, DataTree

WORTH = 200
"""Cells of a run whose figures take longer to draw than a crew to be ready for that."""

Shown = dict[str, str]
"""Title, caption and SVG of a figure, or the reason why there is none."""

LEAD = 260
"""Characters of a caption, about three lines, beyond which it is folded."""

Data = Mapping[Subject, "Dataset | DataTree | None"]
"""What figures are drawn from; None where a run has nothing of the kind."""


def draw_all(data: Data, directory: Path, crew: Crew | None) -> dict[Subject, list[Shown]]:
    """What the page shows of the data, in its order.

    Without data, figures of an earlier report are removed. The crew draws what is much.
    """
    every = [(of, name) for of in get_args(Subject) for name in plots(of)]
    wanted = [own for own in every if data[own[0]] is not None]
    for _, name in set(every) - set(wanted):
        clear(directory / name)
    if crew is not None and len(crew) > 1 and _cells(data) > WORTH:
        found = dict(_by_crew(crew, data, wanted, directory))
    else:
        found = {own: _drawn(data, own, directory) for own in wanted}
    shown: dict[Subject, list[Shown]] = {of: [] for of in get_args(Subject)}
    for of, name in wanted:
        if "svg" in found[of, name] or plots(of)[name].explained:
            shown[of].append(found[of, name])
    return shown


def _cells(data: Data) -> int:
    """About how much there is to draw."""
    sets = [own for of in ("estimators", "ascents") if (own := data[of]) is not None]
    return sum(prod(own.sizes.values()) for own in sets)


Place = tuple[Subject, str]


def _by_crew(
    crew: Crew, data: Data, wanted: list[Place], directory: Path
) -> Iterator[tuple[Place, Shown]]:
    crew.each(_hold, dict(data), directory)
    for place, figure in crew.unordered(_drawn_of_held, wanted):
        yield wanted[place], figure


_held: list[Any] = []


def _hold(data: Data, directory: Path) -> None:
    """Keep in this process what figures are drawn from."""
    _held[:] = [data, directory]


def _drawn_of_held(own: Place) -> Shown:
    data, directory = _held
    return _drawn(data, own, directory)


def _drawn(data: Data, own: Place, directory: Path) -> Shown:
    of, name = own
    plot = plots(of)[name]
    return draw(plot.title, plot.draw, data[of], directory / name)


def clear(stem: Path) -> None:
    """Remove the files of a figure of an earlier report."""
    for suffix in (".svg", ".png"):
        stem.with_suffix(suffix).unlink(missing_ok=True)


def draw(title: str, figure: Callable[[Any], Drawing], data: Any, stem: Path) -> Shown:
    """Title, caption and SVG of a figure, or the reason why there is none.

    The figure is written to ``stem.png`` and ``stem.svg``, or those are removed.
    """
    name = stem.name
    clear(stem)
    try:
        with theme():
            drawing = figure(data)
            save(drawing.figure, stem)
    except NothingToDraw as reason:
        return {"name": name, "title": title, "missing": f"Not drawn: {reason}"}
    lead, rest = folded_caption(drawing.caption)
    svg = inline(stem.with_suffix(".svg").read_bytes(), name, drawing.alt)
    return {"name": name, "title": title, "lead": lead, "rest": rest, "svg": svg}


def folded_caption(caption: str) -> tuple[str, str]:
    """Sentences of a caption that fit in about three lines, the first at least, and the rest."""
    lead, *others = re.split(r"(?<=[.;:?]) +(?=[^a-z(])", caption.strip())
    while others and len(lead) + len(others[0]) < LEAD:
        lead += f" {others.pop(0)}"
    return lead, " ".join(others)
