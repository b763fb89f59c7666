"""All that the suite knows on the same trajectories: its estimators in a few variants, its bugs.

What carries the factor γ^t of step t is known without it as well, wrong ones too: code that leaves
it out may make a second mistake.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.declared.claims import Needs
from pgbench.declared.parameters import Parameter, label
from pgbench.estimators import (
    CAUSES,
    HORIZON,
    BatchEstimator,
    Estimator,
    TableEstimator,
    estimators,
)
from pgbench.estimators.parts.estimator import CRITIC_NOISE
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.estimators.parts.ratios import RatioEstimator
from pgbench.estimators.parts.variants import combinations, others
from pgbench.exact.table_moments import Size
from pgbench.problems import FiniteMDP
from pgbench.samplers import ON_POLICY
from pgbench.trials.battery import GENERAL, PLAIN, Case, J, Laboratory, cases
from pgbench.trials.candidate import Estimates, known
from pgbench.trials.sampled import sampled
from pgbench.trials.undiscounted import undiscounted
from pgbench.trials.zoo import bugs

WITHOUT_DISCOUNT = "the factor γ^t of step t is left out"

EFFORT = Size(memory_bytes=2**28, operations=3e7)
"""What is spent at most on sums over responses for one mean: some ten milliseconds."""


@dataclass(eq=False)
class KnownEstimator:
    """An estimator of the suite with given parameters, or a bug of the zoo.

    name, mistake
        Label such as ``gae[lam=0.95]``, and what is wrong with it: empty unless it is a bug.
    default
        Whether it is an estimator with its default parameters.
    elsewhere
        Whether data come from a sampler.
    lap
        Seconds per estimate, measured roughly, once a hundred were made.
    """

    name: str
    estimator: Estimator
    values: Mapping[str, Any]
    mistake: str = ""
    default: bool = False
    elsewhere: bool = False
    lap: float = field(default=0.0, repr=False)
    _made: dict[tuple[str, int, int, int], tuple[FloatArray, IntArray] | None] = field(
        default_factory=dict, repr=False
    )
    _exact: dict[tuple[str, int], FloatArray | None] = field(default_factory=dict, repr=False)

    @cached_property
    def declared(self) -> tuple[str, ...]:
        """Causes of bias that it declares on these data, but for the horizon's."""
        causes = self.estimator.causes(**self.values)
        if self.elsewhere:
            causes = (*self.estimator.causes_elsewhere(**self.values), *causes)
            causes += ("sampler",) * (not self.estimator.corrects)
        return tuple(cause for cause in causes if cause not in HORIZON)

    @property
    def causes(self) -> str:
        """Why its mean is not ∇J, beside the horizon, in words."""
        return "; ".join(CAUSES[cause].sentence for cause in self.declared)

    @property
    def needs(self) -> Needs | None:
        """What a function must claim for this mean to be right; None of a mistake.

        Leaving out γ^t alone is none for who claims that.
        """
        if self.mistake and self.mistake != WITHOUT_DISCOUNT:
            return None
        causes = set(self.declared)
        if self.mistake or "discount" in causes:
            target = "undiscounted_states"
        else:
            target = "natural" if self.estimator.target != "gradient" else "discounted"
        scale = "per_token" if "length" in causes else "exact"
        return Needs(target, scale, frozenset(causes - {"discount", "length"}))

    @property
    def critic_errs(self) -> bool:
        """Whether it is right but for its critic's error."""
        return not self.mistake and set(self.declared) == {"critic"}

    def sample(
        self, case: Case, batch_size: int, replicates: int, seed: int
    ) -> tuple[FloatArray, IntArray] | None:
        """Estimates (R, d) and steps (R,), or None where there are none, as if it refuses."""
        key = case.name, batch_size, replicates, seed
        if key not in self._made:
            begin = time.perf_counter()
            try:
                made = sampled(case, self.estimator, self.values, replicates, seed, batch_size)
                self._made[key] = made.gradients, made.steps
            except ValueError:
                self._made[key] = None
            if replicates >= 100:
                self.lap = (time.perf_counter() - begin) / replicates
        return self._made[key]

    def beside(self, own: Estimates, seed: int) -> tuple[FloatArray, IntArray] | None:
        """Its estimates (R, d) and steps (R,) from the very batches of one's estimates."""
        made = self.sample(own.case, own.batch_size, own.replicates, seed)
        if made is None or own.rows is None:
            return made
        return made[0][own.rows], made[1][own.rows]

    def exact(self, case: Case, batch_size: int) -> FloatArray | None:
        """Its exact mean (d,), or None where it is not known."""
        key = case.name, batch_size
        if key not in self._exact:
            try:
                self._exact[key] = known(case, self.estimator, self.values, batch_size)
            except ValueError:
                self._exact[key] = None
        return self._exact[key]


