"""Whether an estimator equals a known one in every estimate that was made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pgbench.trials.candidate import Estimates
from pgbench.trials.known_estimators import KnownEstimator
from pgbench.trials.resemblance import Likeness

TRIED = 4
"""So many known estimators, the most alike, are held against every estimate."""

SECONDS = 10.0
"""A known estimator whose estimates take longer is not."""


@dataclass(frozen=True, eq=False)
class Equality:
    """An estimator held against a known one, estimate by estimate.

    replicates
        Estimates on a problem at a batch size, the least.
    even
        Whether they are as many on all.
    different
        In how many of them it differs by more than rounding, by name of the case and batch size.
    """

    known: KnownEstimator
    replicates: int
    even: bool
    different: Mapping[tuple[str, int], int]

    @property
    def complete(self) -> bool:
        """Whether it is the same in every estimate."""
        return bool(self.different) and not any(self.different.values())

    @property
    def problems(self) -> list[str]:
        """Names of the cases on which both say something."""
        return list(dict.fromkeys(name for name, _ in self.different))

    @property
    def nearly(self) -> bool:
        """Whether it is the same in most estimates of every problem, but not in all."""
        most = all(2 * count < self.replicates for count in self.different.values())
        return bool(self.different) and most and not self.complete


def equalities(
    likenesses: Sequence[Likeness], made: Sequence[Estimates], seed: int
) -> list[Equality]:
    """The known estimators that are equal on most problems, held against every estimate.

    Estimators before mistakes: a mistake may lie in what is claimed, and leave a right estimator.
    """
    total = sum(own.replicates for own in made)
    alike = [one for one in likenesses if one.equal and one.known.lap * total < SECONDS]
    alike.sort(key=lambda one: (-len(one.equal) / one.compared, bool(one.known.mistake)))
    return [_equality(one.known, made, seed) for one in alike[:TRIED]]


def _equality(known: KnownEstimator, made: Sequence[Estimates], seed: int) -> Equality:
    different, counts = {}, []
    for own in made:
        sample = known.beside(own, seed)
        if sample is not None:
            gap = np.abs(own.gradients - sample[0]).max(axis=1)
            count = int(np.sum(gap > 10 * own.rounding))
            different[own.case.name, own.batch_size] = count
            counts.append(len(own.gradients))
    return Equality(known, min(counts, default=0), len(set(counts)) < 2, different)
