"""Whether it is biased, by how much and where, and at which resolution that was tested."""

from collections.abc import Iterator, Sequence

import numpy as np

from pgbench.trials import terminal_values
from pgbench.trials.examination import Examination
from pgbench.trials.findings import State
from pgbench.trials.hypotheses import FINITE
from pgbench.trials.mean_analysis import ACCUSED, LOOKS, SURE
from pgbench.trials.measured_mean import TINY, Basis, unseen
from pgbench.trials.scaling import LARGER, BiasLeft, Trend
from pgbench.trials.verdict import ZERO, Decision, Tested, Verdict, visible
from pgbench.trials.wording.directions import second_mistake
from pgbench.trials.wording.numbers import percent, percent_of

COARSE = 1e-3
"""What rounding may move by more than this of the gradient's norm is told."""


def bias(found: Examination, recognised: bool) -> Iterator[str]:
    """Sentences; ``recognised`` if it is something known."""
    verdict = found.verdict
    laboratory = verdict.results[0].estimates.case.laboratory
    if not laboratory.plain:
        yield f"Judged with {laboratory.words}; J is the objective's, and π the policy at θ."
    if verdict.same is not None:
        right = "what it claims" if verdict.claims.words else "right"
        yield f"It is {verdict.same.likeness.words} in every estimate, and that is {right}."
    elif verdict.decision is Decision.UNBIASED:
        yield f"No bias was seen. Its mean {_right(verdict)}."
    elif verdict.decision is Decision.UNDECIDED:
        yield f"It could not be judged: {undecided(verdict)}."
    else:
        yield from _biased(verdict, recognised)
    if verdict.decision is Decision.UNBIASED and verdict.same is None:
        for tested in verdict.right:
            if tested.rejected.any():
                names = _names(verdict, tested.rejected)
                yield f"Its mean is not {tested.hypothesis.words}; that is ruled out on {names}."
    judged = verdict.decision is not Decision.UNDECIDED and verdict.same is None
    if judged and (rare := _untested(verdict)):
        yield f"Nothing can be said on {rare}: its estimates hang on rare events."
    if judged and (lost := hidden(verdict)):
        yield f"Nothing can be said on {', '.join(lost)}: noise would hide even a mean of zero."
    for name, reason in found.refused.items():
        yield f"It refuses the problem '{name}': {reason}."
    if found.reads_ends:
        yield terminal_values.sentence(verdict.results[0].estimates.case)
    yield from _conditions(found)
    yield from _resolution(found)


def _conditions(found: Examination) -> Iterator[str]:
    """What else the answer rests on."""
    if found.skipped:
        names = dict.fromkeys(case for case, _ in found.skipped)
        by_case = {
            name: sum(k for (c, _), k in found.skipped.items() if c == name) for name in names
        }
        counts = ", ".join(f"{count} on {name}" for name, count in by_case.items())
        yield (
            f"{left_out(found)} ({counts}), and what is said is of the rest. That is a selection:"
            " whether an estimate is finite hangs on its batch, so the mean of the rest may differ"
            " from the mean of a right estimator, and what is left out has no mean at all."
        )
    if found.generators:
        yield (
            f"It draws from {' and '.join(found.generators)}, seeded before every call;"
            " batch.rng needs no seed."
        )
    sizes = [
        result.estimates.shift / float(np.linalg.norm(target))
        for result, target in zip(found.verdict.results, found.verdict.targets, strict=True)
    ]
    if max(sizes) > COARSE:
        yield (
            "Rounding in the format that it returns moves means: up to"
            f" {percent(max(sizes))} of the gradient's norm in a coordinate counts as none."
        )


def left_out(found: Examination) -> str:
    """``3 of 5400 estimates are not finite and left out``."""
    total = sum(result.estimates.replicates for result in found.verdict.results)
    count = sum(found.skipped.values())
    return f"{count} of {total} estimates {'is' if count == 1 else 'are'} not finite and left out"


def undecided(verdict: Verdict) -> str:
    """Why nothing is concluded, with the names of problems."""
    reasons = []
    if unknown := _unknown(verdict):
        every = {result.estimates.case.name for result in verdict.results}
        where = "" if len(unknown) == len(every) else f" on {', '.join(unknown)}"
        reasons.append(
            f"{verdict.reference.hypothesis.words} is not known exactly{where}, and it does not"
            " equal that in every estimate"
        )
    if rare := _untested(verdict):
        reasons.append(f"its estimates hang on too few rare events on {rare}")
    if verdict.tiny:
        names = ", ".join(verdict.tiny)
        reasons.append(f"its estimates are below {TINY:g} of the gradient's length on {names}")
    if verdict.fleeting:
        reasons.append("events so rare may be unseen elsewhere")
    if verdict.coarse:
        names = ", ".join(verdict.coarse)
        reasons.append(f"its noise would hide even a mean of zero on {names}")
    return "; ".join(reasons) or "nothing was tested"


