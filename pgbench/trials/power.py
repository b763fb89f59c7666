"""How surely our tests find a wrong estimator, and how often they accuse a correct one.

Every estimator is sampled on every case of its battery, and its mean and its total variance are
tested against those that it claims, as far as they are known exactly. One run tests all correct
estimators, so a p-value counts only if it stays below 5 % after multiplication by the number of all
their tests (Bonferroni): then the chance that any correct estimator is accused is at most 5 %. A
bug is found in a run if one of its own p-values counts at that same level. So far out in the
tail no test of means of skewed numbers is exact; so a rejection counts only if the same test
rejects at 5 % on fresh trajectories as well, which costs a true one little. Estimates that never
vary where a variance is claimed are found without a test: on these problems it is no rare event.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from pgbench.declared.parameters import label
from pgbench.estimators import BatchEstimator, Estimator, Exact, estimators, find_estimator
from pgbench.estimators.parts.variants import variants
from pgbench.policies import NotApplicable
from pgbench.problems import FiniteMDP
from pgbench.statistics import clopper_pearson
from pgbench.trials.battery import FINITE, FiniteCase, cases
from pgbench.trials.case import GENERAL, SEQUENCES
from pgbench.trials.sampled import Sampled, claimed, sampled
from pgbench.trials.zoo import Bug, bugs

LEVEL = 0.05
SIZES = (250, 1000, 2000)
"""Numbers of replicates; the last is the default size, at which every bug should be found."""

REPEATS = 5

FRESH = 10**9
"""Added to a seed for the trajectories that confirm a rejection."""


class PValue(NamedTuple):
    """One test: the case, what was tested, and its p-value."""

    case: str
    what: str
    p: float


@dataclass(frozen=True)
class Claim:
    """An estimator under test, and whose moments it claims."""

    name: str
    estimator: Estimator
    values: Mapping[str, Any]
    claims: str
    given: tuple[tuple[str, Any], ...]
    mean_only: bool = False
    battery: str = GENERAL

    @classmethod
    def of_bug(cls, bug: Bug) -> "Claim":
        """The claim of a bug: to be the correct estimator."""
        given = tuple(bug.given.items())
        return cls(bug.name, bug.estimator, {}, bug.claims, given, bug.mean_only, bug.battery)

    @property
    def is_testable(self) -> bool:
        """Whether the mean is known on some case."""
        exact = (known(case, self.claims, self.given) for case in cases(self.battery))
        return any(one.mean is not None for one in exact)

    def p_values(self, replicates: int, seed: int) -> Iterator[PValue]:
        """Tests on every case where the claim is known and the estimator makes sense."""
        for case in cases(self.battery):
            exact = known(case, self.claims, self.given)
            if exact.mean is None:
                continue
            try:
                found = sampled(case, self.estimator, self.values, replicates, seed)
            except NotApplicable:
                continue
            yield from self._tests(case, exact, found)

    def _tests(self, case: FiniteCase, exact: Exact, found: Sampled) -> Iterator[PValue]:
        assert exact.mean is not None
        p = {"mean": found.mean_test(exact.mean).p_value}
        if not self.mean_only:
            p["variance"] = found.variance_test(exact).p_value
            if found.is_constant and exact.variance is not None and exact.variance.any():
                p["variance"] = 0.0
        yield from (PValue(case.name, what, x) for what, x in p.items() if np.isfinite(x))


@cache
def known(case: FiniteCase, name: str, given: tuple[tuple[str, Any], ...]) -> Exact:
    """Exact moments of a correct estimator on a case; nothing where it makes no sense."""
    try:
        estimator = find_estimator(name)
        if estimator.refuses(case.batch_size, case.group_size, **dict(given)):
            return Exact(None)
        return claimed(case, estimator, dict(given))
    except NotApplicable:
        return Exact(None)


def _finite(battery: str) -> dict[str, Estimator]:
    """Estimators of ∇J for finite problems by name: those that groups matter to, if there are."""
    every = estimators().items()
    finite = {name: e for name, e in every if FiniteMDP in e.on and not e.penalised}
    if battery == GENERAL:
        return finite
    return {name: e for name, e in finite.items() if isinstance(e, BatchEstimator) if not e.drawing}


def correct() -> list[Claim]:
    """Every estimator in its variants on each battery, claiming its own moments."""
    every = []
    for battery, name, estimator, values in _tested_variants():
        shown = label(name, estimator.parameters, values)
        shown += " in groups" * (battery == SEQUENCES)
        items = tuple(values.items())
        every.append(Claim(shown, estimator, values, name, items, battery=battery))
    return every


def _tested_variants() -> Iterator[tuple[str, str, Estimator, dict[str, Any]]]:
    """Battery, name, estimator and parameter values."""
    for battery in FINITE:
        for name, estimator in _finite(battery).items():
            yield from ((battery, name, estimator, values) for values in variants(estimator))


@dataclass(frozen=True)
class Found:
    """What the tests made of one bug.

    power
        Share of runs that found it, by number of replicates.
    best
        The test with the smallest median p-value at the largest number.
    """

    bug: Bug
    power: Mapping[int, float]
    best: str


@dataclass(frozen=True)
class Study:
    """Detection of every bug, and false alarms about correct estimators.

    repeats
        Runs of each size.
    tests
        Number of tests of a run on the correct estimators.
    estimators, unknown
        Numbers of their variants that were tested, and of those without an exact mean; each counts
        once on every battery.
    alarms
        Number of runs in which any of them was accused, by number of replicates.
    accused
        Names of those that were.
    """

    found: Sequence[Found]
    repeats: int
    tests: int
    estimators: int
    unknown: int
    alarms: Mapping[int, int]
    accused: Sequence[str]

    @property
    def false_alarms(self) -> int:
        """Number of runs of any size in which a correct estimator was accused."""
        return sum(self.alarms.values())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the false-alarm rate over all sizes (Clopper & Pearson 1934)."""
        runs = self.repeats * len(self.alarms)
        return clopper_pearson(self.false_alarms, runs)


