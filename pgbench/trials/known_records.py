"""Estimators of the suite in a few variants, and the bugs of the zoo, on finite problems.

What carries the factor γ^t of step t is known without it as well, wrong ones too: code that leaves
it out may make a second mistake.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.claims import Needs
from pgbench.declared.parameters import Parameter, label
from pgbench.estimators import (
    HORIZON,
    BatchEstimator,
    Estimator,
    TableEstimator,
    estimators,
    find_estimator,
)
from pgbench.estimators.parts.estimator import CRITIC_NOISE
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.estimators.parts.ratios import RatioEstimator
from pgbench.estimators.parts.variants import combinations, others
from pgbench.exact.table_moments import Size
from pgbench.grid.plan import Prepared
from pgbench.measure.subject import make_subject
from pgbench.policies import NotApplicable
from pgbench.problems import FiniteMDP
from pgbench.samplers import ON_POLICY
from pgbench.trials.battery import cases
from pgbench.trials.candidate import known
from pgbench.trials.case import GENERAL, PLAIN, Case, J, Laboratory
from pgbench.trials.known_estimators import WITHOUT_DISCOUNT, KnownEstimator, Made, in_order
from pgbench.trials.sampled import sampled
from pgbench.trials.undiscounted import undiscounted
from pgbench.trials.zoo import bugs

EFFORT = Size(memory_bytes=2**28, operations=3e7)
"""What is spent at most on sums over responses for one mean: some ten milliseconds."""


@dataclass(eq=False, kw_only=True)
class KnownRecord(KnownEstimator):
    """An estimator's record with the values of its parameters.

    elsewhere
        Whether data come from a sampler.
    surrogate
        Whether its mean is right because a function claims it.
    discounted
        The same with γ^t, of what is known without it.
    """

    estimator: Estimator
    values: Mapping[str, Any]
    elsewhere: bool = False
    surrogate: bool = False
    discounted: "KnownRecord | None" = None

    @cached_property
    def declared(self) -> tuple[str, ...]:
        """Causes of bias that it declares on these data, but for the horizon's."""
        causes = self.estimator.causes(**self.values)
        if self.elsewhere:
            causes = (*self.estimator.causes_elsewhere(**self.values), *causes)
            causes += ("sampler",) * (not self.estimator.corrects)
        return tuple(cause for cause in causes if cause not in HORIZON)

    @property
    def natural(self) -> bool:
        """Whether it is meant for the natural gradient."""
        return self.estimator.target != "gradient"

    @property
    def needs(self) -> Needs | None:
        """What a function must claim for this mean to be right; None of a mistake."""
        return Needs("surrogate") if self.surrogate else super().needs

    def estimates(self, case: Case, batch_size: int, replicates: int, seed: int) -> Made | None:
        """Estimates (R, d) and steps (R,), or None where it refuses."""
        try:
            made = sampled(case, self.estimator, self.values, replicates, seed, batch_size)
        except ValueError:
            return None
        return made.gradients, made.steps

    def parts(self, case: Case, batch_size: int) -> dict[str, float]:
        """By cause the size of its part of the bias, over the target's; nothing if it refuses."""
        if self.discounted is not None:
            return self._without_discount(self.discounted, case, batch_size)
        prepared = Prepared(case.truth, case.horizon, float(case.horizon), case.group_size)
        try:
            subject = make_subject(prepared, self.estimator, self.values)
        except NotApplicable:
            return {}
        size = float(np.linalg.norm(subject.target))
        parts = subject.parts(batch_size)
        return {cause: float(np.linalg.norm(part)) / size for cause, part in parts.items()}

    def _without_discount(
        self, discounted: "KnownRecord", case: Case, batch_size: int
    ) -> dict[str, float]:
        own, other = (one.exact(case, batch_size) for one in (self, discounted))
        if own is None or other is None:
            return {}
        part = float(np.linalg.norm(own - other)) / float(np.linalg.norm(case.finite))
        return {**discounted.parts(case, batch_size), "discount": part}

    def mean(self, case: Case, batch_size: int) -> FloatArray | None:
        """Its exact mean (d,), or None where it is not known."""
        try:
            return known(case, self.estimator, self.values, batch_size)
        except ValueError:
            return None


