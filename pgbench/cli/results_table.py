"""Tables of what a run found: of estimators, and of ascents."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from pgbench.ascent.summary import RATES, median_steps
from pgbench.cli.tables import (
    Column,
    Row,
    Table,
    number,
    p_value,
    rounded,
    with_error,
    with_interval,
)
from pgbench.declared.outcomes import AscentOutcome, Status

BIAS, VARIANCE = "relative_bias", "relative_variance"

STATISTICS = (
    Column("bias / ‖∇J‖", (BIAS, f"{BIAS}_low", f"{BIAS}_high"), 0, with_interval("relative_bias")),
    Column("exact bias", ("exact_relative_bias",), 4, rounded("exact_relative_bias")),
    Column("p (Holm)", ("bias_test_p_holm",), 2, p_value("bias_test_p_holm")),
    Column("variance / ‖∇J‖²", (VARIANCE, f"{VARIANCE}_se"), 1, with_error(VARIANCE)),
    Column("exact variance", ("exact_relative_variance",), 5),
    Column("cosine", ("cosine",), 7),
    Column("steps", ("steps",), 3),
    Column("s", ("seconds",), 6, rounded("seconds")),
)
"""Columns of the table of results; bias with its interval of 95 %, variance with its error."""


SHOWN = (
    *(name for column in STATISTICS for name in column.names),
    *("status", "message", "exact_note"),
)
"""Variables that a row of the table holds."""


def of_results(
    summary: Any,
    *,
    problem: str | None = None,
    policy: str | None = None,
    estimator: str | None = None,
    batch_size: int | None = None,
) -> tuple[Table, list[str]]:
    """What was measured at one batch size, by default the largest, and notes on the rest.

    Labels contain the given words. Raises ValueError if the batch size is not in the run or nothing
    matches.
    """
    known = [int(n) for n in summary["batch_size"].values]
    batch_size = known[-1] if batch_size is None else batch_size
    if batch_size not in known:
        raise ValueError(
            f"--batch-size is {batch_size}, must be one of {', '.join(map(str, known))}"
        )
    selected = summary.sel(
        batch_size=batch_size,
        problem=_matching(summary, "problem", problem),
        policy=_matching(summary, "policy", policy),
        estimator=_matching(summary, "estimator", estimator),
    )
    every = list(_rows(selected))
    title = f"batch size {batch_size}; intervals are 95 %"
    done = [row for row in every if row["status"] == Status.DONE]
    notes = [*_unmeasured(every), *_without_variance(done), *_without_gradient(selected)]
    more = tuple(name for axis in AXES_OF_ROWS for name in _beside(selected, axis))
    return Table(title, ("problem", "policy"), ("estimator",), STATISTICS, done, more), notes


AXES_OF_ROWS = ("problem", "policy", "estimator")
"""Axes along which a row is a place."""


def _beside(selected: Any, axis: str) -> list[str]:
    """Coordinates that say more of what stands along an axis: parameters, names, facts."""
    return [
        str(name) for name, own in selected.coords.items() if own.dims == (axis,) and name != axis
    ]


def _rows(selected: Any) -> Iterator[Row]:
    """A row per cell: its labels, what is known of those, and the variables that are shown."""
    axes = AXES_OF_ROWS
    # Not selected cell by cell: xarray takes milliseconds for each.
    arrays = {name: selected[name].values.astype(object) for name in SHOWN}
    labels = [[str(label) for label in selected[axis].values] for axis in axes]
    more = [{name: selected[name].values.tolist() for name in _beside(selected, a)} for a in axes]
    for place in np.ndindex(*(len(own) for own in labels)):
        named = (own[i] for own, i in zip(labels, place, strict=True))
        yield {
            **dict(zip(axes, named, strict=True)),
            **{
                name: own[i]
                for i, known in zip(place, more, strict=True)
                for name, own in known.items()
            },
            **{name: own[place] for name, own in arrays.items()},
        }


def _unmeasured(rows: list[Row]) -> Iterator[str]:
    """Cells without numbers, in a sentence for each reason."""
    settings = {(row["problem"], row["policy"]) for row in rows}
    reasons: dict[tuple[str, str], dict[str, set[tuple[str, str]]]] = {}
    for row in rows:
        if row["status"] != Status.DONE:
            own = reasons.setdefault((Status(row["status"]).word, row["message"]), {})
            own.setdefault(row["estimator"], set()).add((row["problem"], row["policy"]))
    for (word, message), estimators in reasons.items():
        alike: dict[frozenset[tuple[str, str]], list[str]] = {}
        for estimator, places in estimators.items():
            alike.setdefault(frozenset(places), []).append(estimator)
        for places_of, names in alike.items():
            where = "everywhere" if places_of == settings else _where(sorted(places_of))
            why = f": {message}" if message else ""
            yield f"{word} {where}: {', '.join(names)}{why}"


def _without_variance(rows: list[Row]) -> Iterator[str]:
    """Estimators whose exact variance is not known, in a sentence for each reason."""
    reasons: dict[str, dict[str, None]] = {}
    for row in rows:
        if row["exact_note"]:
            reasons.setdefault(row["exact_note"], {})[row["estimator"]] = None
    for reason, estimators in reasons.items():
        yield f"no exact variance: {', '.join(estimators)}: {reason}"


def _where(places: list[tuple[str, str]], most: int = 3) -> str:
    """Some settings in words."""
    words = ", ".join(" × ".join(place) for place in places[:most])
    return f"in {words}" + (f" and {len(places) - most} more" if len(places) > most else "")


def _without_gradient(selected: Any) -> Iterator[str]:
    problems, policies = (selected[axis].values for axis in ("problem", "policy"))
    notes = selected["gradient_note"].values
    for p, q in np.argwhere(notes != ""):
        setting = f"{problems[p]} × {policies[q]}"
        yield f"{setting}: nothing is relative to ‖∇J‖: {notes[p, q]}."


CLIMBED = (
    Column("J* - J at the end", ("gap", "gap_low", "gap_high"), 0, with_interval("gap", 3)),
    Column("left of the start", ("left",), 1, rounded("left")),
    Column("updates to 10 %", ("to_10", "reached_10"), 2, lambda row: _reached(row, "10")),
    Column("to 1 %", ("to_1", "reached_1"), 4, lambda row: _reached(row, "1")),
    Column("rate", ("rate",), 5, lambda row: row["rate_words"]),
    Column("collapsed", ("collapsed",), 6, rounded("collapsed")),
    Column("diverged", ("diverged",), 3, rounded("diverged")),
)
"""Columns of the table of ascents; diverged are runs that did or became unstable."""


def of_ascents(
    ascent: Any,
    *,
    problem: str | None = None,
    policy: str | None = None,
    algorithm: str | None = None,
) -> tuple[Table, list[str]]:
    """What became of ascents whose labels contain the given words, and notes on the others.

    Raises ValueError if nothing matches.
    """
    rows: list[Row] = []
    notes: list[str] = []
    found = 0
    for p in _matching(ascent, "problem", problem):
        for q in _matching(ascent, "policy", policy):
            for a in _matching(ascent, "algorithm", algorithm):
                for z in ascent["step_size"].values:
                    run = ascent.sel(problem=p, policy=q, algorithm=a, step_size=z)
                    status = Status(int(run["ascent_status"]))
                    found += status is not Status.MISSING
                    labels = {"problem": p, "policy": q, "algorithm": a, "step_size": str(z)}
                    if status is Status.DONE:
                        rows.append(labels | _climbed(run))
                    elif status is not Status.MISSING:
                        why = str(run["ascent_message"].values)
                        notes.append(f"{status.word}: {', '.join(labels.values())}: {why}")
    if not found:
        raise ValueError("no ascent of these problems, policies and algorithms is planned")
    title = "ascents; intervals are 95 %"
    setting, labels_of = ("problem", "policy"), ("algorithm", "step_size")
    return Table(title, setting, labels_of, CLIMBED, rows), notes


def _matching(data: Any, axis: str, word: str | None) -> list[str]:
    """Labels of an axis that contain a word; ValueError if none does."""
    labels = [str(label) for label in data[axis].values]
    found = [label for label in labels if word is None or word in label]
    if not found:
        raise ValueError(f"--{axis} {word}: no label contains this; there are {', '.join(labels)}")
    return found


def _climbed(run: Any) -> dict[str, Any]:
    """What became of a run."""
    gap = run["suboptimality_iqm"].values
    kind = str(run["rate_kind"].values)
    found: dict[str, Any] = {
        "gap": float(gap[-1]),
        **{f"gap_{e}": float(run[f"suboptimality_iqm_{e}"].values[-1]) for e in ("low", "high")},
        "left": float(gap[-1] / gap[0]) if gap[0] > 0 else math.nan,
        "rate": float(run["rate"]),
        "rate_words": RATES.get(kind, kind).format(number(float(run["rate"]), 2)),
        "collapsed": float(run["collapsed_share"]),
        "diverged": float(run["diverged_share"] + run["unstable_share"]),
        "runs": int((run["outcome"].values != AscentOutcome.NO_RUN).sum()),
    }
    for key in ("10", "1"):
        steps = run[f"steps_to_{key}"].values[run["outcome"].values != AscentOutcome.NO_RUN]
        found |= {
            f"to_{key}": float(median_steps(steps)),
            f"reached_{key}": int(np.isfinite(steps).sum()),
        }
    return found


def _reached(row: Row, key: str) -> str:
    """Median updates to a part of the gap, and how many of the runs came there."""
    median = row[f"to_{key}"]
    shown = number(median, 6) if math.isfinite(median) else "—"
    return f"{shown} ({row[f'reached_{key}']}/{row['runs']})"
