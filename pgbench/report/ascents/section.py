"""The section of the page: figures, what they say in words, and tables."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pgbench.ascent.goal import UNKNOWN, UPPER
from pgbench.ascent.summary import RATES, median_steps
from pgbench.declared.ascents import CHECKS
from pgbench.declared.outcomes import LOST, AscentOutcome, Status
from pgbench.declared.variables import INTERVAL
from pgbench.grid.grid import EXACT
from pgbench.report.ascents.runs import algorithm_labels, rule_labels
from pgbench.report.extent import cut
from pgbench.report.style import problem_titles
from pgbench.report.tables import Columns, Sheet, number
from pgbench.results.ascents import violations

if TYPE_CHECKING:
    from xarray import Dataset


MOST_FAILED = 50
"""Most failed checks that are told one by one."""


def sentences(ascent: "Dataset") -> list[str]:
    """What the ascents say, in plain words."""
    return list(_sentences(ascent))


def _sentences(ascent: "Dataset") -> Iterator[str]:
    status = ascent["ascent_status"].values
    count = {code: int((status == code).sum()) for code in Status}
    outcome = ascent["outcome"].values
    replicates = int((outcome != AscentOutcome.NO_RUN).sum())
    others = (Status.FAILED, Status.SKIPPED)
    words = [f"{count[code]} {code.word}" for code in others if count[code]]
    yield (
        f"{count[Status.DONE]} ascents of {int(ascent['step'].values[-1])} updates were run,"
        f" {replicates} replicates in all{'; ' + ', '.join(words) if words else ''}."
    )
    lost = [(int((outcome == code).sum()), code.meaning) for code in LOST]
    if any(n for n, _ in lost):
        told = " and ".join(f"{n} {word}" for n, word in lost if n)
        yield f"Of the replicates {told}."
    yield from _on_the_boundary(ascent)
    found = violations(ascent)
    checked = sum(int(np.isfinite(ascent[f"violations_{check}"].values).sum()) for check in CHECKS)
    if found:
        yield f"Failed checks, {len(found)} of {checked}:"
        yield from found[:MOST_FAILED]
        if len(found) > MOST_FAILED:
            yield f"and {len(found) - MOST_FAILED} more; results.nc holds all."
    elif checked:
        yield (
            "What is proven was checked at every logged iterate where it is valid, in"
            f" {checked} checks of runs: none is violated."
        )
    kinds = {str(kind) for kind in ascent["goal_kind"].values.ravel()} - {""}
    if UPPER in kinds:
        yield (
            "Where the best policy of a class is not known suboptimality is measured from the"
            " optimum over all policies, which the class may never reach."
        )
    if UNKNOWN in kinds:
        yield "For some problems no optimum is known: there is no suboptimality, only the return."


def _on_the_boundary(ascent: "Dataset") -> Iterator[str]:
    """What runs follow that have come to the boundary of the simplex."""
    there = (ascent["unseen"] > 0).any("step")
    ran = ascent["outcome"] != AscentOutcome.NO_RUN
    exact = ascent["follows"] == EXACT
    for who, own, what in (
        (
            "follow an estimator",
            ~exact,
            "No rollout sees what actions of probability 0 would bring: there the mean of an"
            " estimate is what the other actions bring, less its mean over all actions, and not ∇J,"
            " whether it is sampled or followed itself.",
        ),
        (
            "follow ∇J",
            exact,
            "There it holds what actions of probability 0 would bring, and leads off the boundary"
            " where they are better.",
        ),
    ):
        came, all_of_them = int((there & own).sum()), int((ran & own).sum())
        if came:
            yield (
                f"Of {all_of_them} replicates that {who} {came} came to the boundary of the"
                f" simplex. {what}"
            )


def tables(ascent: "Dataset") -> Iterator[dict[str, Any]]:
    """A table per setting, a row per run."""
    titles = problem_titles(ascent)
    names, rules = algorithm_labels(ascent), rule_labels(ascent)
    for i, problem in enumerate(ascent["problem"].values):
        for j, policy in enumerate(ascent["policy"].values):
            own = ascent.isel(problem=i, policy=j)
            rows = [
                _row(own.isel(algorithm=a, step_size=z), names[a], rules[z])
                for a, z in np.argwhere(own["ascent_status"].values == Status.DONE)
            ]
            if rows:
                goal = float(own["goal"])
                facts = [("J*", number(goal, 5)), ("which is", str(own["goal_kind"].values))]
                title = f"{titles[str(problem)]} × {policy}"
                yield {"title": title, "facts": facts, "rows": rows}


RUN: Columns = (
    ("algorithm", ""),
    ("step size", "w"),
    ("J* - J", "n"),
    ("interval", "n"),
    ("left", "n"),
    ("to 10 %", "n"),
    ("to 1 %", "n"),
    ("to 0.1 %", "n"),
    ("s to 10 %", "n"),
    ("rate", "n"),
    ("collapsed", "n"),
    ("diverged or unstable", "n"),
    ("proven bound", ""),
)
"""Columns of the table of runs."""


def _row(run: "Dataset", name: str, rule: str) -> list[str]:
    """What became of a run, as in the columns."""
    gap = run["suboptimality_iqm"].values
    ends = [float(run[f"suboptimality_iqm_{end}"].values[-1]) for end in ("low", "high")]
    some = run["outcome"].values != AscentOutcome.NO_RUN
    reached = []
    for key in ("10", "1", "01"):
        steps = run[f"steps_to_{key}"].values[some]
        median = median_steps(steps)
        among = f" ({int(np.isfinite(steps).sum())}/{steps.size})" if steps.size > 1 else ""
        reached.append((number(median, 5) if np.isfinite(median) else "—") + among)
    kind = str(run["rate_kind"].values)
    rate = "—"
    if np.isfinite(float(run["rate"])):
        value, low, high = (number(float(run[f"rate{e}"]), 2) for e in INTERVAL)
        rate = f"{RATES[kind].format(value)} [{low}, {high}]"
    bad = [check for check in CHECKS if float(run[f"violations_{check}"]) > 0]
    violated = f" violated: {', '.join(CHECKS[check] for check in bad)}" if bad else ""
    return [
        name,
        rule,
        number(float(gap[-1]), 3),
        f"[{number(ends[0], 2)}, {number(ends[1], 2)}]" if np.isfinite(ends[0]) else "—",
        number(float(gap[-1] / gap[0]), 2) if gap[0] > 0 else "—",
        *reached,
        number(float(run["seconds_to_10"]), 2),
        rate,
        number(float(run["collapsed_share"]), 2),
        number(float(run["diverged_share"] + run["unstable_share"]), 2),
        str(run["bound_name"].values) + violated,
    ]


def unfinished(ascent: "Dataset") -> Sheet:
    """Ascents that failed or were skipped, alike ones together."""
    found: dict[tuple[str, str], list[str]] = {}
    status, message = ascent["ascent_status"].values, ascent["ascent_message"].values
    for p, q, a, z in np.argwhere(status > Status.DONE):
        word = Status(status[p, q, a, z]).word
        run = f"{ascent['policy'].values[q]}, {ascent['algorithm'].values[a]}"
        runs = found.setdefault((word, str(message[p, q, a, z])), [])
        if run not in runs:
            runs.append(run)
    rows = [
        [word, "; ".join(runs[:6]) + ("; …" if runs[6:] else ""), why]
        for (word, why), runs in found.items()
    ]
    columns = (("status", ""), ("runs", ""), ("why", ""))
    return Sheet(columns, *cut(rows, len(rows), "kinds of failed and skipped ascents"))