@cache
def every_known(laboratory: Laboratory = PLAIN) -> tuple[KnownEstimator, ...]:
    """Estimators of ∇J in a few variants, and the bugs of a battery; they remember their estimates.

    Estimators with their defaults come first, then their variants, then what is wrong. Without γ^t
    as well, on the general battery; that of sequences has no discount.
    """
    elsewhere = laboratory.sampler != ON_POLICY
    finite = (e for e in estimators().values() if FiniteMDP in e.on)
    fitting = (e for e in finite if laboratory.objective != J or not e.penalised)
    # On data of the policy itself those with ratios to a sampler are others by another name.
    own = (e for e in fitting if elsewhere or not isinstance(e, RatioEstimator))
    found = [one for estimator in map(_quick, own) for one in _variants(estimator)]
    for bug in bugs().values():
        if bug.battery == laboratory.battery:
            wrong = _quick(bug.estimator)
            found.append(KnownEstimator(bug.name, wrong, wrong.bound(), mistake=bug.mistake))
    if laboratory.battery == GENERAL:
        without = [_without_discount(one, laboratory) for one in found]
        found += [one for one in without if one is not None]
    for one in found:
        one.elsewhere = elsewhere
    return tuple(sorted(found, key=lambda one: (bool(one.mistake), not one.default, one.name)))


def _quick(estimator: Estimator) -> Estimator:
    """The estimator, whose moments are known only where that takes no time."""
    if isinstance(estimator, BatchEstimator):
        return replace(estimator, limit=EFFORT)
    return estimator


def _without_discount(one: KnownEstimator, laboratory: Laboratory) -> KnownEstimator | None:
    """The estimator without γ^t; None where that is no other one, or one known by name."""
    estimator = one.estimator
    if "discounted" in estimator.parameters or estimator.target != "gradient":
        return None
    if isinstance(estimator, OutcomeEstimator):
        return None  # one weight for all steps
    discounted = [
        case for case in cases(laboratory) if case.truth.mdp.gamma < 1 and case.horizon > 1
    ]
    if one.mistake and all(_right(one, case) for case in discounted):
        return None  # what is wrong with it is not its mean
    mistake = f"γ^t is left out, and {one.mistake}" if one.mistake else WITHOUT_DISCOUNT
    name = f"{one.name} without γ^t"
    found = KnownEstimator(name, undiscounted(estimator), one.values, mistake)
    if all(_right(found, case) for case in discounted):
        return None  # two mistakes that make up for each other
    case = discounted[0]
    samples = [k.sample(case, case.batch_size, 16, 0) for k in (one, found)]
    if samples[0] is None or samples[1] is None:
        return None
    differs = not np.allclose(samples[0][0], samples[1][0], rtol=1e-9, atol=0)
    return found if differs and not _carries_none(one, case) else None


def _right(one: KnownEstimator, case: Case) -> bool:
    """Whether its mean is known to be ∇J_H."""
    mean = one.exact(case, case.batch_size)
    return mean is not None and np.allclose(mean, case.finite, rtol=1e-9, atol=0)


def _carries_none(one: KnownEstimator, case: Case) -> bool:
    """Whether its tables carry no γ^t, so that there is none to leave out."""
    if not isinstance(one.estimator, TableEstimator):
        return False
    tables = one.estimator.make(case.truth, case.horizon, **one.values)
    return tables.total or bool((tables.delta[~tables.process.mdp.terminal] == 1).all())


def _variants(estimator: Estimator) -> Iterator[KnownEstimator]:
    """Defaults, one switch thrown, one word chosen, the critic that users are given.

    Several values where one must be given.
    """
    declared = estimator.parameters
    changes: list[dict[str, Any]] = [{}]
    changes += [{p.name: v} for p in declared.values() if not p.required for v in others(p)]
    changes += [{"critic_noise": CRITIC_NOISE}] * ("critic_noise" in declared)
    needed = {p.name for p in declared.values() if p.required}
    for given in combinations(estimator, _tried, changes):
        try:
            bound = estimator.bound(**given)
        except ValueError:
            continue
        name = label(estimator.name, declared, bound)
        yield KnownEstimator(name, estimator, bound, default=given.keys() == needed)


def _tried(parameter: Parameter) -> list[Any]:
    if float in parameter.types:
        low, high = parameter.range.minimum, parameter.range.maximum
        return [v for v in (0.0, 0.5, 0.9, 0.95, 1.0) if (low or 0) <= v <= (high or 1)]
    if parameter.choice:
        return list(parameter.choice.options)
    if bool in parameter.types:
        return [False, True]
    return [int(parameter.range.minimum or 1)]
