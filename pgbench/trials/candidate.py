"""What is examined, whichever shape it has: estimates on the cases of the battery."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.declared.parameters import Parameter, ParameterError
from pgbench.estimators import Estimator, TableEstimator, Tables
from pgbench.exact.table_moments import TooLarge
from pgbench.functions import AnyBatch, Batches
from pgbench.functions.result import UserError, check_usable, numbers, usable
from pgbench.policies import NotApplicable
from pgbench.trials.case import Case
from pgbench.trials.generators import drawn_from, seed_by
from pgbench.trials.guard import FIRST_PATIENCE, guarded
from pgbench.trials.precision import SINGLE, rounding, shift, unit_roundoff
from pgbench.trials.repeatable import check_forgetful, check_repeatable
from pgbench.trials.sampled import sampled
from pgbench.trials.terminal_values import reads_ends
from pgbench.trials.user_file import UserCode

ROUNDING = 1e-9
"""What counts as rounding in a mean of our own, relative to the largest estimate."""

LEAST = 100
"""So many finite estimates must be left on a problem at a batch size."""

MAKING = 1e-4
"""Seconds that it takes to make a batch, about."""


@dataclass(frozen=True, eq=False)
class Estimates:
    """Estimates on a case at a batch size.

    gradients, steps
        (R, d) float64 and (R,) int64.
    exact
        Exact mean (d,), or None where it is not known.
    rounding
        Means that differ by so much are the same, and estimates that differ by ten times as much;
        in units of the gradients.
    shift
        So far may rounding in a coarse format move a mean, in units of the gradients.
    rows
        Which of the replicates these are where some were not finite and are left out; else None.
    skipped
        Number of those left out.
    """

    case: Case
    batch_size: int
    gradients: FloatArray
    steps: IntArray
    exact: FloatArray | None
    rounding: float
    shift: float = 0.0
    rows: IntArray | None = None
    skipped: int = 0

    @property
    def replicates(self) -> int:
        """Number of estimates made, with those left out."""
        return len(self.gradients) + self.skipped

    def of(self, chosen: BoolArray) -> "Estimates":
        """Some of these estimates, (R,) bool; the others count as left out."""
        rows = np.arange(len(self.gradients)) if self.rows is None else self.rows
        return replace(
            self,
            gradients=self.gradients[chosen],
            steps=self.steps[chosen],
            rows=rows[chosen],
            skipped=self.skipped + int(np.sum(~chosen)),
        )

    def of_first(self, replicates: int) -> "Estimates":
        """Estimates of the first replicates alone."""
        rows = np.arange(len(self.gradients)) if self.rows is None else self.rows
        left = int(np.searchsorted(rows, replicates))
        return replace(
            self,
            gradients=self.gradients[:left],
            steps=self.steps[:left],
            rows=None if self.rows is None else rows[:left],
            skipped=min(replicates, self.replicates) - left,
        )


@dataclass
class Candidate(ABC):
    """Something to be examined.

    laps
        Seconds per estimate by name of the case and batch size, once timed.
    """

    own: UserCode
    seed: int
    laps: dict[tuple[str, int], float] = field(default_factory=dict)

    @abstractmethod
    def time(self, cases: Sequence[tuple[Case, int]], longest: float) -> None:
        """Time estimates on all these cases, until it is plain that they take longer than that."""

    def seconds(self, cases: Sequence[tuple[Case, int]]) -> float:
        """Seconds of one estimate on each of these cases; those not timed are as the others."""
        known = [self.laps[place] for case, n in cases if (place := (case.name, n)) in self.laps]
        # Making a batch takes time too.
        return (float(np.mean(known)) + MAKING) * len(cases) if known else 0.0

    @abstractmethod
    def estimates(self, case: Case, batch_size: int, replicates: int) -> Estimates:
        """Estimates from the trajectories that all estimators see."""

    def finish(self) -> None:  # noqa: B027
        """What can only be checked at the end."""

    def reads_ends(self, cases: Sequence[Case]) -> bool:
        """Whether estimates hang on the exact values of terminal states; of functions alone."""
        return False


def where(own: UserCode, case: Case, batch_size: float) -> str:
    """``my.py: estimate on the problem 'episodic' with N = 4``, as messages begin."""
    return f"{own.words} on the problem '{case.name}' with N = {batch_size:g}"


@dataclass
class FunctionCandidate(Candidate):
    """A function of one batch.

    skip_nan
        Whether estimates that are not finite are left out, and no mistake.
    generators
        Names of everybody's generators that it draws from.
    unit
        Unit roundoff of the coarsest format that it returned.
    """

    skip_nan: bool = False
    generators: set[str] = field(default_factory=set)
    unit: float = SINGLE
    _kept: dict[tuple[str, int], FloatArray] = field(default_factory=dict)
    _first: tuple[Case, int, FloatArray] | None = None

    def call(self, batch: AnyBatch, what: str, seconds: float | None = None) -> FloatArray:
        """One guarded call, with everybody's generators seeded before."""
        function: Any = self.own.thing
        seed_by(batch)
        result = guarded(self.own.path, what, lambda: function(batch), seconds)
        values = numbers(result, batch, what)
        self.unit = max(self.unit, unit_roundoff(result))
        if not self.skip_nan:
            check_usable(values, batch, what)
        return values[0] if values.ndim > 1 and len(values) == 1 else values

    def _drawn(self, case: Case, replicates: int, batch_size: int) -> Batches:
        return case.drawn(replicates, self.seed, batch_size).claimed(self.own.claims)

    def _made(self, batches: Batches, what: str) -> FloatArray:
        """Estimates (R, d) of all batches, one call after another, or of many at once."""
        if not self.own.claims.vectorised:
            return np.stack([self.call(batches[r], what) for r in range(batches.replicates)])
        return np.vstack([self.call(part.at_once(), what) for part in batches.parts()])

    def time(self, cases: Sequence[tuple[Case, int]], longest: float) -> None:
        """Median of three calls each, after one that may compile."""
        for case, n in cases:
            what = where(self.own, case, n)
            batches = self._drawn(case, 16, n)
            if self._first is None:
                self.call(batches[0], what, FIRST_PATIENCE)
                first = check_repeatable(partial(self.call, what=what), batches, what)
                self._first = case, n, first
            batch = batches[0]
            self.call(batch, what)
            self.generators.update(drawn_from(batch))
            laps: list[float] = []
            while len(laps) < 3 and sum(laps) < 1.0:
                batch = batches[1 + len(laps)]
                begin = time.perf_counter()
                self.call(batch, what)
                laps.append(time.perf_counter() - begin)
            self.laps[case.name, n] = float(np.median(laps))
            if self.seconds(cases) > longest:
                return

    def estimates(self, case: Case, batch_size: int, replicates: int) -> Estimates:
        """One call after another; those that were made before are kept."""
        what = where(self.own, case, batch_size)
        batches = self._drawn(case, replicates, batch_size)
        made = self._kept.get((case.name, batch_size), np.empty((0, case.finite.size)))
        if len(made) < replicates:
            more = self._made(batches.only(slice(len(made), replicates)), what)
            made = self._kept[case.name, batch_size] = np.concatenate([made, more])
        finite = usable(made).all(axis=1)
        left, skipped = int(finite.sum()), int((~finite).sum())
        if skipped and left < LEAST:
            raise UserError(
                f"{what} returned finite numbers in {left} of {replicates} estimates, must in at"
                f" least {LEAST}"
            )
        rows = np.flatnonzero(finite) if skipped else None
        if rows is not None:
            made, batches = made[rows], batches.only(rows)
        coarse = shift(self.unit, made, batches)
        tolerance = rounding(made, batches)
        return Estimates(
            case, batch_size, made, batches.steps, None, tolerance, coarse, rows, skipped
        )

    def finish(self) -> None:
        """The first estimate once more: nothing must have been kept between calls."""
        assert self._first is not None
        case, n, first = self._first
        what = where(self.own, case, n)
        batches = self._drawn(case, 16, n)
        check_forgetful(partial(self.call, what=what), batches, first, what)

    def reads_ends(self, cases: Sequence[Case]) -> bool:
        """Whether estimates hang on the exact values of terminal states."""
        call = partial(self.call, what=self.own.words)
        return reads_ends(call, cases, self.own.claims)


