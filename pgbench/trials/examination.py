"""A user's own estimator examined: sampled, measured, compared, judged."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.claims import as_text
from pgbench.estimators import TableEstimator
from pgbench.functions.result import UserError
from pgbench.harness.progress import duration
from pgbench.kernels.partition import single_threaded
from pgbench.samplers import ON_POLICY
from pgbench.trials.batteries import BATTERIES, cases, every_known
from pgbench.trials.candidate import (
    Candidate,
    Estimates,
    FunctionCandidate,
    RecordCandidate,
    candidate,
)
from pgbench.trials.case import CONTINUOUS, GENERAL, Case, J, Laboratory
from pgbench.trials.comparison import Compared, compared
from pgbench.trials.declared_causes import declared
from pgbench.trials.equality import Equality, equalities
from pgbench.trials.known_estimators import KnownEstimator
from pgbench.trials.known_records import claimed_surrogate
from pgbench.trials.looks import looks, plain
from pgbench.trials.measured_mean import MeasuredMean, measured
from pgbench.trials.normalisers import Normaliser
from pgbench.trials.resemblance import COMPARED, Likeness, batches_of, likenesses
from pgbench.trials.scaling import LARGER
from pgbench.trials.user_file import UserCode, load
from pgbench.trials.verdict import Declared, Verdict, verdict, visible

FEWEST, MOST = 100, 3000
"""Replicates per problem and batch size."""

SECONDS = 25.0
"""So long the user's code may run, if that leaves the fewest replicates."""

LONGEST = 45.0
"""So long it may run with the fewest."""

WITNESS = "reward_to_go"
"""What it never responds to, this does: then the estimate is stuck there."""

CONTROLS = 6
"""So many known estimators, the most alike, sharpen the measured mean."""


@dataclass(frozen=True, eq=False)
class Examination:
    """All that is known of a user's estimator.

    own, seconds, replicates
        What was examined, seconds per estimate at a case's own batch size, replicates per problem
        and size.
    verdict, declared
        The conclusion, and for records what becomes of the declaration.
    likenesses
        Every known estimator next to it, the most alike first.
    equalities
        Those that equal it on most problems, held against every estimate.
    compare
        Gives ``ranking``.
    refused
        Why a record is not examined on some problems, by their names.
    reads_ends
        Whether a function uses the exact values of terminal states.
    skipped
        Number of estimates that were not finite and are left out, by name of the problem and N.
    generators
        Names of everybody's generators that a function draws from.
    """

    own: UserCode
    seconds: float
    replicates: int
    verdict: Verdict
    declared: Declared | None
    likenesses: Sequence[Likeness]
    equalities: Sequence[Equality]
    compare: Callable[[], Sequence[Compared]]
    refused: dict[str, str]
    reads_ends: bool = False
    skipped: Mapping[tuple[str, int], int] = field(default_factory=dict)
    generators: Sequence[str] = ()

    @cached_property
    def ranking(self) -> Sequence[Compared]:
        """Known unbiased estimators by variance times steps, compared when that is asked for."""
        with single_threaded():
            return self.compare()

    @property
    def passed(self) -> bool:
        """Whether it could be judged and has no bias that is not declared."""
        if self.declared is not None:
            return not (self.declared.undeclared or self.declared.untested)
        return self.verdict.as_claimed


def examine(
    path: Path, function: str | None = None, replicates: int | None = None, **given: Any
) -> Examination:
    """Examine what a file holds on a battery; UserError says what is wrong with the file.

    The other parameters are those of ``examine_code``.
    """
    return examine_code(load(path, function), replicates, **given)


def examine_code(
    own: UserCode,
    replicates: int | None = None,
    seed: int = 0,
    skip_nan: bool = False,
    notices: TextIO | None = None,
    battery: str | None = None,
    sampler: str | None = None,
    objective: str | None = None,
    policy: str | None = None,
) -> Examination:
    """Examine a function or a record on a battery; UserError says what is wrong with it.

    Battery, sampler, objective and policy, a name or the JSON of a mapping, come before what the
    function says it is made for. How long it will take is said on ``notices``, by default standard
    error.
    """
    if replicates is not None and replicates < FEWEST:
        raise UserError(f"--replicates is {replicates}, must be at least {FEWEST}")
    if not 0 <= seed < 2**63:
        raise UserError(f"--seed is {seed}, must be an integer in [0, 2**63)")
    laboratory = _laboratory(own, battery, sampler, objective, policy)
    examined = candidate(own, seed, skip_nan or own.claims.on_nan == "count")
    with single_threaded():
        return _examined(examined, laboratory, replicates, notices or sys.stderr)


