"""Which known estimators one resembles, estimate by estimate on the same trajectories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.claims import Needs
from pgbench.functions import Batches
from pgbench.trials.candidate import Estimates
from pgbench.trials.case import Case
from pgbench.trials.hypotheses import FACTORS, Factor
from pgbench.trials.known_estimators import KnownEstimator
from pgbench.trials.normalisers import NORMALISERS, Normaliser

COMPARED = 128
"""Replicates that are compared."""

UNLIKE = 0.2
"""A smaller correlation on one case is that of an estimator which is not worth the others."""

LEAST = 6
"""So many are compared on all cases, whatever their correlation."""

Place = tuple[str, int]
"""Name of a case, and batch size."""


@dataclass(frozen=True, eq=False)
class Likeness:
    """An estimator next to a known one, on the cases where both say something.

    equal
        Names of the cases on which it is the same up to rounding.
    compared
        Number of cases compared.
    correlation, distance
        Means over the cases: correlation of the deviations from their means, and
        √(E‖ĝ - ĥ‖²/E‖ĥ - E ĥ‖²).
    factor
        Which multiple of the known one it is on every case, such as ``(1 - 1/N) times``, if any.
    normaliser
        What every estimate of the known one is divided by before that, if anything.
    """

    known: KnownEstimator
    equal: tuple[str, ...]
    compared: int
    correlation: float
    distance: float
    factor: Factor | None = None
    normaliser: Normaliser | None = None

    @property
    def same(self) -> bool:
        """Whether it is the same wherever it was compared."""
        return len(self.equal) == self.compared > 0

    @property
    def proportional(self) -> bool:
        """Whether every estimate is a multiple of the known one's, by a factor that has a name."""
        return self.factor is not None or self.normaliser is not None

    @property
    def words(self) -> str:
        """The known one with what makes it this one, as in "it is ..."."""
        words = self.known.name
        if self.known.mistake:
            words = f"the known mistake {words} ({self.known.mistake})"
        if self.factor is not None:
            words = f"{self.factor.words} {words}"
        if self.normaliser is None:
            return words
        return f"{words}, each estimate divided by {self.normaliser.words}"

    @property
    def needs(self) -> Needs | None:
        """What a function must claim for this to be right; None where no claim fits."""
        needs = self.known.needs
        if self.factor is not None:
            needs = self.factor.needed(needs)
        return needs if self.normaliser is None else self.normaliser.needed(needs)

    def differs(self, own: Estimates, made: FloatArray, seed: int) -> BoolArray:
        """Which estimates (R,) are not what this says, by estimates (R, d) of the known one.

        Not those of which it says nothing.
        """
        slack, says = 0.0, self.known.says(made)
        if self.normaliser is not None:
            made = self.normaliser.divided(made, batches_of(own, seed))
            slack = self.normaliser.slack
        if self.factor is not None:
            made = made * (self.factor.value(own.case, own.batch_size) or np.nan)
        gap = np.abs(own.gradients - made).max(axis=1)
        size = np.abs(own.gradients).max(axis=1)
        return np.asarray(says & ~(gap <= np.maximum(10 * own.rounding, slack * size)))


@dataclass(frozen=True, eq=False)
class _Pair:
    """Estimates (R, d) on a case, own and a known one's."""

    own: Estimates
    seed: int
    C: FloatArray

    @property
    def U(self) -> FloatArray:
        return self.own.gradients

    @property
    def place(self) -> Place:
        return self.own.case.name, self.own.batch_size

    @cached_property
    def batches(self) -> Batches:
        return batches_of(self.own, self.seed)

    @property
    def tolerance(self) -> float:
        return float(3 * self.own.rounding * np.sqrt(self.U.size))

    @property
    def equal(self) -> bool:
        return bool(np.linalg.norm(self.U - self.C) <= self.tolerance)

    def factor(self, normaliser: Normaliser | None) -> float | None:
        """c where every estimate is c times the known one's, divided; None where there is none."""
        C, tolerance = self.C, self.tolerance
        if normaliser is not None:
            C = normaliser.divided(C, self.batches)
            tolerance = max(tolerance, normaliser.slack * float(np.linalg.norm(self.U)))
        size = float(np.sum(C * C))
        c = float(np.sum(self.U * C)) / size if size else 0.0
        return c if np.linalg.norm(self.U - c * C) <= tolerance else None

    @property
    def correlation(self) -> float:
        u, v = self.U - self.U.mean(axis=0), self.C - self.C.mean(axis=0)
        size = float(np.linalg.norm(u) * np.linalg.norm(v))
        return float(np.sum(u * v)) / size if size > 0 else 0.0

    @property
    def distance(self) -> float:
        spread = float(np.linalg.norm(self.C - self.C.mean(axis=0)))
        return float(np.linalg.norm(self.U - self.C) / (spread or np.inf))