@dataclass
class RecordCandidate(Candidate):
    """A record with its default parameters; those without one get what is plain, such as ½."""

    refused: dict[str, str] = field(default_factory=dict)

    @property
    def record(self) -> Estimator:
        """The record."""
        assert self.own.record is not None
        return self.own.record

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """The value of every parameter."""

        def bound() -> Mapping[str, Any]:
            declared = self.record.parameters
            given = {k: _some(p) for k, p in declared.items() if p.required}
            return self.record.bound(**given)

        values: Mapping[str, Any] = self._guarded(self.own.words, bound)
        return values

    def _guarded(self, what: str, body: Any, seconds: float | None = None) -> Any:
        def run() -> Any:
            try:
                return body()
            except NotApplicable as reason:
                return reason

        return guarded(self.own.path, what, run, seconds)

    def time(self, cases: Sequence[tuple[Case, int]], longest: float) -> None:
        """Measured on few replicates; cases that it refuses are left out."""
        self._guarded(self.own.words, lambda: self.record.causes(**self.values))
        for case, n in cases:
            what = where(self.own, case, n)
            for replicates in (1, 32):
                begin = time.perf_counter()
                made = self._guarded(what, lambda c=case, b=n, r=replicates: self._sampled(c, b, r))
                lap = time.perf_counter() - begin
            if isinstance(made, NotApplicable):
                self.refused[case.name] = str(made)
                continue
            self.laps[case.name, n] = lap / 32
        if len(self.refused) == len({case.name for case, _ in cases}):
            reason = next(iter(self.refused.values()))
            raise UserError(f"{self.own.words} refuses every problem: {reason}")

    def _sampled(self, case: Case, n: int, replicates: int) -> Any:
        if isinstance(self.record, TableEstimator):
            made: Any = self.record.make(case.truth, case.horizon, **self.values)
            if not isinstance(made, Tables):
                kind = type(made).__name__
                raise UserError(f"{self.own.words} made a {kind}, must make Tables")
        return sampled(case, self.record, self.values, replicates, self.seed, n)

    def estimates(self, case: Case, batch_size: int, replicates: int) -> Estimates:
        """All replicates in blocks, with the exact mean where it is known."""
        what = where(self.own, case, batch_size)
        made = self._guarded(what, lambda: self._sampled(case, batch_size, replicates), 120.0)
        exact = self.exact(case, batch_size, self.values)
        rounding = ROUNDING * float(np.abs(made.gradients).max())
        return Estimates(case, batch_size, made.gradients, made.steps, exact, rounding)

    def exact(self, case: Case, batch_size: float, values: Mapping[str, Any]) -> FloatArray | None:
        """Exact mean (d,), of a table estimator by its tables alone; None where not known."""
        what = where(self.own, case, batch_size)
        mean: FloatArray | None = self._guarded(
            what, lambda: known(case, self.record, values, batch_size)
        )
        return mean


def _some(parameter: Parameter) -> Any:
    """A value for a parameter that has no default."""
    words = parameter.choice.options if parameter.choice else ()
    for value in (0.5, *words, parameter.range.minimum, 1, False):
        try:
            return parameter.check(value)
        except ParameterError:
            continue
    raise ParameterError(f"{parameter.name} has no default, and no value is plain")


def known(
    case: Case, estimator: Estimator, values: Mapping[str, Any], batch_size: float
) -> FloatArray | None:
    """Exact mean of an estimator (d,), or None where it is not known or the case refused."""
    try:
        return estimator.mean(case.truth, case.horizon, batch_size, case.group_size, **values)
    except (NotApplicable, TooLarge):
        return None


def candidate(own: UserCode, seed: int, skip_nan: bool = False) -> Candidate:
    """The thing to be examined; UserError if a record is to have estimates left out."""
    if own.record is None:
        return FunctionCandidate(own, seed, skip_nan=skip_nan)
    if skip_nan:
        raise UserError(f"{own.words} is a record; --skip-nan is for functions")
    return RecordCandidate(own, seed)