@cache
def claims() -> dict[str, Claim]:
    """Everything that is tested, by a name that is another in every process: right, then wrong."""
    right = {f"{number} {claim.name}": claim for number, claim in enumerate(correct())}
    return {**right, **{name: Claim.of_bug(bug) for name, bug in bugs().items()}}


class Trial(NamedTuple):
    """Tests of one claim: its name among ``claims``, the number of replicates, and a seed."""

    name: str
    replicates: int
    seed: int

    def __str__(self) -> str:
        return f"the tests of {self.name} on {self.replicates} replicates"


def p_values(trial: Trial) -> list[PValue]:
    """What the tests of a trial say."""
    return list(claims()[trial.name].p_values(trial.replicates, trial.seed))


def study(
    sizes: Sequence[int] = SIZES,
    repeats: int = REPEATS,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
    mapping: Callable[..., Iterable[Any]] = map,
) -> Study:
    """Test every bug and every correct estimator, on fresh trajectories each time.

    ``mapping`` makes the trials and gives what they say in their order, like the builtin ``map``.
    """
    right = [name for name in claims() if name not in bugs()]
    found: dict[str, dict[int, list[bool]]] = {name: {s: [] for s in sizes} for name in bugs()}
    best: dict[str, dict[tuple[str, str], list[float]]] = {name: {} for name in bugs()}
    alarms, accused, tests = dict.fromkeys(sizes, 0), set(), 0
    for size in sizes:
        for repeat in range(repeats):
            results, tests = _tested(size, seed + repeat, mapping)
            rejected = _rejected(results, tests, size, seed + repeat, mapping)
            blamed = {claims()[name].name for name in right if name in rejected}
            alarms[size] += bool(blamed)
            accused |= blamed
            for name in bugs():
                found[name][size].append(name in rejected)
                if size == sizes[-1]:
                    for case, what, p in results[name]:
                        best[name].setdefault((what, case), []).append(p)
        progress(f"{size} replicates, {repeats} times")
    testable = sum(claims()[name].is_testable for name in right)
    return Study(
        found=[
            Found(
                bug,
                {size: float(np.mean(hits)) for size, hits in found[name].items()},
                _best(best[name]),
            )
            for name, bug in bugs().items()
        ],
        repeats=repeats,
        tests=tests,
        estimators=testable,
        unknown=len(right) - testable,
        alarms=alarms,
        accused=sorted(accused),
    )


def _tested(
    replicates: int, seed: int, mapping: Callable[..., Iterable[Any]]
) -> tuple[dict[str, list[PValue]], int]:
    """P-values of every claim, and how many there are of correct ones."""
    trials = [Trial(name, replicates, seed) for name in claims()]
    results = dict(zip(claims(), mapping(p_values, trials), strict=True))
    return results, sum(len(p) for name, p in results.items() if name not in bugs())


def _rejected(
    results: Mapping[str, Sequence[PValue]],
    tests: int,
    replicates: int,
    seed: int,
    mapping: Callable[..., Iterable[Any]],
) -> set[str]:
    """Claims with a p-value that is significant among so many tests, and on fresh trajectories."""
    counted = {name: suspicious(found, tests) for name, found in results.items()}
    suspected = [name for name in counted if counted[name]]
    trials = [Trial(name, replicates, seed + FRESH) for name in suspected]
    again = zip(suspected, mapping(p_values, trials), strict=True)
    return {name for name, fresh in again if confirmed(counted[name], fresh)}


def suspicious(found: Sequence[PValue], tests: int) -> set[tuple[str, str]]:
    """Case and subject of the p-values that are significant among so many tests."""
    return {(test.case, test.what) for test in found if test.p * tests < LEVEL}


def confirmed(counted: set[tuple[str, str]], fresh: Iterable[PValue]) -> bool:
    """Whether one of those is significant on fresh trajectories as well."""
    return any(test.p < LEVEL and (test.case, test.what) in counted for test in fresh)


def _best(found: Mapping[tuple[str, str], Sequence[float]]) -> str:
    if not found:
        return "never testable"
    what, case = min(found, key=lambda test: float(np.median(found[test])))
    return f"{what}, {case}"