@cache
def known_records(laboratory: Laboratory = PLAIN) -> tuple[KnownRecord, ...]:
    """Estimators of ∇J in a few variants, and the bugs of a battery; they remember their estimates.

    Without γ^t as well, on the general battery; that of sequences has no discount.
    """
    elsewhere = laboratory.sampler != ON_POLICY
    finite = (e for e in estimators().values() if FiniteMDP in e.on)
    fitting = (e for e in finite if laboratory.objective != J or not e.penalised)
    # On data of the policy itself those with ratios to a sampler are others by another name.
    own = (e for e in fitting if elsewhere or not isinstance(e, RatioEstimator))
    found = [one for estimator in map(_quick, own) for one in _variants(estimator, elsewhere)]
    for bug in bugs().values():
        if bug.battery == laboratory.battery:
            wrong = _quick(bug.estimator)
            found.append(
                KnownRecord(
                    name=bug.name,
                    estimator=wrong,
                    values=wrong.bound(),
                    mistake=bug.mistake,
                    elsewhere=elsewhere,
                )
            )
    if laboratory.battery == GENERAL:
        without = [_without_discount(one, laboratory) for one in found]
        found += [one for one in without if one is not None]
    return in_order(found)


@cache
def claimed_surrogate(choice: str, laboratory: Laboratory) -> KnownRecord:
    """The estimator whose exact mean a function claims, from the JSON of a mapping."""
    given = json.loads(choice)
    estimator = find_estimator(given.pop("estimator"))
    values = estimator.bound(**given)
    return KnownRecord(
        name=label(estimator.name, estimator.parameters, values),
        estimator=estimator,
        values=values,
        elsewhere=laboratory.sampler != ON_POLICY,
        surrogate=True,
    )


def _quick(estimator: Estimator) -> Estimator:
    """The estimator, whose moments are known only where that takes no time."""
    if isinstance(estimator, BatchEstimator):
        return replace(estimator, limit=EFFORT)
    return estimator


def _without_discount(one: KnownRecord, laboratory: Laboratory) -> KnownRecord | None:
    """The estimator without γ^t; None where that is no other one, or one known by name."""
    estimator = one.estimator
    if "discounted" in estimator.parameters or estimator.target != "gradient":
        return None
    if isinstance(estimator, OutcomeEstimator):
        return None  # one weight for all steps
    discounted = [case for case in cases(laboratory) if case.gamma < 1 and case.horizon > 1]
    if one.mistake and all(_right(one, case) for case in discounted):
        return None  # what is wrong with it is not its mean
    mistake = f"γ^t is left out, and {one.mistake}" if one.mistake else WITHOUT_DISCOUNT
    name = f"{one.name} without γ^t"
    found = replace(
        one,
        name=name,
        estimator=undiscounted(estimator),
        mistake=mistake,
        default=False,
        discounted=one,
    )
    if all(_right(found, case) for case in discounted):
        return None  # two mistakes that make up for each other
    case = discounted[0]
    samples = [k.sample(case, case.batch_size, 16, 0) for k in (one, found)]
    if samples[0] is None or samples[1] is None:
        return None
    differs = not np.allclose(samples[0][0], samples[1][0], rtol=1e-9, atol=0)
    return found if differs and not _carries_none(one, case) else None


def _right(one: KnownRecord, case: Case) -> bool:
    """Whether its mean is known to be ∇J_H."""
    mean = one.exact(case, case.batch_size)
    return mean is not None and np.allclose(mean, case.finite, rtol=1e-9, atol=0)


def _carries_none(one: KnownRecord, case: Case) -> bool:
    """Whether its tables carry no γ^t, so that there is none to leave out."""
    if not isinstance(one.estimator, TableEstimator):
        return False
    tables = one.estimator.make(case.truth, case.horizon, **one.values)
    return tables.total or bool((tables.delta[~tables.process.mdp.terminal] == 1).all())


def _variants(estimator: Estimator, elsewhere: bool) -> Iterator[KnownRecord]:
    """Defaults, one switch thrown, one word chosen, the critic that users are given.

    That critic without γ^t as well, as online code has it. Several values where one must be given.
    """
    declared = estimator.parameters
    changes: list[dict[str, Any]] = [{}]
    changes += [{p.name: v} for p in declared.values() if not p.required for v in others(p)]
    if "critic_noise" in declared:
        erring = {"critic_noise": CRITIC_NOISE}
        changes += [erring, *[erring | {"discounted": False}] * ("discounted" in declared)]
    needed = {p.name for p in declared.values() if p.required}
    for given in combinations(estimator, _tried, changes):
        try:
            bound = estimator.bound(**given)
        except ValueError:
            continue
        name = label(estimator.name, declared, bound)
        yield KnownRecord(
            name=name,
            estimator=estimator,
            values=bound,
            default=given.keys() == needed,
            elsewhere=elsewhere,
        )


def _tried(parameter: Parameter) -> list[Any]:
    if float in parameter.types:
        low, high = parameter.range.minimum, parameter.range.maximum
        return [v for v in (0.0, 0.5, 0.9, 0.95, 1.0) if (low or 0) <= v <= (high or 1)]
    if parameter.choice:
        return list(parameter.choice.options)
    if bool in parameter.types:
        return [False, True]
    return [int(parameter.range.minimum or 1)]