def _untested(verdict: Verdict) -> str:
    """``cut short (N = 4), pairs``: the batch sizes where not all are meant."""
    words = []
    others = {*verdict.tiny, *_unknown(verdict)}
    for finding in (f for f in verdict.untested if f.case.name not in others):
        sizes = ", ".join(map(str, finding.untested))
        some = "" if finding.state is State.NOTHING else f" (with N = {sizes})"
        words.append(f"{finding.case.name}{some}")
    return ", ".join(words)


def _unknown(verdict: Verdict) -> list[str]:
    """Problems on which what it is held against has no mean that is known."""
    pairs = zip(verdict.results, verdict.reference.means, strict=True)
    return list(dict.fromkeys(m.estimates.case.name for m, mean in pairs if mean is None))


def _right(verdict: Verdict) -> str:
    """The hypotheses that hold, as one says them of a mean."""
    held = [t.hypothesis.words for t in verdict.right if t.holds] or [
        verdict.reference.hypothesis.words
    ]
    first = f"{_is(verdict)} {held[0]}"
    if len(held) == 1:
        return first
    return f"{first}; {' and '.join(held[1:])} cannot be told from it here"


def _is(verdict: Verdict) -> str:
    """``is`` of a mean that is known, else what samples can say."""
    if all(result.basis is Basis.TABLES for result in verdict.results):
        return "is"
    return "cannot be told from"


def told(tested: Tested) -> str:
    """``is zero``, or ``cannot be told from ∇J_H (to 3.1 % of its length)``."""
    resolution = tested.resolution
    if resolution == 0:
        known = all(result.basis is Basis.TABLES for result in tested.results)
        n = min(result.estimates.replicates for result in tested.results)
        return f"is {tested.hypothesis.words}{'' if known else f', as far as {n} estimates tell'}"
    return f"cannot be told from {tested.hypothesis.words} (to {percent(resolution)} of its length)"


def _biased(verdict: Verdict, recognised: bool) -> Iterator[str]:
    reference = verdict.reference.hypothesis
    yield f"Yes. Its mean is not {reference.words}. The bias shows {verdict.where}." + _worst(
        verdict
    )
    yield from _elsewhere(verdict)
    if reference is FINITE:
        yield "Nor is its mean ∇J itself, with or without the score terms beyond step H."
    yield from _trends(verdict.shares)
    for i, other in enumerate(verdict.others):
        begin = f"On {_spoken(other, verdict)} its mean" if i == 0 else "As well it"
        remark = f": {other.hypothesis.remark}" if other.hypothesis.remark else ""
        yield f"{begin} {told(other)}{remark}."
    yield from second_mistake(verdict)
    if not verdict.others and verdict.behind is None:
        none = "" if recognised else "Its mean is none of those that known mistakes have. "
        yield f"{none}{_shape(verdict)}"
    if "every problem" not in verdict.where:
        for case in verdict.biased_cases:
            yield f"'{case.name}': {case.reason}."


def _worst(verdict: Verdict) -> str:
    """Where the largest bias was seen, and its size."""
    rows = zip(verdict.results, verdict.targets, verdict.reference.rejected, strict=True)
    seen = [(m, m.relative_bias(target)) for m, target, off in rows if off]
    seen = [(m, size) for m, size in seen if np.isfinite(size.value)]
    if not seen:
        return ""
    worst, size = max(seen, key=lambda pair: pair[1].value)
    name, n = worst.estimates.case.name, worst.estimates.batch_size
    return f" It is largest on '{name}' with N = {n}: {percent_of(size)} of the gradient's norm."


def hidden(verdict: Verdict) -> list[str]:
    """Problems where no bias was seen, and none of the gradient's own length would have been."""
    seen = {case.name for case in verdict.biased_cases}
    return [name for name in verdict.coarse if name not in seen]