def _examined(
    examined: Candidate, laboratory: Laboratory, replicates: int | None, notices: TextIO
) -> Examination:
    """Estimates are made and looked at, until what they are is plain."""
    sizes = (1, LARGER)
    places = [(case, times * case.batch_size) for case in _cases(laboratory) for times in sizes]
    # A function that is this slow is given up before everything is timed.
    examined.time(places, np.inf if replicates else 4 * LONGEST / FEWEST)
    refused = examined.refused if isinstance(examined, RecordCandidate) else {}
    places = [(case, n) for case, n in places if case.name not in refused]
    most, places = _planned(examined, places, replicates, notices)
    every = looks(most, all_at_once=replicates is not None or examined.own.record is not None)
    for R in every:
        made = [examined.estimates(case, n, R) for case, n in places]
        found = _judged(examined, made, R, refused)
        if most == R or plain(found.verdict, found.equalities, R, visible(found.verdict)):
            break
    examined.finish()
    return replace(found, reads_ends=examined.reads_ends(list(dict.fromkeys(c for c, _ in places))))


def _laboratory(
    own: UserCode,
    battery: str | None,
    sampler: str | None,
    objective: str | None,
    policy: str | None,
) -> Laboratory:
    """What a function is to be judged on; UserError for a battery that there is not or not for it.

    Actions that are said to be continuous choose the battery of that name.
    """
    claims = own.claims
    by_actions = CONTINUOUS if claims.actions == CONTINUOUS else GENERAL
    name = battery or claims.battery or by_actions
    if name not in BATTERIES:
        raise UserError(f"--battery is {name}, must be one of {', '.join(BATTERIES)}")
    if claims.actions == CONTINUOUS and name != CONTINUOUS:
        raise UserError(
            f"{own.words} says that its actions are continuous; the battery is {name}, must be"
            f" {CONTINUOUS}"
        )
    if name == CONTINUOUS and own.record is not None:
        raise UserError(
            f"{own.words} is a record; the battery {CONTINUOUS} is for functions of a batch"
        )
    if name == CONTINUOUS and claims.surrogate is not None:
        raise UserError(
            f"{own.words} claims a surrogate; the battery {CONTINUOUS} knows none, its data are of"
            " the policy itself"
        )
    return Laboratory(
        name,
        sampler or claims.sampler or ON_POLICY,
        objective or claims.objective or J,
        policy or claims.policy or "",
    )


def _cases(laboratory: Laboratory) -> Sequence[Case]:
    """The cases of a laboratory; UserError if its sampler or objective is wrong."""
    try:
        return cases(laboratory)
    except ValueError as error:
        raise UserError(f"{laboratory.words}: {error}") from None


