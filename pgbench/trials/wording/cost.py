"""Its variance and cost next to unbiased estimators, if it is one."""

import math
from collections.abc import Iterator, Sequence

from pgbench.trials.comparison import Compared
from pgbench.trials.examination import Examination
from pgbench.trials.verdict import Decision
from pgbench.trials.wording.numbers import digits, seconds


def cost(found: Examination) -> Iterator[str]:
    """Sentences; a rank only for what is not known to be biased."""
    ranking = found.ranking
    if math.isfinite(found.seconds):
        yield f"One estimate takes {seconds(found.seconds)} of your code, as a median."
    if found.verdict.decision in (Decision.BIASED, Decision.DIRECTION):
        yield "A biased estimator has no rank by variance: zero has none."
        return
    if found.verdict.decision is Decision.UNDECIDED:
        yield "What could not be judged has no rank by variance."
        return
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


def _shown(ranking: Sequence[Compared]) -> list[Compared]:
    """The estimators to be named: some that all know, the best, and the neighbours."""
    known = ("reinforce", "reward_to_go", "rloo", "baseline_value")
    near = sorted(ranking, key=lambda other: abs(math.log(other.variance)))[:1]
    chosen = {id(other) for other in [ranking[0], *near]}
    return [other for other in ranking if other.name in known or id(other) in chosen]


def _ratio(other: Compared) -> str:
    ratios = [1 / value for value in other.by_case.values()]
    mean = 1 / other.variance
    if max(ratios) - min(ratios) < 1e-6 * mean:
        return f"its variance is {mean:.3g} times"
    return f"its variance is {mean:.3g} times ({digits(min(ratios))} to {digits(max(ratios))})"
