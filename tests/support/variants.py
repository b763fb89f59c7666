"""Every estimator in every variant of its parameters, and on which tiny problems each is tried."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest

from pgbench.declared.parameters import Parameter, label
from pgbench.estimators import (
    BatchEstimator,
    Estimator,
    TableEstimator,
    Tables,
    estimators,
    make_tables,
)
from pgbench.estimators.parts.variants import combinations
from pgbench.exact import Truth
from pgbench.problems import FiniteMDP
from pgbench.rollout.enumeration import Listed, enumerated_moments

from .problems import DISCOUNTED, TINY
from .truths import tiny_truth

CHOSEN: set[str] = set()
"""Names of the estimators that are tried, as ``--estimator`` says; of all where there is none."""

HORIZON_ALONE = (("truncation",), ("tail",))
"""Causes of bias of which nothing is left as the horizon grows."""

SAMPLED = {"dynamic_sampling"} | {
    name for name, e in estimators().items() if isinstance(e, BatchEstimator) and e.drawing
}
"""Estimators that draw more than trajectories: batches of theirs cannot be listed, and
tests of their own see to them."""


@dataclass(frozen=True)
class Variant:
    """An estimator with given parameters."""

    name: str
    items: tuple[tuple[str, Any], ...]

    @property
    def given(self) -> dict[str, Any]:
        """The parameters as keywords."""
        return dict(self.items)

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes of bias that the estimator declares."""
        return estimators()[self.name].causes(**self.given)

    @property
    def simulates_its_horizon(self) -> bool:
        """Whether the estimator draws its own horizon at random."""
        return self.name.startswith("visitation")

    @property
    def objective(self) -> str:
        """The objective under which it is tried: one with a penalty if it asks for that."""
        return "kl" if estimators()[self.name].penalised else "J"

    def truth(self, problem: str, kind: str) -> Truth:
        """Exact quantities of a tiny problem under its objective."""
        return tiny_truth(problem, kind, self.objective)

    def tables(self, truth: Truth, horizon: int | None = None) -> Tables:
        """The estimator's tables."""
        return make_tables(truth, self.name, horizon, **self.given)

    def listed_steps(self, problem: str) -> int:
        """Steps whose trajectories are listed on a tiny problem; random horizons have more."""
        return 3 if self.simulates_its_horizon else TINY[problem][1]

    def __str__(self) -> str:
        return label(self.name, estimators()[self.name].parameters, self.given)


def trials(parameter: Parameter) -> list[Any]:
    """Values to try: all that a required number allows of 0, 0.7, 1; else each non-default kind."""
    values: list[Any] = []
    if float in parameter.types:
        least = parameter.range.minimum or 0.0
        values += [0.0, 0.7, 1.0] if parameter.required else [0.7 if least < 0.7 else least + 0.7]
    if int in parameter.types:
        values.append(int(parameter.range.minimum or 0) + 1)
    if bool in parameter.types:
        values += [True, False]
    if parameter.choice:
        values += parameter.choice.options
    return [value for value in values if parameter.required or value != parameter.default]


@cache
def table_variants() -> tuple[Variant, ...]:
    """Every table estimator: defaults, one optional parameter changed, all changed."""
    return tuple(_variants(TableEstimator))


@cache
def batch_variants() -> tuple[Variant, ...]:
    """The same of batch estimators."""
    return tuple(_variants(BatchEstimator))


def _variants(kind: type[Estimator]) -> Iterator[Variant]:
    for name, estimator in estimators().items():
        if not isinstance(estimator, kind) or FiniteMDP not in estimator.on:
            continue
        if CHOSEN and name not in CHOSEN:
            continue
        declared = estimator.parameters
        optional = [(k, v) for k, p in declared.items() if not p.required for v in trials(p)]
        selections = [{}, *({key: value} for key, value in optional)]
        if len({key for key, _ in optional}) > 1:
            selections.append(dict(optional))
        for given in combinations(estimator, trials, selections):
            yield Variant(name, tuple(given.items()))


