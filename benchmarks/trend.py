"""History of the benchmarks: a figure of their trends, and a table of the largest changes.

``python -m benchmarks.trend`` reads what ``asv run`` left in ``.asv/results`` and draws every
benchmark over the revisions, as ratios to its first result. It needs no network.
"""

import argparse
import json
import re
import sys
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np

UNITS = {"seconds": (1.0, "s"), "s": (1.0, "s"), "ns": (1e-9, "s"), "bytes": (1.0, "B")}
"""Factor and symbol of the units that asv knows."""

COLUMNS = 4
LISTED = 10
CLEAR = 1.25
"""A panel names the series that grew, or shrank, by more than this factor."""


class ResultsError(ValueError):
    """The results cannot be read; the message says where, and what is needed."""


@dataclass(frozen=True, eq=False)
class Series:
    """One benchmark with one choice of its parameters.

    benchmark, parameters
        Its name, and ``name=value`` pairs in one string.
    unit
        ``s``, ``B``, or the benchmark's own.
    value, low, high
        (revisions,) float64, the result and its quartiles, in ``unit``; NaN where there is none.
    """

    benchmark: str
    parameters: str
    unit: str
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def label(self):
        """Name and parameters in one string."""
        return f"{self.benchmark}[{self.parameters}]" if self.parameters else self.benchmark

    @property
    def places(self):
        """Of the revisions that have a result; there is at least one."""
        return np.flatnonzero(np.isfinite(self.value))

    @property
    def first(self):
        """The first value that there is."""
        return self.value[self.places[0]]

    @property
    def growth(self):
        """The last value over the first."""
        return self.value[self.places[-1]] / self.first


@dataclass(frozen=True)
class Change:
    """A series between two consecutive revisions, given by their places."""

    series: Series
    before: int
    after: int

    @property
    def ratio(self):
        """Value after over value before."""
        return self.series.value[self.after] / self.series.value[self.before]

    @property
    def clear(self):
        """Whether the quartiles lie apart; where there are none, whether anything changed."""
        low, high = self.series.low, self.series.high
        if np.isnan([low[self.after], low[self.before]]).any():
            return self.ratio != 1
        return max(low[self.after], low[self.before]) > min(high[self.after], high[self.before])


def read_results(folder, machine=None, environment=None):
    """Short hashes of the revisions by date of commit, and every series with a positive result.

    Parameters
    ----------
    folder
        asv's ``results_dir``.
    machine, environment
        Whose results; needed only where there are several.

    Returns
    -------
    revisions, series
        List of str, list of Series. Results of earlier versions of a benchmark are left out.

    Raises
    ------
    ResultsError
        Where there are none, or several machines or environments to choose from.
    """
    known = _load(folder / "benchmarks.json")
    machines = {path.parent.name: path.parent for path in folder.glob("*/machine.json")}
    place = machines[_only("machine", machines, machine, folder)]
    by_environment = {}
    for path in sorted(place.glob("*.json")):
        if path.name != "machine.json":
            found = _load(path)
            by_environment.setdefault(found["env_name"], []).append(found)
    runs = by_environment[_only("environment", by_environment, environment, place)]
    runs.sort(key=lambda run: run["date"])
    series = []
    for name, benchmark in sorted(known.items()):
        if name != "version":
            series += _series(name, benchmark, [_result(run, name, benchmark) for run in runs])
    return [run["commit_hash"][:7] for run in runs], series


def _load(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror or error}; `asv run` makes it") from error
    except ValueError as error:
        raise ResultsError(f"{path}: is not JSON: {error}") from error


def _only(word, found, chosen, place):
    """The chosen name, or the only one there is."""
    if chosen is None and len(found) == 1:
        return next(iter(found))
    if chosen in found:
        return chosen
    if not found:
        raise ResultsError(f"{place} holds results of no {word}; `asv run` makes them")
    wrong = "is missing" if chosen is None else f"is {chosen!r}"
    raise ResultsError(f"{place}: --{word} {wrong}, must be one of {', '.join(sorted(found))}")


def _result(run, name, benchmark):
    """Value, lower and upper quartile by parameters, as far as a run has them."""
    found = dict(zip(run["result_columns"], run["results"].get(name, []), strict=False))
    if found.get("version") != benchmark["version"] or found.get("result") is None:
        return {}
    keys = list(product(*found["params"]))
    columns = (found.get(c) or [None] * len(keys) for c in ("result", "stats_q_25", "stats_q_75"))
    return dict(zip(keys, zip(*columns, strict=True), strict=True))


def _series(name, benchmark, results):
    factor, unit = UNITS.get(benchmark["unit"], (1.0, benchmark["unit"]))
    missing = (None, None, None)
    for key in dict.fromkeys(key for result in results for key in result):
        table = np.array([result.get(key, missing) for result in results], np.float64) * factor
        table[~(table[:, 0] > 0)] = np.nan
        if np.isfinite(table).any():
            pairs = zip(benchmark["param_names"], key, strict=True)
            parameters = ", ".join(f"{n}={v.strip(chr(39))}" for n, v in pairs)
            yield Series(name, parameters, unit, *table.T)


def largest_changes(series):
    """The largest change of every series between consecutive results, largest first."""
    found = []
    for one in series:
        changes = [Change(one, int(i), int(j)) for i, j in pairwise(one.places)]
        found += sorted(changes, key=_size)[-1:]
    return sorted(found, key=_size, reverse=True)


def _size(change):
    return abs(np.log(change.ratio))