def likeness(
    known: KnownEstimator, every: Sequence[Estimates], seed: int, compared: int
) -> Likeness | None:
    """How an estimator resembles a known one; None where there is nothing to compare."""
    pairs = _pairs(known, every, seed, compared)
    if not pairs:
        return None
    equal = tuple(pair.own.case.name for pair in pairs if pair.equal)
    normaliser, factor = _multiple(pairs) if len(equal) < len(pairs) else (None, None)
    return Likeness(
        known=known,
        equal=equal,
        compared=len(pairs),
        correlation=float(np.mean([pair.correlation for pair in pairs])),
        distance=float(np.mean([pair.distance for pair in pairs])),
        factor=factor,
        normaliser=normaliser,
    )


def _pairs(
    known: KnownEstimator, every: Sequence[Estimates], seed: int, compared: int
) -> list[_Pair]:
    pairs = []
    for own in every:
        first = own.of_first(compared)
        made = known.beside(first, seed)
        if made is not None and np.any(made[0]) and np.any(first.gradients):
            says = known.says(made[0])
            own, C = (first, made[0]) if says.all() else (first.of(says), made[0][says])
            pairs.append(_Pair(own, seed, C))
    return pairs


def batches_of(own: Estimates, seed: int) -> Batches:
    """The trajectories that estimates are made of."""
    batches = _drawn(own.case, own.replicates, seed, own.batch_size)
    return batches if own.rows is None else batches.only(own.rows)


@lru_cache(maxsize=64)
def _drawn(case: Case, replicates: int, seed: int, batch_size: int) -> Batches:
    """The last ones are remembered."""
    return case.drawn(replicates, seed, batch_size)


def _multiple(pairs: Sequence[_Pair]) -> tuple[Normaliser | None, Factor | None]:
    """Divisor and multiple that make every estimate of the known one, if there are any.

    The multiple is left out where it is 1.
    """
    for normaliser in (None, *NORMALISERS):
        found = _factors(pairs, normaliser)
        if not found:
            continue
        slack = 1e-4 if normaliser is None else max(1e-4, normaliser.slack)
        if normaliser is not None and np.allclose([*found.values()], 1.0, rtol=slack, atol=0):
            return normaliser, None
        factor = _pattern([pair.own for pair in pairs], found, slack)
        if factor is not None:
            return normaliser, factor
    return None, None


def _factors(pairs: Sequence[_Pair], normaliser: Normaliser | None) -> dict[Place, float]:
    """The factor on every case and batch size; nothing where one of them has none."""
    found = {}
    for pair in pairs:
        c = pair.factor(normaliser)
        if c is None:
            return {}
        found[pair.place] = c
    return found


def _pattern(
    every: Sequence[Estimates], factors: Mapping[Place, float], slack: float
) -> Factor | None:
    """What the factors are, such as ``(1 - 1/N) times``; None where they have no pattern."""
    places = [(own.case, own.batch_size) for own in every]
    values = np.array([factors[case.name, n] for case, n in places])
    for factor in FACTORS:
        expected = np.array([factor.value(case, n) or np.nan for case, n in places])
        if np.allclose(values, expected, rtol=slack, atol=0):
            return factor
    c = float(values.mean())
    if np.allclose(values, c, rtol=slack, atol=0):
        return Factor(f"{c:.5g} times", lambda case, n: c, "", "any" if c > 0 else None)
    return None


def likenesses(
    every: Sequence[KnownEstimator], made: Sequence[Estimates], seed: int, compared: int
) -> list[Likeness]:
    """Known estimators next to one, the most alike by correlation of their deviations first.

    Most are told from it by the first case that says anything, and not tried on the others.
    """
    firsts: dict[KnownEstimator, float] = {}
    for known in every:
        pairs = (pair for own in made for pair in _pairs(known, [own], seed, compared))
        if (first := next(pairs, None)) is not None:
            firsts[known] = 1.0 if first.equal else abs(first.correlation)
    least = min(UNLIKE, *sorted(firsts.values())[-LEAST:], 1.0)
    found = [likeness(one, made, seed, compared) for one, x in firsts.items() if x >= least]
    return sorted((one for one in found if one is not None), key=lambda one: -abs(one.correlation))


def exact(every: Sequence[Likeness]) -> list[Likeness]:
    """Known estimators that it is estimate by estimate, the plainest first.

    What it equals comes before multiples, constant multiples before those by a factor of each
    batch. Mistakes are told only where no estimator is the same, for a mistake may lie in what is
    claimed: a baseline silently read as zero leaves a right estimator.
    """
    for rank in (
        lambda one: one.same,
        lambda one: one.factor is not None and one.normaliser is None,
        lambda one: one.normaliser is not None,
    ):
        found = [one for one in every if rank(one)]
        if found:
            return [one for one in found if not one.known.mistake] or found
    return []
