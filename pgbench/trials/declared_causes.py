"""A record's declared causes of bias against what is found."""

from collections.abc import Sequence

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import label
from pgbench.estimators import CAUSES, HORIZON, UNBIASED, TableEstimator
from pgbench.estimators.parts.estimator import declared_mean
from pgbench.statistics import holm
from pgbench.trials.candidate import RecordCandidate
from pgbench.trials.case import Case
from pgbench.trials.hypotheses import Hypothesis
from pgbench.trials.mean_analysis import LEVEL
from pgbench.trials.measured_mean import MeasuredMean
from pgbench.trials.verdict import Declared, tested

TOLERANCE = 1e-8
"""Exact means that differ by less, relative to the gradient, are the same."""


def declared(candidate: RecordCandidate, results: Sequence[MeasuredMean]) -> Declared:
    """The declaration, checked exactly where the means are known and by samples where not."""
    record, values = candidate.record, dict(candidate.values)
    causes = record.causes(**values)
    unknown = [cause for cause in causes if cause not in CAUSES]
    if unknown:
        known = ", ".join(CAUSES)
        line = f"It declares the cause {unknown[0]!r}, which there is not (known: {known})."
        return Declared(causes, [line], undeclared=True)
    words = "; ".join(CAUSES[cause].sentence for cause in causes) or UNBIASED
    named = label("it", record.parameters, values)
    given = f" Examined with {named[3:-1]}." if named != "it" else ""
    lines = [f"It declares: {words}.{given}"]
    samples, wrong = _samples(results)
    lines += samples
    left = [c for c in causes if c not in HORIZON and c != "batch" and c not in record.cures]
    if left:
        lines.append(f"It gives no cure of {left[0]!r}, so that what else biases it is not known.")
        return Declared(causes, lines, undeclared=wrong, open=True)
    if isinstance(record, TableEstimator) or record_has_means(candidate, results):
        more, off = _exactly(candidate, results, causes)
    elif set(causes) - HORIZON:
        lines.append("Its mean is not known exactly, so that the declared bias is not split.")
        return Declared(causes, lines, undeclared=wrong, open=True)
    else:
        more, off = _by_samples(candidate, results, causes)
    return Declared(causes, lines + more, undeclared=wrong or bool(off), untested=off is None)


def record_has_means(candidate: RecordCandidate, results: Sequence[MeasuredMean]) -> bool:
    """Whether a batch estimator gives exact means of its own."""
    moments = getattr(candidate.record, "moments", None)
    return moments is not None and all(r.estimates.exact is not None for r in results)


def _samples(results: Sequence[MeasuredMean]) -> tuple[list[str], bool]:
    """Whether samples have the exact mean that is claimed."""
    p = np.full(len(results), np.nan)
    for i, result in enumerate(results):
        mean = result.estimates.exact
        if mean is not None:
            p[i] = MeasuredMean(result.estimates, result.adjusted, None).p_value(mean)
    adjusted = holm(p)
    if not np.isfinite(p).any():
        return [], False
    bad = np.flatnonzero(adjusted < LEVEL)
    if bad.size:
        name = results[bad[0]].estimates.case.name
        return [
            f"Its samples do not have the mean that it claims, on '{name}'"
            f" ({_p(adjusted[bad[0]])})."
        ], True
    return [
        f"Its samples have the mean that it claims: {np.isfinite(p).sum()} tests, none rejects."
    ], False


def _p(p: float) -> str:
    return f"p = {p:.1g}" if p > 1e-12 else "p < 1e-12"


def _target(candidate: RecordCandidate, case: Case, causes: tuple[str, ...]) -> FloatArray:
    mean = declared_mean(case.truth, case.horizon, set(causes))
    return mean if candidate.record.target == "gradient" else case.truth.natural(mean)


def _exactly(
    candidate: RecordCandidate, results: Sequence[MeasuredMean], causes: tuple[str, ...]
) -> tuple[list[str], bool | None]:
    """Exact means with every declared cause removed, against what is then left to declare.

    Sentences, and whether a bias is left, None if no mean is known then.
    """
    values = dict(candidate.values)
    for cause in causes:
        values |= candidate.record.cures.get(cause, {})
    worst, place, seen, compared = 0.0, "", 0.0, 0
    for result in results:
        case, n = result.estimates.case, result.estimates.batch_size
        cured = candidate.exact(case, np.inf if "batch" in causes else n, values)
        target = _target(candidate, case, causes)
        own = result.estimates.exact
        if cured is None:
            continue
        compared += 1
        size = float(np.linalg.norm(target))
        gap = float(np.linalg.norm(cured - target)) / size
        if gap > worst:
            worst, place = gap, case.name
        if own is not None:
            seen = max(seen, float(np.linalg.norm(own - target)) / size)
    if not compared:
        return ["Its mean without the declared causes is not known."], None
    lines = []
    off = worst > TOLERANCE
    if off:
        less = "" if set(causes) <= HORIZON else " once the causes it declares are removed"
        lines.append(
            f"Its exact mean is not what it declares{less}: off by {worst:.3g} of the gradient's"
            f" norm on '{place}'. That bias is not declared."
        )
    else:
        lines.append("Its exact mean is what it declares, on every problem.")
    if set(causes) - HORIZON and seen <= TOLERANCE:
        lines.append("None of the declared bias shows on any problem with these parameters.")
    return lines, off


def _by_samples(
    candidate: RecordCandidate, results: Sequence[MeasuredMean], causes: tuple[str, ...]
) -> tuple[list[str], bool | None]:
    """Samples against what is declared; sentences, and whether a bias shows, None if untestable."""
    hypothesis = Hypothesis("what it declares", lambda case, n: _target(candidate, case, causes))
    outcome = tested(hypothesis, results)
    if outcome.rejected.any():
        i = int(np.nanargmin(outcome.p))
        name = results[i].estimates.case.name
        return [
            f"Its mean is not what it declares, on '{name}' ({_p(outcome.p[i])})."
            " That bias is not declared."
        ], True
    if 2 * np.isfinite(outcome.p).sum() <= len(results):
        return ["On most problems its mean could not be tested."], None
    return ["Its mean is what it declares, as far as the samples tell."], False