FEW = ("gae", "importance_sampling", "reinforce", "reward_to_go", "visitation_mc")
"""One estimator of every way in which weights come about."""


def few_variants() -> tuple[Variant, ...]:
    """These, with λ = 0.7: what depends on nothing but the weights is tried with them alone."""
    return tuple(v for v in table_variants() if v.name in FEW and v.items in ((), (("lam", 0.7),)))


def listed_variants() -> tuple[Variant, ...]:
    """Batch estimators all of whose batches can be listed."""
    return tuple(v for v in batch_variants() if v.name not in SAMPLED)


def alone() -> tuple[Variant, ...]:
    """Batch estimators that one trajectory is enough for, biased by the horizon alone."""
    enough = [v for v in listed_variants() if v.causes in HORIZON_ALONE]
    return tuple(v for v in enough if getattr(estimators()[v.name], "fewest", 1) == 1)


def each(variants: Iterable[Variant]) -> pytest.MarkDecorator:
    """A test of every one of these variants."""
    return pytest.mark.parametrize("variant", list(variants), ids=str)


def on_tiny(
    variants: Iterable[Variant],
    problems: Iterable[str] = tuple(TINY),
    **turns: Sequence[Any],
) -> pytest.MarkDecorator:
    """A test of every variant on every tiny problem where it makes sense.

    The combinations of what else is given take turns, so that every variant meets all of them
    where they are no more than the problems, and every problem does.
    """
    combinations = list(product(*turns.values()))
    cases = []
    for first, variant in enumerate(variants):
        here = [p for p in problems if p in DISCOUNTED or not variant.simulates_its_horizon]
        for i, problem in enumerate(here):
            others = combinations[(first + i) % len(combinations)]
            words = "-".join([problem, str(variant), *map(str, others)])
            cases.append(pytest.param(problem, variant, *others, id=words))
    return pytest.mark.parametrize(("problem", "variant", *turns), cases)


def record(variant: Variant) -> BatchEstimator:
    """The batch estimator itself."""
    found = estimators()[variant.name]
    assert isinstance(found, BatchEstimator)
    return found


def size(variant: Variant) -> int:
    """Fewest trajectories per batch, but more than one."""
    return max(record(variant).least(**variant.given), 2)


@cache
def knows_its_mean(variant: Variant, **changed: Any) -> bool:
    """Whether there is a formula for the mean of a batch estimator, as one truth shows."""
    given, truth = variant.given | changed, variant.truth("dense", "softmax")
    return record(variant).exact(truth, 2, size(variant), **given).mean is not None


def on_policy(truth: Truth) -> list[Tables]:
    """Every estimator of ∇J that simulates the policy itself, λ = 0.7 where one is needed."""
    made = [
        e.make(truth, **{k: 0.7 for k, p in e.parameters.items() if p.required})
        for name, e in estimators().items()
        if isinstance(e, TableEstimator)
        and FiniteMDP in e.on
        and not e.penalised
        and not Variant(name, ()).simulates_its_horizon
    ]
    return [tables for tables in made if tables.process is truth.process]


def random_tables(truth: Truth, total: bool) -> Tables:
    """Tables of no estimator in particular, every entry random, in either shape."""
    rng = np.random.default_rng(12)
    kappa, beta, delta = rng.standard_normal((3, *truth.pi.shape))
    sigma = rng.standard_normal(truth.mdp.probability.shape)
    return Tables.build(
        truth.process, sigma=sigma, kappa=kappa, beta=beta, delta=delta, total=total
    )


@cache
def listed_moments(problem: str, kind: str, variant: Variant) -> Listed:
    """Mean and variance of an estimator from the list of all trajectories of a tiny problem."""
    truth, steps = variant.truth(problem, kind), variant.listed_steps(problem)
    return enumerated_moments(truth, variant.tables(truth, steps), steps)