def _planned(
    examined: Candidate,
    places: list[tuple[Case, int]],
    replicates: int | None,
    notices: TextIO,
) -> tuple[int, list[tuple[Case, int]]]:
    """Number of replicates, and on what, that the measured time allows."""
    own, seconds = examined.own, examined.seconds(places)
    # Where estimates are left out so many must be made that enough are left.
    fewest = 2 * FEWEST if isinstance(examined, FunctionCandidate) and examined.skip_nan else FEWEST
    fitting = int(SECONDS / max(seconds, 1e-9))
    R = replicates or min(max(fitting // 100 * 100, fewest), MOST)
    if replicates is None and R * seconds > LONGEST:
        small = [(case, n) for case, n in places if n == case.batch_size]
        fewer = R * examined.seconds(small)
        if fewer > LONGEST:
            raise UserError(
                f"{own.words} is slow: {seconds / len(places):.2g} s per call. Even {R}"
                f" estimates on each of {len(small)} problems would take {duration(fewer)};"
                f" --replicates {R} does it nevertheless"
            )
        print(f"{own.words} is slow; it is examined at one batch size only", file=notices)
        places, seconds = small, fewer / R
    problems = {case.name for case, _ in places}
    sizes = "two batch sizes" if len(places) > len(problems) else "one batch size"
    print(
        f"{own.words}: {'' if replicates else 'up to '}{R} estimates on each of {len(problems)}"
        f" problems, at {sizes}, about {max(1, round(R * seconds))} s",
        file=notices,
        flush=True,
    )
    return R, places


def _judged(
    examined: Candidate, made: list[Estimates], R: int, refused: dict[str, str]
) -> Examination:
    smaller = [e for e in made if e.batch_size == e.case.batch_size]
    places = [e.case for e in smaller]
    few = min(R, COMPARED)
    every = _known(examined.own, places[0].laboratory)
    alike = likenesses(every, smaller, examined.seed, few)
    same = equalities(alike, made, examined.seed)
    results = [_measured(examined, e, alike) for e in made]
    conclusion = verdict(
        results,
        every,
        lambda n: [_undone(examined, e, alike, n) for e in made],
        examined.own.claims,
        same,
    )
    return Examination(
        own=examined.own,
        seconds=_seconds(examined, smaller),
        replicates=R,
        verdict=conclusion,
        declared=declared(examined, results) if isinstance(examined, RecordCandidate) else None,
        likenesses=alike,
        equalities=same,
        compare=partial(compared, every, smaller, examined.seed, few),
        refused=refused,
        skipped={(e.case.name, e.batch_size): e.skipped for e in made if e.skipped},
        generators=sorted(examined.generators) if isinstance(examined, FunctionCandidate) else (),
    )


def _known(own: UserCode, laboratory: Laboratory) -> Sequence[KnownEstimator]:
    """Known estimators, what the function claims as its surrogate before them."""
    every = every_known(laboratory)
    surrogate = own.claims.surrogate
    if surrogate is None:
        return every
    return [claimed_surrogate(as_text(surrogate), laboratory), *every]


def _undone(
    examined: Candidate, made: Estimates, alike: Sequence[Likeness], normaliser: Normaliser
) -> MeasuredMean:
    """The mean of the estimates times what every batch's estimate may be divided by."""
    divisors = normaliser.of(batches_of(made, examined.seed))
    whole = made.gradients * divisors[:, None]
    # What is right to so much is multiplied too, by the largest of them at most.
    largest = float(divisors.max())
    rounding = max(made.rounding * largest, normaliser.slack * float(np.abs(whole).max()))
    undone = replace(
        made, gradients=whole, exact=None, rounding=rounding, shift=made.shift * largest
    )
    return _measured(examined, undone, alike)


def _seconds(examined: Candidate, smaller: list[Estimates]) -> float:
    """Median seconds per estimate over the cases."""
    laps = examined.laps
    own = [laps[e.case.name, e.batch_size] for e in smaller if (e.case.name, e.batch_size) in laps]
    return float(np.median(own)) if own else float("nan")


def _measured(examined: Candidate, made: Estimates, alike: Sequence[Likeness]) -> MeasuredMean:
    """Its mean, sharpened by the estimators most alike whose exact means are known."""
    own = examined.own.record
    if isinstance(own, TableEstimator) and made.exact is not None:
        return measured(made, claimed=made.exact)
    controls: list[FloatArray] = []
    for like in alike:
        if len(controls) == CONTROLS or abs(like.correlation) < 0.05:
            break
        control = _control(like.known, made, examined.seed)
        if control is not None:
            controls.append(control)
    of_name = {one.name: one for one in every_known(made.case.laboratory)}
    witness = of_name[WITNESS].beside(made, examined.seed)
    return measured(made, controls, witness=None if witness is None else witness[0])


def _control(known: KnownEstimator, made: Estimates, seed: int) -> FloatArray | None:
    """Estimates of a known estimator less its exact mean, (R, d), where that is known."""
    mean = known.exact(made.case, made.batch_size)
    if mean is None:
        return None
    sample = known.beside(made, seed)
    return None if sample is None else sample[0] - mean
