"""When enough is known of an estimator: estimates are looked at a few times, more each time.

Every look tests at a level of its own, those before the last at a tiny one, so the chance that a
right estimator is accused at any of them is at most their sum (Bonferroni over looks, whatever
their dependence; O'Brien & Fleming 1979 spend in the same way). What is plain at a look ends the
test: a mistake that has a name, or estimates that are all those of a known estimator.
"""

from collections.abc import Sequence

import numpy as np

from pgbench.trials.ascending import Ascending, ascending
from pgbench.trials.equality import Equality
from pgbench.trials.mean_analysis import LOOKS, PLAIN
from pgbench.trials.verdict import Decision, Verdict

FIRST, SECOND = 128, 320
"""Estimates on each problem and size at the looks before the last.

From the second on a right estimator may be told: what happens once in a thousand estimates, on
whichever problem, has been seen by then with a chance of 99.7 %.
"""

CRISP = 0.05
"""A mistake has a name when the mean is no farther from that of a known one, as a share of it."""

FINE = 0.05
"""A right estimator is told when a bias along the gradient of this share would have been seen."""


def looks(replicates: int, all_at_once: bool) -> list[int]:
    """Numbers of estimates at every look, the last one all of them."""
    if all_at_once:
        return [replicates]
    found = [n for n in (FIRST, SECOND) if 2 * n <= replicates] + [replicates]
    assert len(found) <= LOOKS
    return found


def plain(verdict: Verdict, equalities: Sequence[Equality], replicates: int, seen: float) -> bool:
    """Whether nothing is to be learnt from more estimates.

    ``seen`` is the bias along the gradient that would have been seen on every problem.
    """
    if verdict.claims.target == "ascent":
        return replicates >= SECOND and ascending(verdict.results, PLAIN) is not Ascending.UNKNOWN
    same = any(one.complete for one in equalities)
    if verdict.decision in (Decision.BIASED, Decision.DIRECTION):
        named = verdict.others and min(one.resolution for one in verdict.others) <= CRISP
        sure = float(np.nanmin(verdict.reference.p)) < PLAIN
        return sure and bool(same or named or verdict.direction is not None)
    if verdict.decision is Decision.UNDECIDED or replicates < SECOND:
        return False
    return same or verdict.equal or seen <= FINE