def _elsewhere(verdict: Verdict) -> Iterator[str]:
    """Where it was not seen, and what is excluded there."""
    open_ = [f for f in verdict.findings if f.state is State.EXCLUDED]
    said = [f for f in open_ if f.case.name not in verdict.coarse]
    if across := ", ".join(f.case.name for f in said if f.size >= ZERO):
        yield f"On {across} noise would hide a bias as long as the gradient, but for one along it."
    free = [f for f in said if not f.size >= ZERO]
    equal = {m.estimates.case.name for m in verdict.results if m.basis is Basis.EQUAL}
    none = ", ".join(f.case.name for f in free if f.size <= 1e-6 and f.case.name not in equal)
    same = ", ".join(f.case.name for f in free if f.size <= 1e-6 and f.case.name in equal)
    some = ", ".join(f"{percent(f.size)} on {f.case.name}" for f in free if not f.size <= 1e-6)
    listed = [f"a bias above {some}"] * bool(some) + [f"any on {none}"] * bool(none)
    sentence = [f"excluded is {' and '.join(listed)}"] * bool(listed)
    sentence += [f"no estimate had any on {same}"] * bool(same)
    if free:
        yield f"It was not seen elsewhere; {'; '.join(sentence)}."


def _trends(shares: Sequence[BiasLeft]) -> Iterator[str]:
    """How it depends on the batch size, problems of a kind together."""
    for trend in Trend:
        own = [share for share in shares if share.trend is trend]
        if not own:
            continue
        names = "It" if len(own) == len(shares) else f"On {', '.join(s.case for s in own)} it"
        yield f"{names} {trend.value}: with {LARGER} times as many trajectories {_left(own)}."


def _left(shares: Sequence[BiasLeft]) -> str:
    """What is left of the bias, from the least to the most, with intervals."""
    values = [share.left.value for share in shares]
    low, high = min(s.left.low for s in shares), max(s.left.high for s in shares)
    few = f"{min(values):.2f}"
    text = few if few == f"{max(values):.2f}" else f"{few} to {max(values):.2f}"
    if high - low > max(values) - min(values) + 1e-4:
        return (
            f"{text} of it is left (95 % interval{'s' * (len(shares) > 1)} {low:.2f} to {high:.2f})"
        )
    return f"{text} of it is left"


def _spoken(other: Tested, verdict: Verdict) -> str:
    """The problems that a hypothesis was tested on, in words."""
    names = _names(verdict, np.isfinite(other.p))
    every = {result.estimates.case.name for result in verdict.results}
    return "every problem" if len(names.split(", ")) == len(every) else names


def _shape(verdict: Verdict) -> str:
    """Direction and length of the mean, next to what it should be."""
    cosines, lengths = [], []
    for result, target in zip(verdict.results, verdict.targets, strict=True):
        if result.basis is Basis.NOTHING:
            continue
        norms = float(np.linalg.norm(target)) * float(np.linalg.norm(result.mean))
        cosines.append(float(result.mean @ target) / norms if norms else 0.0)
        lengths.append(result.factor(target).value)
    return (
        f"Its cosine with the gradient is {min(cosines):.2f} to {max(cosines):.2f}, its length"
        f" along the gradient {min(lengths):.2g} to {max(lengths):.2g} times what it should be."
    )


def _names(verdict: Verdict, chosen: np.ndarray) -> str:
    names = [m.estimates.case.name for m, yes in zip(verdict.results, chosen, strict=True) if yes]
    return ", ".join(dict.fromkeys(names))


def _resolution(found: Examination) -> Iterator[str]:
    """How many tests there were, what they would have seen, and what no sample sees."""
    verdict, chance = found.verdict, percent(unseen(found.replicates))
    kinds = [result.basis for result in verdict.results]
    tests = int(np.isfinite(verdict.reference.p).sum())
    if set(kinds) == {Basis.TABLES}:
        yield f"{tests} comparisons, and none is left to chance: its mean follows from tables."
        return
    if not tests:
        return
    if Basis.EQUAL in kinds:
        yield (
            f"Where the table says 'all {found.replicates}'{' or fewer' * bool(found.skipped)} each"
            " estimate was a combination of"
            " known ones, whose mean is known: it differs from that with a chance below"
            f" {chance} (95 %)."
        )
    yield (
        f"{tests} test{'s' * (tests > 1)} from {found.replicates} estimates each, Holm-corrected;"
        f" a right estimator fails with a chance of at most"
        f" {100 * ACCUSED:g} %, in up to {LOOKS} looks."
    )
    worst = visible(verdict)
    if verdict.decision is Decision.UNBIASED and worst > 0:
        yield (
            f"A bias of {percent(worst)} along the gradient would have been seen on any problem"
            f" that was tested, with a probability of {100 * SURE:g} %."
        )
