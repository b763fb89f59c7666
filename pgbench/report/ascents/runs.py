"""The runs of a report on ascents: which there are, what they are called, how they look."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from pgbench.ascent import step_sizes
from pgbench.declared.outcomes import Status
from pgbench.report.extent import holder
from pgbench.report.panels import Facets, NothingToDraw, chosen_facets
from pgbench.report.parameters import Values, values_along, word
from pgbench.report.style import HUES, LINES, MARKERS, SHADES, mixed, shortened

if TYPE_CHECKING:
    from xarray import Dataset

MOST_RUNS = 10
"""More lines than this could not be told apart."""


@dataclass(frozen=True)
class Run:
    """One algorithm at one step size.

    algorithm, step_size
        Places on the axes of the dataset.
    label
        What it is called, without what all runs share.
    colour, line, marker
        How it looks in every figure.
    """

    algorithm: int
    step_size: int
    label: str
    colour: str
    line: Any
    marker: str

    @property
    def place(self) -> tuple[int, int]:
        """Places on the axes algorithm and step_size."""
        return self.algorithm, self.step_size


def runs(ascent: "Dataset") -> list[Run]:
    """Every run that was done in some setting: a hue per algorithm, a shade and line per rule."""
    done = (ascent["ascent_status"].values == Status.DONE).any(axis=(0, 1))
    places = [(int(a), int(z)) for a, z in np.argwhere(done)]
    names = algorithm_labels(ascent)
    rules = rule_labels(ascent)
    several = len({z for _, z in places}) > 1
    found: list[Run] = []
    seen: dict[int, int] = {}
    for a, z in places:
        variant = seen[a] = seen.get(a, -1) + 1
        shade = SHADES[(variant + a // len(HUES)) % len(SHADES)]
        label = f"{names[a]}, {rules[z]}" if several else names[a]
        colour = mixed(HUES[a % len(HUES)], shade)
        marker = MARKERS[len(found) % len(MARKERS)]
        found.append(Run(a, z, label, colour, LINES[variant % len(LINES)], marker))
    return found


def rule_labels(ascent: "Dataset") -> list[str]:
    """Step sizes in few words: α = 0.1, KL 0.01, normalised 0.5."""
    rules = zip(ascent["rule"].values, values_along(ascent, "step_size"), strict=True)
    return [_rule_label(str(rule), values) for rule, values in rules]


def _rule_label(rule: str, values: Values) -> str:
    declared = step_sizes()[rule].parameters
    if rule == "constant":
        return f"α = {values['step']:.3g}"
    words = [
        word(x) if key in ("step", "radius") else f"{key}={word(x)}"
        for key, x in values.items()
        if declared[key].required or x != declared[key].default
    ]
    return " ".join(["KL" if rule == "kl" else rule, *words])


def algorithm_labels(ascent: "Dataset") -> list[str]:
    """Labels of algorithms without a batch size that is the same for all."""
    sizes = ascent["ascent_batch_size"].values
    follows = [str(f) for f in ascent["follows"].values]
    sampled = np.array([bool(f) and f != "exact" and not f.startswith("E ") for f in follows])
    shared = len(np.unique(sizes[sampled])) < 2
    labels = []
    for label, n, own in zip(ascent["algorithm"].values, sizes, sampled, strict=True):
        text = str(label).replace("critic_step=", "α_w=")
        labels.append(text.removesuffix(f", n={n}") if own and shared else text)
    return labels


def best(ascent: "Dataset", limit: int = MOST_RUNS) -> tuple[list[Run], str]:
    """The runs to draw, and a sentence on the others.

    Where there are too many, of every algorithm the step size that leaves the least of the gap on
    average over settings, and of those the best.
    """
    every = runs(ascent)
    if len(every) <= limit:
        return every, ""
    left = remaining(ascent)
    with np.errstate(invalid="ignore"):
        score = np.log10(np.clip(np.nan_to_num(left, nan=np.inf), 1e-12, 1e3)).mean(axis=(0, 1))
    chosen: dict[int, Run] = {}
    for run in every:
        known = chosen.get(run.algorithm)
        if known is None or score[run.place] < score[known.place]:
            chosen[run.algorithm] = run
    kept = sorted(chosen.values(), key=lambda run: score[run.place])[:limit]
    kept.sort(key=lambda run: run.place)
    note = f" Drawn are {len(kept)} of {len(every)} runs: the best step size of each algorithm"
    note += "." if len(kept) == len(chosen) else ", of the best algorithms."
    where = holder(ascent)
    return kept, f"{note} {where[0].upper()}{where[1:]} all."


def remaining(ascent: "Dataset") -> np.ndarray:
    """What is left at the end of the gap at the start, (problem, policy, algorithm, step size)."""
    gap = ascent["suboptimality_iqm"].values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(gap[..., 0] > 0, gap[..., -1] / gap[..., 0], np.nan))


def facets(ascent: "Dataset", finite: np.ndarray) -> Facets:
    """Which settings are drawn; NothingToDraw where none has what is to be shown."""
    try:
        return chosen_facets(ascent, finite)
    except NothingToDraw as error:
        reasons = {*map(str, ascent["ascent_message"].values.ravel())} - {""}
        why = f" ({min(reasons)})" if reasons else ""
        raise NothingToDraw(f"no ascent of the run has what it shows{why}.") from error


def handles(shown: Sequence[Run]) -> list[Line2D]:
    """Legend entries."""
    return [
        Line2D([], [], label=shortened(run.label, 80), **look(run, 0) | {"markevery": None})
        for run in shown
    ]


def look(run: Run, number: int) -> dict[str, Any]:
    """How the line of a run is drawn, the so-many-th: with a mark here and there."""
    return {
        "color": run.colour,
        "linestyle": run.line,
        "linewidth": 1.5,
        "marker": run.marker,
        "markersize": 4.5,
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
        "markevery": (0.03 + 0.023 * (number % 8), 0.2),
    }
