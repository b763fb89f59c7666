"""Tables of what a run found: of estimators, and of ascents."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pgbench.ascent.summary import RATES, median_steps
from pgbench.cli.terminal import console, number, titled
from pgbench.declared.outcomes import AscentOutcome, Status

STATISTICS = (
    "bias / ‖∇J‖",
    "exact",
    "p (Holm)",
    "variance / ‖∇J‖²",
    "exact",
    "cosine",
    "steps",
    "s",
)
"""Columns of the table of results, beside problem, policy and estimator."""


def print_results(
    summary: Any,
    *,
    problem: str | None,
    policy: str | None,
    estimator: str | None,
    batch_size: int | None,
) -> None:
    """Print a table of results at one batch size, for labels that contain the given words.

    Raises ValueError if the batch size is not in the run or nothing matches.
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
    out = console()
    title = f"batch size {batch_size}; intervals are 95 %"
    table = titled(title, "problem", "policy", "estimator")
    for column in STATISTICS:
        table.add_column(column, justify="right")
    # Not selected cell by cell: xarray takes milliseconds for each.
    arrays = {str(name): array.values for name, array in selected.data_vars.items()}
    problems, policies, labels = (
        [str(label) for label in selected[axis].values]
        for axis in ("problem", "policy", "estimator")
    )
    for p, problem_label in enumerate(problems):
        for q, e in np.ndindex(len(policies), len(labels)):
            table.add_row(problem_label, policies[q], labels[e], *_cell(arrays, (p, q, e)))
        table.add_section()
    out.print(table)
    for p, q in np.argwhere(arrays["gradient_note"] != ""):
        note = arrays["gradient_note"][p, q]
        setting = f"{problems[p]} × {policies[q]}"
        out.print(f"{setting}: nothing is relative to ‖∇J‖: {note}.", markup=False)


def _cell(arrays: Mapping[str, Any], place: tuple[int, int, int]) -> list[str]:
    if int(arrays["status"][place]) != Status.DONE:
        return [str(arrays["message"][place]) or "missing", *[""] * (len(STATISTICS) - 1)]

    def of(name: str, digits: int = 3) -> str:
        return number(float(arrays[name][place]), digits)

    low, high = of("relative_bias_low", 2), of("relative_bias_high", 2)
    return [
        of("relative_bias", 2) + ("" if low == "—" else f" [{low}, {high}]"),
        of("exact_relative_bias", 2),
        of("bias_test_p_holm", 2),
        f"{of('relative_variance')} ± {of('relative_variance_se', 2)}",
        of("exact_relative_variance"),
        of("cosine"),
        of("steps"),
        of("seconds", 2),
    ]


def print_ascents(
    ascent: Any, *, problem: str | None, policy: str | None, algorithm: str | None
) -> None:
    """Print a table of ascents for labels that contain the given words.

    Raises ValueError if nothing matches.
    """
    columns = ("problem", "policy", "algorithm", "step size")
    table = titled("ascents; intervals are 95 %", *columns)
    for column in ("J* - J at the end", "left of the start", "updates to 10 %", "to 1 %", "rate"):
        table.add_column(column, justify="right")
    table.add_column("collapsed", justify="right")
    table.add_column("diverged or unstable", justify="right")
    found = 0
    for p in _matching(ascent, "problem", problem):
        for q in _matching(ascent, "policy", policy):
            for a in _matching(ascent, "algorithm", algorithm):
                for z in ascent["step_size"].values:
                    run = ascent.sel(problem=p, policy=q, algorithm=a, step_size=z)
                    if int(run["ascent_status"]) != Status.MISSING:
                        table.add_row(str(p), str(q), str(a), str(z), *_climbed(run))
                        found += 1
        table.add_section()
    if not found:
        raise ValueError("no ascent of these problems, policies and algorithms is planned")
    console().print(table)


def _matching(data: Any, axis: str, word: str | None) -> list[str]:
    """Labels of an axis that contain a word; ValueError if none does."""
    labels = [str(label) for label in data[axis].values]
    found = [label for label in labels if word is None or word in label]
    if not found:
        raise ValueError(f"--{axis} {word}: no label contains this; there are {', '.join(labels)}")
    return found


def _climbed(run: Any) -> list[str]:
    if int(run["ascent_status"]) != Status.DONE:
        return [str(run["ascent_message"].values), *[""] * 6]

    gap = run["suboptimality_iqm"].values
    low, high = run["suboptimality_iqm_low"].values[-1], run["suboptimality_iqm_high"].values[-1]
    final = number(float(gap[-1])) + ("" if math.isnan(low) else f" [{low:.2g}, {high:.2g}]")
    left = float(gap[-1] / gap[0]) if gap[0] > 0 else math.nan
    reached = []
    for key in ("10", "1"):
        steps = run[f"steps_to_{key}"].values[run["outcome"].values != AscentOutcome.NO_RUN]
        n = sum(not math.isnan(x) for x in steps)
        median = median_steps(steps)
        shown = number(median, 6) if math.isfinite(median) else "—"
        reached.append(f"{shown} ({n}/{len(steps)})")
    kind = str(run["rate_kind"].values)
    rate = RATES.get(kind, kind)
    return [
        final,
        number(left, 2),
        *reached,
        rate.format(number(float(run["rate"]), 2)),
        number(float(run["collapsed_share"]), 2),
        number(float(run["diverged_share"] + run["unstable_share"]), 2),
    ]
