"""Variance and work of an estimator next to those the suite knows, on the same trajectories."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pgbench.trials.candidate import Estimates
from pgbench.trials.known_estimators import KnownEstimator


@dataclass(frozen=True)
class Compared:
    """A known estimator's spread relative to the examined one's.

    variance, work
        Geometric means over the cases of variance, and of variance times environment steps, each
        in units of the examined estimator's.
    by_case
        The former by name of the case.
    """

    name: str
    variance: float
    work: float
    by_case: dict[str, float]


def compared(
    every: Sequence[KnownEstimator], own: Sequence[Estimates], seed: int, replicates: int
) -> list[Compared]:
    """Every unbiased estimator of ∇J that says something on all cases, the least work first.

    Unbiased up to the horizon, that is: the length of a biased estimate means nothing.
    """
    found = []
    for one in every:
        if not one.unbiased:
            continue
        ratios = {}
        works = []
        for estimates in own:
            first = estimates.of_first(replicates)
            made = one.beside(first, seed)
            spread = float(first.gradients.var(axis=0).sum())
            if made is None or spread == 0:
                break
            variance = float(made[0].var(axis=0).sum())
            ratios[estimates.case.name] = variance / spread
            steps = float(made[1].mean()) / float(first.steps.mean())
            works.append(variance / spread * steps)
        # What has no variance somewhere has no ratio there.
        if len(works) == len(own) and min(works) > 1e-12:
            mean, work = (float(np.exp(np.log(x).mean())) for x in ([*ratios.values()], works))
            found.append(Compared(one.name, mean, work, ratios))
    return sorted(found, key=lambda c: c.work)
