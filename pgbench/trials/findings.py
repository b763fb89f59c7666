"""Problem by problem: a bias was seen, is excluded down to a size, or nothing can be said."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.trials.case import Case
from pgbench.trials.measured_mean import MeasuredMean


class State(Enum):
    """What can be said of a bias on a problem."""

    SEEN = "seen"
    EXCLUDED = "excluded above a size"
    NOTHING = "nothing can be said"


@dataclass(frozen=True, eq=False)
class Finding:
    """What can be said of a bias on one problem, over all batch sizes tested there.

    case, state
        The problem, and what can be said.
    size
        Relative to the gradient's norm. Seen: the largest that was seen, as estimated. Excluded:
        the upper end of its 95 % interval, the largest over the batch sizes. Else NaN.
    untested
        Batch sizes at which nothing can be said.
    """

    case: Case
    state: State
    size: float
    untested: tuple[int, ...] = ()


def findings(
    results: Sequence[MeasuredMean], p: FloatArray, targets: Sequence[FloatArray], level: float
) -> list[Finding]:
    """What can be said on every problem of a bias against targets (d,) with adjusted p-values."""
    rows: dict[str, list[int]] = {}
    for i, result in enumerate(results):
        rows.setdefault(result.estimates.case.name, []).append(i)
    found = []
    for own in rows.values():
        case = results[own[0]].estimates.case
        untested = tuple(results[i].estimates.batch_size for i in own if not np.isfinite(p[i]))
        biases = {i: results[i].relative_bias(targets[i]) for i in own if np.isfinite(p[i])}
        seen = [biases[i].value for i in biases if p[i] < level]
        if seen:
            largest = max((x for x in seen if np.isfinite(x)), default=np.nan)
            finding = Finding(case, State.SEEN, largest, untested)
        elif biases:
            highest = max(bias.high for bias in biases.values())
            finding = Finding(case, State.EXCLUDED, highest, untested)
        else:
            finding = Finding(case, State.NOTHING, np.nan, untested)
        found.append(finding)
    return found


def smallest(found: Sequence[Finding]) -> float:
    """The smallest bias that was seen on a problem, relative to the gradient's norm."""
    sizes = [f.size for f in found if f.state is State.SEEN and np.isfinite(f.size)]
    return min(sizes, default=np.nan)


def decided(found: Sequence[Finding]) -> tuple[list[Case], list[Case], list[Case]]:
    """Problems where a bias was seen, where one of that size is excluded, and the open ones."""
    size = smallest(found)
    seen = [f.case for f in found if f.state is State.SEEN]
    free = [f.case for f in found if f.state is State.EXCLUDED and f.size < size and not f.untested]
    decided = {case.name for case in (*seen, *free)}
    return seen, free, [f.case for f in found if f.case.name not in decided]