def print_changes(title, changes, revisions):
    """Print the largest of some changes."""
    print(f"{title}:")
    shown = [change for change in changes if change.clear][:LISTED]
    if not shown:
        print("    no change")
    for change in shown:
        series = change.series
        numbers = [_quantity(series.value[i], series.unit) for i in (change.before, change.after)]
        print(
            f"    {_factor(change.ratio):<9} {numbers[0]:>9} → {numbers[1]:<9}"
            f" {revisions[change.before]}..{revisions[change.after]}  {series.label}"
        )


def _factor(ratio):
    return f"×{ratio:.3g}" if abs(ratio - 1) > 0.005 else f"×(1{ratio - 1:+.0e})"


def _quantity(value, unit):
    from matplotlib.ticker import EngFormatter

    return EngFormatter(unit, places=1)(value) if unit in ("s", "B") else f"{value:.5g}"


def draw(revisions, series):
    """A figure with one panel per benchmark: its series as ratios to their first values.

    Bands are quartiles. Named are the series that grew and that shrank most in all.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(one.benchmark for one in series))
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(2.75 * COLUMNS, 1.6 * rows + 0.7), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, sharex=True, squeeze=False).ravel()
    for ax, name in zip(axes, names, strict=False):
        _draw_panel(ax, [one for one in series if one.benchmark == name])
        ax.set_title(_title(name), loc="left")
    for ax in axes[len(names) :]:  # nothing but the revisions, for the panels above
        ax.spines[:].set_visible(False)
        ax.grid(False)
        ax.yaxis.set_visible(False)
        ax.tick_params(length=0)
    step = -(-len(revisions) // 24)
    axes[0].set_xticks(range(0, len(revisions), step), revisions[::step])
    axes[0].set_xlim(-0.3, len(revisions) - 0.7)
    for ax in axes[-COLUMNS:]:
        ax.tick_params(axis="x", rotation=90)
    figure.supylabel("ratio to the first result", fontsize=8.5)
    return figure


def _title(benchmark):
    """``Run: warm no report`` for ``startup.Run.time_warm_no_report``."""
    *_, group, name = benchmark.split(".")
    name = name.partition("_")[2].replace("_", " ")
    return group if name == group.lower() else f"{group}: {name}"


def _draw_panel(ax, series):
    import seaborn as sns
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    from pgbench.report.style import GUIDE, HUES

    grown = max(series, key=lambda one: one.growth)
    shrunk = min(series, key=lambda one: one.growth)
    named = {grown: HUES[3]} if grown.growth > CLEAR else {}
    if shrunk.growth < 1 / CLEAR:
        named[shrunk] = HUES[0]
    for one in series:
        x, ratio, colour = one.places, one.value / one.first, named.get(one, "#8a8a8a")
        thick = {"lw": 1.3, "ms": 2.8, "zorder": 3} if one in named else {"lw": 0.7, "ms": 1.8}
        ax.fill_between(
            x, one.low[x] / one.first, one.high[x] / one.first, color=colour, alpha=0.15, lw=0
        )
        ax.plot(x, ratio[x], color=colour, marker="o", **thick)
    ax.axhline(1, color=GUIDE, lw=0.8, zorder=1)
    ax.set_yscale("log", base=2)
    low, high = ax.get_ylim()
    low, high = min(low, 0.45), max(high, 2.2)
    ax.set_ylim(low, high * (high / low) ** (0.16 * len(named)))
    for place, (one, colour) in enumerate(named.items()):
        values = ", ".join(re.findall(r"=([^,]*)", one.parameters))
        chosen = one.parameters if len(one.parameters) < 32 else values
        ax.annotate(
            f"×{one.growth:.2g}  {chosen}",
            (0.03, 0.97 - 0.12 * place),
            xycoords="axes fraction",
            va="top",
            color=colour,
            fontsize=7,
            in_layout=False,
        )
    ax.yaxis.set_major_locator(LogLocator(base=2, numticks=6))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}" if y >= 1 else f"1/{1 / y:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    sns.despine(ax=ax)


def main(arguments=None):
    """Draw and print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trend", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path(".asv/results"))
    parser.add_argument("--output", type=Path, default=Path("reports/trend.png"))
    parser.add_argument("--machine", help="needed if there are results of several")
    parser.add_argument("--environment", help="needed if there are results in several")
    parser.add_argument("--bench", default="", help="only benchmarks that match this expression")
    options = parser.parse_args(arguments)
    try:
        revisions, series = read_results(options.results, options.machine, options.environment)
        series = [one for one in series if re.search(options.bench, one.label)]
        if not series:
            raise ResultsError(
                f"{options.results}: no result of a benchmark like {options.bench!r}"
            )
    except ResultsError as error:
        print(error, file=sys.stderr)
        return 2
    series = [one for one in series if one.places.size > 1]
    if not series:
        print(f"{options.results}: one revision has results, a trend needs two", file=sys.stderr)
        return 2
    changes = largest_changes(series)
    by_clock = [change for change in changes if change.series.unit == "s"]
    others = [change for change in changes if change.series.unit != "s"]
    print_changes("largest changes of times", by_clock, revisions)
    print_changes("largest changes of memory and statistical work", others, revisions)

    from pgbench.report.style import theme

    options.output.parent.mkdir(parents=True, exist_ok=True)
    with theme():
        draw(revisions, series).savefig(options.output)
    print(f"{options.output}: {len(series)} series over {len(revisions)} revisions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
