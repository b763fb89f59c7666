"""The table of results, problem by problem."""

import math

from rich import box
from rich.table import Table

from pgbench.trials.mean_analysis import LEVEL
from pgbench.trials.measured_mean import Basis, MeasuredMean
from pgbench.trials.verdict import Verdict
from pgbench.trials.wording.numbers import factor, percent, percent_of

KEY = (
    "N: trajectories per estimate; length: of the mean along the gradient, 1 where it is right; p:"
    " Holm-corrected; visible: a bias along the gradient that would be seen, 'exact' where the mean"
    " follows from tables, 'all' where it was the same in all so many estimates once known ones are"
    " taken off; '-': nothing can be said. Brackets and ± are 95 % intervals."
)


def table(verdict: Verdict) -> Table:
    """Problem by problem: bias with interval, factor along the gradient, p-value, resolution."""
    reference = verdict.reference.hypothesis.words.split(",")[0].split(" less")[0]
    made = Table(box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in ("problem", "N", f"bias / ‖{reference}‖", "length", "p", "visible"):
        made.add_column(column, justify="left" if column == "problem" else "right")
    rows = zip(
        verdict.results, verdict.targets, verdict.reference.p, verdict.detectable, strict=True
    )
    for result, target, p, visible in rows:
        made.add_row(
            result.estimates.case.name,
            str(result.estimates.batch_size),
            percent_of(result.relative_bias(target)),
            factor(result.factor(target)),
            _p_value(p, result),
            _visible(visible, result),
            style="bold" if p < LEVEL else "",
        )
    return made


def _p_value(p: float, result: MeasuredMean) -> str:
    if not math.isfinite(p):
        return "untested"
    if result.sharp:
        return "equal" if p > LEVEL else "differs"
    return f"{p:.2g}" if p > 1e-4 else "< 1e-4"


def _visible(visible: float, result: MeasuredMean) -> str:
    if result.basis is Basis.TABLES:
        return "exact"
    if result.basis is Basis.EQUAL:
        return f"all {len(result.adjusted)}"
    return percent(visible)
