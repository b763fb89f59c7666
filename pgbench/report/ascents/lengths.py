"""Figure of how long episodes become along the path: against updates, and at equal success."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from pgbench.ascent.summary import mean_of_replicates
from pgbench.report.ascents.paths import log_updates, updates
from pgbench.report.ascents.runs import best, facets, handles
from pgbench.report.panels import Drawing, add_legend
from pgbench.report.plots import Plot
from pgbench.report.style import LINES, policy_titles, problem_titles, wrapped

if TYPE_CHECKING:
    from xarray import Dataset

MOST_SETTINGS = 3
"""Most rows of panels."""


def lengths(ascent: "Dataset") -> Drawing:
    """Exact mean length of episodes along the path, and their chance of success."""
    length, success = (mean_of_replicates(ascent[n].values) for n in ("length", "success"))
    where = facets(ascent, np.isfinite(length) & np.isfinite(success))
    places, (drawn, note) = where.places[:MOST_SETTINGS], best(ascent)
    # Several may take one path: dashes let those below be seen.
    shown = [replace(run, line=LINES[i % len(LINES)]) for i, run in enumerate(drawn)]
    figure = Figure(figsize=(11.0, 2.9 * len(places) + 0.4), layout="constrained")
    rows = figure.subplots(len(places), 3, squeeze=False)
    titles = problem_titles(ascent)
    for (left, middle, right), place in zip(rows, places, strict=True):
        for i, run in enumerate(shown):
            own, p = length[(*place, *run.place)], success[(*place, *run.place)]
            look = {"color": run.colour, "linestyle": run.line}
            look["linewidth"] = 2.8 - 1.6 * i / len(shown)
            left.plot(updates(ascent), own, **look)
            middle.plot(updates(ascent), p, **look)
            right.plot(p, own, **look)
        for ax in left, middle:
            log_updates(ax, ascent)
        left.set_ylabel("mean length")
        middle.set_ylabel("chance of success")
        right.set(xlabel="chance of success", ylabel="mean length")
        policy = policy_titles(ascent)[place[1]]
        name = titles[str(ascent["problem"].values[place[0]])]
        left.set_title(wrapped(f"{name} × {policy}", 40), loc="left")
        right.set_title("at equal success", loc="left")
    add_legend(figure, handles(shown))
    more = len(where.places) - len(places)
    others = f" {more} more settings are in the dataset." if more else ""
    caption = (
        "How long responses are on average, and how often they are right, exact at every logged"
        " iterate, means over replicates. Right, one against the other, so that step sizes that"
        " differ in length alone fall on one line: what lies above it at the same success makes"
        f" responses longer than the gradient does, what lies below shorter.{others}{note}"
    )
    return Drawing(figure, caption, f"Mean length and success of {len(shown)} runs")


plot = Plot(
    "ascent_length", "How long responses become", lengths, order=0, of="ascents", explained=False
)
