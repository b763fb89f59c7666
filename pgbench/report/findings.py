"""What a run found, in a sentence or three with numbers: they open the page."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.ascent.summary import median_steps
from pgbench.declared.outcomes import LOST, AscentOutcome, Status
from pgbench.report.ascents.runs import remaining, runs
from pgbench.report.declared import Conformity
from pgbench.report.ranking import REFERENCE
from pgbench.report.tables import number, p_value
from pgbench.results.ascents import violations

if TYPE_CHECKING:
    from xarray import Dataset

SHARE = 0.5
"""A squared bias that is more than this part of the mean squared error matters."""

MOST = 3
"""Estimators that a sentence names."""


def findings(
    summary: "Dataset | None", ascent: "Dataset | None", found: Sequence[Conformity]
) -> list[str]:
    """What was found of the estimators; where there are none, of the ascents."""
    if summary is not None:
        return list(_of_estimators(summary, found))
    return [] if ascent is None else list(of_ascents(ascent))


def _of_estimators(summary: "Dataset", found: Sequence[Conformity]) -> Iterator[str]:
    done = summary["status"].values == Status.DONE
    if not done.any():
        yield "No cell was measured, so nothing was found."
    else:
        yield from _precision(summary, found)
        yield from _biases(summary)
    yield _state(summary, found)


def _precision(summary: "Dataset", found: Sequence[Conformity]) -> Iterator[str]:
    """Which estimator without a lasting bias buys most precision for its steps."""
    labels = [own.label for own in found]
    fair = [e for e, own in enumerate(found) if own.cells and not own.biased and not own.objection]
    work = summary["work_normalised_variance"].values[..., -1].reshape(-1, len(labels))
    known = [e for e in fair if (work[:, e] > 0).any()]
    if len(known) < 2:
        return
    against = labels.index(REFERENCE) if REFERENCE in labels else known[0]
    if against not in known:
        against = known[0]
    ratios = {e: _ratios(work[:, against], work[:, e]) for e in known}
    means = {e: float(np.exp(np.log(own).mean())) for e, own in ratios.items() if own.size}
    best = max(means, key=lambda e: means[e])
    among = f"the {len(known)} estimators that declare no lasting bias"
    n = int(summary["batch_size"].values[-1])
    if best == against:
        others = {e: mean for e, mean in means.items() if e != best}
        second = max(others, key=lambda e: others[e])
        yield (
            f"{labels[best]} buys most precision of {among}: at equal environment steps and batch"
            f" size {n} the variance of {labels[second]}, the next, is"
            f" {number(1 / others[second], 2)} times as large{_over(1 / ratios[second])}."
        )
        return
    yield (
        f"{labels[best]} buys most precision of {among}: at equal environment steps and batch size"
        f" {n} its variance is {number(means[best], 2)} times smaller than that of"
        f" {labels[against]}{_over(ratios[best])}."
    )


def _ratios(a: FloatArray, b: FloatArray) -> FloatArray:
    """a / b where both are positive numbers."""
    good = (a > 0) & (b > 0) & np.isfinite(a) & np.isfinite(b)
    return np.asarray(a[good] / b[good])


def _over(ratios: FloatArray) -> str:
    """Over how many settings ratios are averaged, and their range."""
    if ratios.size < 2:
        return ""
    ends = f"{number(ratios.min(), 2)} to {number(ratios.max(), 2)}"
    return f" (geometric mean of {ratios.size} settings, {ends})"


def _biases(summary: "Dataset") -> Iterator[str]:
    """Which biases are a large part of the error."""
    labels = [str(label) for label in summary["estimator"].values]
    exact = summary["exact_bias"].values[..., -1]
    # Where the exact bias is not known the measured one may be noise: its lower end counts.
    bias = np.where(np.isfinite(exact), exact, np.fmax(summary["bias_low"].values[..., -1], 0.0))
    variance = summary["variance"].values[..., -1]
    norm = summary["target_norm"].values[..., -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = bias**2 / (bias**2 + variance)
        relative = np.where(norm > 0, bias / norm, np.nan)
    n = int(summary["batch_size"].values[-1])
    large = [e for e in range(len(labels)) if (share[..., e] > SHARE).any()]
    large.sort(key=lambda e: -np.nanmax(relative[..., e], initial=-np.inf))
    others = [e for e in range(len(labels)) if e not in large]
    rest = relative[..., others]
    if large:
        named = ", ".join(f"{labels[e]} ({_most(relative[..., e])})" for e in large[:MOST])
        more = f" and {len(large) - MOST} more" if len(large) > MOST else ""
        sentence = (
            f"Bias is most of the squared error at batch size {n} for {len(large)} of"
            f" {len(labels)} estimators: {named}{more}"
        )
        tail = f"; for the others, whose noise is larger, it is {_most(rest)}"
        yield sentence + (f"{tail}." if _known(rest) else ".")
    elif _known(rest):
        yield (f"At batch size {n} noise outweighs every estimator's bias, which is {_most(rest)}.")


def _known(relative: FloatArray) -> bool:
    return bool(np.isfinite(relative).any())


def _most(relative: FloatArray) -> str:
    """The largest of relative biases in words."""
    finite = relative[np.isfinite(relative)]
    return f"at most {number(finite.max(), 2)} ‖∇J‖" if finite.size else "of unknown size"


def _state(summary: "Dataset", found: Sequence[Conformity]) -> str:
    """What failed and what contradicts a declaration, or that nothing does."""
    status = summary["status"].values
    counts = {code: int((status == code).sum()) for code in Status}
    planned = status.size
    wrong = [own for own in found if own.objection]
    lost = [
        f"{counts[code]} {code.word}"
        for code in (Status.FAILED, Status.SKIPPED, Status.MISSING)
        if counts[code]
    ]
    words = f"{counts[Status.DONE]} of {planned} cells were measured"
    words += f" ({', '.join(lost)})" if lost else ""
    reasons = [str(x) for x in summary["message"].values[status == Status.FAILED]]
    words += f"; the first that failed says: {reasons[0]}" if reasons else ""
    p = np.concatenate(
        [summary[f"{test}_test_p_holm"].values.ravel() for test in ("code", "variance")]
    )
    p = p[np.isfinite(p)]
    if wrong:
        named = "; ".join(f"{own.label}: {own.objection}" for own in wrong[:MOST])
        more = f" and {len(wrong) - MOST} more" if len(wrong) > MOST else ""
        return f"{words}, and {len(wrong)} estimators contradict what they declare: {named}{more}."
    if not p.size:
        return f"{words}; none has an exact mean or variance to be held against."
    judged = sum(own.answer == "yes" for own in found)
    return (
        f"{words}, and nothing contradicts theory: {judged} estimators behave as they declare, and"
        f" of {p.size} comparisons with exact means and variances the smallest p-value, after"
        f" Holm's correction, is {p_value(p.min())}."
    )


def of_ascents(ascent: "Dataset") -> Iterator[str]:
    """What was found of ascents."""
    yield from _fastest(ascent)
    yield from _losses(ascent)
    found = violations(ascent)
    if found:
        yield f"{len(found)} proven statements are violated: {found[0]}" + (
            f", and {len(found) - 1} more." if len(found) > 1 else "."
        )
    else:
        yield "No proven bound or monotonicity is violated at any logged iterate."


def _fastest(ascent: "Dataset") -> Iterator[str]:
    """Which run comes to a tenth of the gap most often, and soonest."""
    every = runs(ascent)
    steps = ascent["steps_to_10"].values
    there = ascent["outcome"].values != AscentOutcome.NO_RUN
    rows = []
    for run in every:
        own = (slice(None), slice(None), *run.place)
        medians = [
            median_steps(steps[own][place][there[own][place]])
            for place in np.ndindex(*there.shape[:2])
            if there[own][place].any()
        ]
        arrived = [median for median in medians if np.isfinite(median)]
        mean = float(np.exp(np.log(np.maximum(arrived, 1)).mean())) if arrived else np.inf
        rows.append((len(arrived), -mean, len(medians), run.label))
    if not rows:
        return
    n, mean, settings, label = max(rows)
    if not n:
        least = remaining(ascent)
        left = float(np.nanmin(least)) if np.isfinite(least).any() else np.nan
        yield (
            f"No run comes to a tenth of the initial gap in {int(ascent['step'].values[-1])}"
            f" updates; the best has {number(100 * left, 2)} % left."
        )
        return
    where = f" in {n} of {settings} settings" if settings > 1 else ""
    words = f"{label} comes to a tenth of the initial gap soonest{where}: after {number(-mean, 3)}"
    words += " updates" + (" (geometric mean of medians)" if n > 1 else "")
    if len(rows) > 1:
        arriving = sum(row[0] > 0 for row in rows)
        words += f"; {arriving} of {len(rows)} runs come there at all"
    yield f"{words}."


def _losses(ascent: "Dataset") -> Iterator[str]:
    """What became of replicates that were lost."""
    outcome = ascent["outcome"].values
    total = int((outcome != AscentOutcome.NO_RUN).sum())
    lost = [(int((outcome == code).sum()), code.meaning) for code in LOST]
    if any(n for n, _ in lost):
        told = " and ".join(f"{n} {word}" for n, word in lost if n)
        yield f"Of {total} replicates {told}."
    else:
        yield f"Of {total} replicates none collapsed or diverged."
