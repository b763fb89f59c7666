"""What was found of a user's estimator, in plain words."""

import math
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from pgbench.statistics import Estimate
from pgbench.trials.accounts import FINITE
from pgbench.trials.comparison import Compared
from pgbench.trials.examination import LARGER, Examination
from pgbench.trials.measured import LEVEL, SURE, Measured
from pgbench.trials.resemblance import Likeness, exact
from pgbench.trials.verdict import Outcome, Scaling, Verdict
from pgbench.trials.wording_directions import (
    causes,
    direction_words,
    match,
    pointing_lines,
    pointing_table,
    second_mistake,
)

WIDTH = 96

_KEY = (
    "N: trajectories per estimate; length: of the mean along the gradient, 1 where it is right; p:"
    " Holm-corrected; visible: a bias along the gradient that would be seen. Brackets and ± are"
    " 95 % intervals."
)


def print_examination(found: Examination) -> None:
    """Print everything that was found; the last line is the verdict."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=WIDTH + 4)

    def say(heading: str, lines: Iterator[str]) -> None:
        console.print(f"\n{heading}")
        for line in lines:
            console.print(_wrapped(line), soft_wrap=True)

    say("Is it biased?", _bias(found))
    console.print()
    console.print(_table(found.verdict))
    console.print(_wrapped(_KEY), soft_wrap=True)
    if (pointing := pointing_table(found.verdict)) is not None:
        say("Where does its mean point?", pointing_lines(found.verdict))
        console.print(pointing)
    if found.declared is not None:
        say("What does it declare?", iter(found.declared.lines))
    say("What does it resemble?", _resemblance(found))
    say("What are its variance and cost?", _cost(found))
    console.print()
    console.print(f"Verdict: {conclusion(found)}", soft_wrap=True)


def _wrapped(line: str) -> str:
    """The line indented and broken, but not between a number and its percent sign."""
    held = line.replace(" %", "\u00a0%")
    filled = textwrap.fill(held, WIDTH, initial_indent="  ", subsequent_indent="  ")
    return filled.replace("\u00a0%", " %")


def _bias(found: Examination) -> Iterator[str]:
    verdict = found.verdict
    if verdict.outcome is Outcome.UNBIASED:
        yield f"No bias was seen. Its mean is {_right(verdict)}."
    elif verdict.outcome is Outcome.UNDECIDED:
        yield "It could not be tested: its estimates hang on too few rare events."
    else:
        yield from _biased(verdict, bool(match(found.likenesses)))
    for tested in verdict.right:
        if verdict.reference.holds and not tested.holds:
            names = _names(verdict, tested.rejected)
            if names:
                yield f"Its mean is not {tested.account.words}; that is ruled out on {names}."
    if verdict.untested:
        yield f"Too heavy-tailed to be tested on: {', '.join(verdict.untested)}."
    for name, reason in found.refused.items():
        yield f"It refuses the problem '{name}': {reason}."
    yield _level(found)


def _right(verdict: Verdict) -> str:
    """The accounts that hold, as one says them."""
    held = [t.account.words for t in verdict.right if t.holds]
    if len(held) <= 1:
        return held[0] if held else verdict.reference.account.words
    return f"{held[0]}; {' and '.join(held[1:])} cannot be told from it here"


def _biased(verdict: Verdict, recognised: bool) -> Iterator[str]:
    worst = max(verdict.results, key=lambda m: _relative(verdict, m).value)
    size = _relative(verdict, worst)
    reference = verdict.reference.account
    yield (
        f"Yes. Its mean is not {reference.words}. The bias shows {verdict.where}. It is largest on"
        f" '{worst.estimates.case.name}' with N = {worst.estimates.batch_size}: {_percent(size)} of"
        " the gradient's norm."
    )
    if reference is FINITE:
        yield "Nor is its mean ∇J itself, with or without the score terms beyond step H."
    if verdict.scaling is not None:
        yield _scaling(verdict.scaling)
    for i, other in enumerate(verdict.others):
        begin = "On every problem its mean is" if i == 0 else "As well it may be"
        remark = f" ({other.account.remark})" if other.account.remark else ""
        yield f"{begin} {other.account.words}{remark}."
    yield from second_mistake(verdict)
    if not verdict.others and verdict.behind is None:
        none = "" if recognised else "Its mean is none of those that known mistakes have. "
        yield f"{none}{_shape(verdict)}"
    if "every problem" not in verdict.where:
        for case in verdict.biased_cases:
            yield f"'{case.name}': {case.reason}."


def _shape(verdict: Verdict) -> str:
    """Direction and length of the mean, next to what it should be."""
    cosines, lengths = [], []
    for result in verdict.results:
        target, mean = _target(verdict, result), result.mean
        norms = float(np.linalg.norm(target)) * float(np.linalg.norm(mean))
        cosines.append(float(mean @ target) / norms if norms else 0.0)
        lengths.append(result.factor(target).value)
    return (
        f"Its cosine with the gradient is {min(cosines):.2f} to {max(cosines):.2f}, its length"
        f" along the gradient {min(lengths):.2g} to {max(lengths):.2g} times what it should be."
    )


def _scaling(scaling: Scaling) -> str:
    share = scaling.pooled
    interval = f"{share.value:.2f} of it is left"
    if share.high - share.low > 1e-4:
        interval += f" (95 % interval {share.low:.2f} to {share.high:.2f})"
    if share.high - share.low > 0.5:
        what = "How it depends on the batch size is not clear"
    elif share.value < 0.16:
        what = "It falls faster than 1/N"
    elif share.value < 0.34:
        what = "It falls with the batch size like 1/N"
    elif share.value < 0.85:
        what = "It falls with the batch size, more slowly than 1/N"
    elif share.value < 1.15:
        what = "It does not fall with the batch size"
    else:
        what = "It grows with the batch size"
    return f"{what}: with {LARGER} times as many trajectories {interval}."


def _level(found: Examination) -> str:
    verdict = found.verdict
    tests = len(verdict.results)
    seen = [_detectable(m, verdict) for m in verdict.results]
    text = (
        f"{tests} tests from {found.replicates} estimates each, Holm-corrected: a right estimator"
        f" fails with a chance of at most {100 * LEVEL:g} %."
    )
    if verdict.outcome is not Outcome.UNBIASED or not np.isfinite(seen).any():
        return text
    worst = max(x for x in seen if np.isfinite(x))
    if worst == 0:
        return (
            f"{tests} comparisons, and none is left to chance: the estimates are combinations of"
            " known ones, or their mean follows from tables."
        )
    return (
        f"{text} A bias of {100 * worst:.2g} % along the gradient would have been seen on any"
        f" problem with a probability of {100 * SURE:g} %."
    )


def _detectable(result: Measured, verdict: Verdict) -> float:
    target = _target(verdict, result)
    return result.detectable(target, len(verdict.results))


def _target(verdict: Verdict, result: Measured) -> np.ndarray:
    case, n = result.estimates.case, result.estimates.batch_size
    target = verdict.reference.account.mean(case, n)
    return case.finite if target is None else target


def _relative(verdict: Verdict, result: Measured) -> Estimate:
    return result.relative_bias(_target(verdict, result))


def _percent(size: Estimate) -> str:
    """A share with its interval."""
    value = max(size.value, 0.0)
    if not size.high - size.low > 0 or not math.isfinite(size.high):
        return f"{_digits(100 * value)} %"
    return f"{_digits(100 * value)} % ({_digits(100 * size.low)} to {_digits(100 * size.high)})"


def _digits(x: float) -> str:
    if x < 1e-4:
        return "0"
    return f"{x:.0f}" if x >= 99.5 else f"{x:.2g}"


def _names(verdict: Verdict, chosen: np.ndarray) -> str:
    names = [m.estimates.case.name for m, yes in zip(verdict.results, chosen, strict=True) if yes]
    return ", ".join(dict.fromkeys(names))


def _table(verdict: Verdict) -> Table:
    """Problem by problem: bias with interval, factor along the gradient, p-value."""
    reference = verdict.reference.account.words.split(",")[0]
    table = Table(box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    columns = ("problem", "N", f"bias / ‖{reference.split(' less')[0]}‖", "length", "p", "visible")
    for column in columns:
        table.add_column(column, justify="left" if column == "problem" else "right")
    for result, p in zip(verdict.results, verdict.reference.p, strict=True):
        target = _target(verdict, result)
        factor = result.factor(target)
        seen = result.detectable(target, len(verdict.results))
        table.add_row(
            result.estimates.case.name,
            str(result.estimates.batch_size),
            _percent(result.relative_bias(target)),
            _factor(factor),
            _p_value(p, result),
            "exact" if result.known is not None else f"{_digits(100 * seen)} %",
            style="bold" if p < LEVEL else "",
        )
    return table


def _factor(factor: Estimate) -> str:
    if not factor.se > 0:
        return f"{factor.value:.4g}"
    return f"{factor.value:.3g} ± {1.96 * factor.se:.1g}"


def _p_value(p: float, result: Measured) -> str:
    if not math.isfinite(p):
        return "untested"
    if result.known is not None:
        return "equal" if p > LEVEL else "differs"
    return f"{p:.2g}" if p > 1e-4 else "< 1e-4"


def _resemblance(found: Examination) -> Iterator[str]:
    likes = found.likenesses
    matches = exact(likes)
    if not likes:
        yield "There is nothing to compare: all its estimates are zero, or no other estimator ran."
    elif matches and matches[0].same:
        names = " and ".join(like.words for like in matches[:3])
        yield f"It equals {names} to rounding, estimate by estimate{_on(matches[0])}."
    elif matches:
        for like in matches[:2]:
            yield f"It is {like.words}, estimate by estimate{_on(like)}."
    else:
        parts = [like for like in likes if len(like.equal) > 1][:1]
        for like in parts:
            yield f"It equals {like.words} on {', '.join(like.equal)}, and not elsewhere."
        less = " on all problems" if parts else ""
        yield f"It equals none of the known estimators and mistakes{less}. Closest are:"
        for like in likes[:3]:
            yield (
                f"- {like.words}: correlation {like.correlation:.3f}, distance"
                f" {like.distance:.2g} of its standard deviation"
            )
    if found.left:
        yield f"Not compared, for they take too long: {', '.join(found.left)}."


def _on(like: Likeness) -> str:
    return f", on all {like.compared} problems" if like.compared > 1 else ""


def _cost(found: Examination) -> Iterator[str]:
    ranking = found.ranking
    if math.isfinite(found.seconds):
        yield f"One estimate takes {_duration(found.seconds)} of your code, as a median."
    if not ranking:
        yield "Its variance is zero somewhere, so there is nothing to compare it with."
        return
    place = 1 + sum(other.work < 1 - 1e-9 for other in ranking)
    yield (
        f"By variance times environment steps it is number {place} of {len(ranking) + 1}, next to"
        f" {len(ranking)} unbiased estimators with oracles among them. In the geometric mean over"
        " the problems, from the least and to the most in brackets:"
    )
    for other in _shown(ranking):
        yield f"- {_ratio(other)} that of {other.name}"
    if found.verdict.outcome in (Outcome.BIASED, Outcome.DIRECTION):
        yield "A small variance is no merit of a biased estimator: zero has none."


def _shown(ranking: Sequence[Compared]) -> list[Compared]:
    """Those to be named: some that all know, the best, and the neighbours."""
    known = ("reinforce", "reward_to_go", "rloo", "baseline_value")
    near = sorted(ranking, key=lambda other: abs(math.log(other.variance)))[:1]
    chosen = {id(other) for other in [ranking[0], *near]}
    return [other for other in ranking if other.name in known or id(other) in chosen]


def _ratio(other: Compared) -> str:
    ratios = [1 / value for value in other.by_case.values()]
    mean = 1 / other.variance
    if max(ratios) - min(ratios) < 1e-6 * mean:
        return f"its variance is {mean:.3g} times"
    return f"its variance is {mean:.3g} times ({_digits(min(ratios))} to {_digits(max(ratios))})"


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{1e6 * seconds:.0f} µs"
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.2g} s"


def conclusion(found: Examination) -> str:
    """The last line."""
    verdict, what = found.verdict, found.own.words
    if found.declared is not None:
        if found.declared.undeclared:
            return f"{what} has a bias that it does not declare."
        declared = ", ".join(found.declared.causes) or "no bias"
        if found.declared.open:
            return f"{what} declares {declared}; what else may bias it is not known."
        return f"{what} is what it declares ({declared})."
    same = match(found.likenesses)
    if verdict.outcome is Outcome.UNDECIDED:
        known = f" It is {same}, estimate by estimate." if same else ""
        return f"{what} could not be judged; its estimates are too heavy-tailed.{known}"
    if verdict.outcome is Outcome.UNBIASED:
        mean = verdict.reference.account.words
        some = f" Not tested on: {', '.join(verdict.untested)}." if verdict.untested else ""
        known = f", which is {same} estimate by estimate," if same else ""
        return f"{what}{known} is unbiased for {mean}.{some}"
    why = f": its mean is {verdict.others[0].account.words}" if verdict.others else causes(verdict)
    if same:
        why += f"; it is {same}"
    if verdict.direction is not None:
        return f"{what} has {direction_words(verdict.direction)}, {verdict.where}{why}."
    return f"{what} is biased {verdict.where}{why}."
