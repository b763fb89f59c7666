"""How often a verdict accuses a right function, and how often it finds a wrong one.

    python -m pgbench.trials.validity.verdicts --seeds 40

The functions are none of the suite's, and noisy: each is right or off by a known share, so that a
verdict hangs on its tests alone. Looks are as many as by default.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.statistics import clopper_pearson
from pgbench.trials.examination import examine_code
from pgbench.trials.known_records import known_records
from pgbench.trials.looks import FIRST, SECOND
from pgbench.trials.user_file import UserCode
from pgbench.trials.verdict import Decision

SHARES = (1.0, 1.1, 1.5)
"""What the right function is multiplied by: right, hard to see, and plainly wrong."""

SPARED = 4
"""Wrong functions are tried on one in so many seeds."""


def _to_go(batch: Any) -> FloatArray:
    """γ^t times the rewards to go, (N, T)."""
    discounts = batch.gamma ** np.arange(batch.horizon)
    return np.asarray((batch.rewards * discounts)[:, ::-1].cumsum(axis=1)[:, ::-1])


def random_baseline(batch: Any) -> FloatArray:
    """Reward-to-go less a normal number of every trajectory."""
    discounts = batch.gamma ** np.arange(batch.horizon)
    weights = _to_go(batch) - discounts * batch.rng.standard_normal((len(batch.mask), 1))
    return np.asarray(batch.pull_back(weights) / len(weights))


def dropout(batch: Any) -> FloatArray:
    """Reward-to-go with every step kept with a chance of a half, and doubled."""
    weights = _to_go(batch)
    kept = batch.rng.random(weights.shape) < 0.5
    return np.asarray(batch.pull_back(2 * weights * kept) / len(weights))


def skewed(batch: Any) -> FloatArray:
    """Reward-to-go of one trajectory of the batch, times N and an exponential number."""
    weights = _to_go(batch)
    factor = np.zeros((len(weights), 1))
    factor[batch.rng.integers(len(weights))] = batch.rng.exponential()
    return np.asarray(batch.pull_back(weights * factor))


FUNCTIONS = (random_baseline, dropout, skewed)


@dataclass(frozen=True)
class Tried:
    """A verdict on a function times a share: the decision, and the estimates it took."""

    name: str
    share: float
    decision: Decision
    replicates: int


def tried(seed: int) -> Iterator[Tried]:
    """Verdicts on every function times every share, on the trajectories of a seed.

    Wrong ones of one seed in four: they are found or not, but right ones must hardly ever be.
    """
    # What is known of other seeds is not needed again.
    known_records.cache_clear()
    for function in FUNCTIONS:
        for share in SHARES if seed % SPARED == 1 else SHARES[:1]:
            code = UserCode(Path(__file__), function.__name__, _times(function, share))
            found = examine_code(code, seed=seed, notices=StringIO())
            yield Tried(function.__name__, share, found.verdict.decision, found.replicates)


def _times(function: Callable[[Any], FloatArray], share: float) -> Callable[[Any], FloatArray]:
    return lambda batch: share * function(batch)


def table(every: list[Tried]) -> str:
    """Rows of a table in Markdown: how often each was accused, and at which look."""
    lines = [
        f"| function | times | verdicts | called biased | 95 % interval | undecided |"
        f" ended at {FIRST} | at {SECOND} |",
        "|---|--:|--:|--:|---|--:|--:|--:|",
    ]
    for share in SHARES:
        for name in (*(f.__name__ for f in FUNCTIONS), "all"):
            own = [t for t in every if t.share == share and name in (t.name, "all")]
            accused = sum(t.decision in (Decision.BIASED, Decision.DIRECTION) for t in own)
            low, high = clopper_pearson(accused, len(own))
            open_ = sum(t.decision is Decision.UNDECIDED for t in own)
            ends = [sum(t.replicates == n for t in own) for n in (FIRST, SECOND)]
            lines.append(
                f"| `{name}` | {share:g} | {len(own)} | {accused} | {100 * low:.2g} % to"
                f" {100 * high:.2g} % | {open_} | {ends[0]} | {ends[1]} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Try them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=40, help="default: 40")
    parser.add_argument("--first", type=int, default=1, help="the first of them; default: 1")
    options, every = parser.parse_args(), list[Tried]()
    for seed in range(options.first, options.first + options.seeds):
        every += tried(seed)
        print(f"seed {seed}", file=sys.stderr, flush=True)
    print(table(every))


if __name__ == "__main__":
    main()
