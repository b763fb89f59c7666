"""Whether an estimator is a known one, or a multiple of it, in every estimate that was made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pgbench.trials.candidate import Estimates
from pgbench.trials.known_estimators import KnownEstimator
from pgbench.trials.resemblance import Likeness

TRIED = 4
"""So many known estimators, the most alike, are held against every estimate, and as many multiples.
"""


@dataclass(frozen=True, eq=False)
class Equality:
    """An estimator held against a known one, or a multiple of it, estimate by estimate.

    likeness
        What it is held against, as far as the first estimates tell.
    replicates
        Estimates on a problem at a batch size, the least.
    even
        Whether they are as many on all.
    different
        In how many of them it differs by more than rounding, by name of the case and batch size.
    everywhere
        Whether the known one says something wherever the estimator does.
    """

    likeness: Likeness
    replicates: int
    even: bool
    different: Mapping[tuple[str, int], int]
    everywhere: bool = True

    @property
    def known(self) -> KnownEstimator:
        """The known estimator."""
        return self.likeness.known

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

    Then multiples. Estimators before mistakes: a mistake may lie in what is claimed, and leave a
    right estimator.
    """
    alike = [one for one in likenesses if one.equal and not one.proportional]
    alike.sort(key=lambda one: (-len(one.equal) / one.compared, bool(one.known.mistake)))
    multiples = [one for one in likenesses if one.proportional]
    multiples.sort(key=lambda one: (bool(one.known.mistake), one.normaliser is not None))
    return [_equality(one, made, seed) for one in (*alike[:TRIED], *multiples[:TRIED])]


def _equality(likeness: Likeness, made: Sequence[Estimates], seed: int) -> Equality:
    different, counts = {}, []
    for own in made:
        sample = likeness.known.beside(own, seed)
        if sample is not None:
            count = int(likeness.differs(own, sample[0], seed).sum())
            different[own.case.name, own.batch_size] = count
            counts.append(len(own.gradients))
    least, even = min(counts, default=0), len(set(counts)) < 2
    return Equality(likeness, least, even, different, len(counts) == len(made))
