"""On which problems a mistake biases the mean, and by how much.

Where all batches of a problem can be listed the mean is exact, as it is of whatever has tables.
Elsewhere it is measured: what is wrong and what is right see the same trajectories, and the exact
mean of the right one is added to the mean of their differences.

A mean is right if one hypothesis fits it on all problems: its own, ∇J_H, ∇J, or ∇J less the score
terms beyond step H. If none does, its bias is the distance to its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import label
from pgbench.estimators import TableEstimator, find_estimator
from pgbench.functions import UserBatch, drawn, enumerated
from pgbench.policies import NotApplicable
from pgbench.rollout.enumeration import Enumerator, count_batches
from pgbench.trials.battery import FiniteCase, cases
from pgbench.trials.case import GENERAL
from pgbench.trials.power import known
from pgbench.trials.sampled import claimed, sampled
from pgbench.trials.zoo import Bug, bugs
from pgbench.trials.zoo.slips import Slip, Written, written

LARGE = 0.05
"""A bias of so much of the norm of what is estimated should be found."""

LISTED = 1e5
"""So many batches of a problem are listed at most."""

REPLICATES = 4000
"""So many batches are drawn where they cannot be listed."""


class FoundMean(NamedTuple):
    """A mean (d,), and the square of its standard error along all directions together."""

    value: FloatArray
    squared_error: float = 0.0


class Bias(NamedTuple):
    """A bias over the norm of what is estimated, and its standard error; 0 where it is exact."""

    value: float
    error: float = 0.0

    @property
    def is_large(self) -> bool:
        """Whether it is, beyond doubt."""
        return self.value - 3 * self.error > LARGE


@dataclass(frozen=True)
class Mistake:
    """Something wrong, and what it should be.

    Attributes
    ----------
    name
        Of the estimator or bug.
    words
        What is wrong.
    claims, given
        Name and parameters of the right estimator.
    mean
        ``mean(case)``, or None where it makes no sense.
    harmless
        Why the mean is right all the same, or empty.
    change
        The text as it should be and as it is, of a slip.
    battery
        Name of the battery on which it is tried.
    """

    name: str
    words: str
    claims: str
    given: Mapping[str, Any]
    mean: Callable[[FiniteCase], FoundMean | None]
    harmless: str = ""
    change: tuple[str, str] | None = None
    battery: str = GENERAL

    @property
    def claimed(self) -> str:
        """Label of the right estimator, such as ``gae[lam=0.95]``."""
        estimator = find_estimator(self.claims)
        return label(self.claims, estimator.parameters, estimator.bound(**self.given))

    def right(self, case: FiniteCase) -> FloatArray | None:
        """The mean it should have (d,), or None where that is not known."""
        return known(case, self.claims, tuple(self.given.items())).mean

    def biases(self, places: Sequence[FiniteCase] | None = None) -> dict[str, Bias | None]:
        """Biases by name of the case; None where it makes no sense or what is right is not known.

        Against the first hypothesis of a right mean that fits everywhere, or its own if none does.
        """
        places = cases(self.battery) if places is None else places
        rows = {case.name: self._against_all(case) for case in places}
        hypotheses = list(zip(*(row for row in rows.values() if row is not None), strict=True))
        fitting = [i for i, column in enumerate(hypotheses) if not any(b.is_large for b in column)]
        chosen = fitting[0] if fitting else 0
        return {name: None if row is None else row[chosen] for name, row in rows.items()}

    def _against_all(self, case: FiniteCase) -> list[Bias] | None:
        """Biases against every hypothesis of a right mean."""
        right = self.right(case)
        mean = None if right is None else self.mean(case)
        if right is None or mean is None:
            return None
        return [
            _bias(mean, hypothesis)
            for hypothesis in (right, case.finite, case.truth.gradient, case.without_tail)
        ]


def _bias(mean: FoundMean, right: FloatArray) -> Bias:
    """The length of a bias, less what noise adds to it."""
    size = float(np.linalg.norm(right))
    squared = float(np.sum((mean.value - right) ** 2)) - mean.squared_error
    return Bias(float(np.sqrt(max(squared, 0.0))) / size, float(np.sqrt(mean.squared_error)) / size)


def shows_on(biases: Mapping[str, Bias | None], exact: bool = False) -> list[str]:
    """Problems where a bias is large; on request, only where it is exact too."""
    return [name for name, b in biases.items() if b and b.is_large and not (exact and b.error)]


def is_listed(case: FiniteCase) -> bool:
    """Whether all batches of a case can be listed."""
    process, n, G = case.truth.process, case.batch_size, case.group_size
    return count_batches(process, case.horizon, n, G or 1) <= LISTED


def of_battery(every: Sequence[Mistake], battery: str) -> list[Mistake]:
    """Those that are tried on a battery."""
    return [mistake for mistake in every if mistake.battery == battery]


def slips() -> list[Mistake]:
    """Every slip of every estimator as users write it."""
    return [
        Mistake(
            name=one.name,
            words=slip.mistake,
            claims=one.claims,
            given=one.given,
            mean=partial(_of_slip, one, slip),
            harmless=one.harmless.get(slip.mistake, ""),
            change=(slip.old, slip.new),
            battery=one.battery,
        )
        for one in written().values()
        for slip in one.slips
    ]


def of_zoo() -> list[Mistake]:
    """Every bug of the zoo."""
    return [
        Mistake(
            name=bug.name,
            words=bug.mistake,
            claims=bug.claims,
            given=bug.given,
            mean=partial(_of_bug, bug),
            harmless=bug.harmless,
            battery=bug.battery,
        )
        for bug in bugs().values()
    ]


def _of_slip(one: Written, slip: Slip, case: FiniteCase) -> FoundMean:
    batch, probability = _batches(case)
    wrong = one.wrong(slip)(batch)
    if probability is not None:
        return FoundMean(probability @ wrong)
    exact = known(case, one.claims, tuple(one.given.items())).mean
    assert exact is not None
    return _measured(exact, wrong - one.estimate(batch))


def _of_bug(bug: Bug, case: FiniteCase) -> FoundMean | None:
    try:
        if isinstance(bug.estimator, TableEstimator):
            mean = claimed(case, bug.estimator, {}).mean
            return None if mean is None else FoundMean(mean)
        return _listed(bug, case) if is_listed(case) else _sampled(bug, case)
    except NotApplicable:
        return None


def _listed(bug: Bug, case: FiniteCase) -> FoundMean:
    simulator = Enumerator(case.truth, case.horizon, case.batch_size, case.group_size)
    found = bug.estimator.maker(simulator)
    if simulator.probability is None or simulator.random:
        return _sampled(bug, case)
    return FoundMean(simulator.probability @ found)


def _sampled(bug: Bug, case: FiniteCase) -> FoundMean:
    right = known(case, bug.claims, tuple(bug.given.items())).mean
    assert right is not None
    wrong, same = (
        sampled(case, estimator, given, REPLICATES).gradients
        for estimator, given in ((bug.estimator, {}), (bug.claimed, bug.given))
    )
    return _measured(right, wrong - same)


def _measured(right: FloatArray, differences: FloatArray) -> FoundMean:
    error = float(differences.var(axis=0, ddof=1).sum()) / len(differences)
    return FoundMean(right + differences.mean(axis=0), error)


@cache
def _batches(case: FiniteCase) -> tuple[UserBatch, FloatArray | None]:
    """All batches of a case with their probabilities, or many batches with none."""
    if not is_listed(case):
        return drawn(case, REPLICATES, 0, case.batch_size).at_once(), None
    every, probability = enumerated(case, case.batch_size)
    return every.at_once(), probability
