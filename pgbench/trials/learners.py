"""A class that changes θ over time, judged by the J(θ_k) that it reaches.

It is run on small problems beside the ascent that it claims to be, θ ← θ + α ĝ with an estimator of
the suite, each on its own θ, from batches of the same random streams. J(θ_k) is exact after every
update, so the runs' differences are all the noise there is. What follows the claimed ascent exactly
has the same θ_k to rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
from scipy import special

from pgbench.arrays import FloatArray
from pgbench.declared.learners import ClaimedAscent
from pgbench.estimators import Estimator, find_estimator
from pgbench.functions import Place, drawn
from pgbench.functions.result import UserError, as_array
from pgbench.kernels.partition import single_threaded
from pgbench.measure.gradients import estimates
from pgbench.statistics import Estimate, holm
from pgbench.trials.battery import FiniteCase, cases
from pgbench.trials.case import GENERAL, Laboratory
from pgbench.trials.guard import guarded
from pgbench.trials.user_file import UserCode

RUNS = 40
"""So many runs on every problem."""

LARGER = 8
"""Batches have so many times the trajectories of the battery's, so that runs differ less."""

NAMES = ("continuing", "episodic", "one step", "time limit")
"""The problems: where an ascent gets somewhere in some tens of updates."""

LEVEL = 0.01
"""Chance that what is the claimed ascent is told from it, over all problems."""

SAME = 1e-6
"""θ that differ by less, relative to the largest entry, are the same."""

Update = Callable[[FloatArray, Place, int, int], FloatArray]
"""``update(theta, place, run, k)`` is the next θ (d,)."""


@dataclass(frozen=True, eq=False)
class Climbed:
    """Runs of a learner on a problem, beside those of the ascent that it claims to be.

    own, claimed
        (R, K + 1) float64, J(θ_k) of every run.
    apart
        Largest difference of the two θ_k over runs and updates, relative to the largest entry.
    """

    case: FiniteCase
    own: FloatArray
    claimed: FloatArray
    apart: float

    @cached_property
    def last(self) -> Estimate:
        """Mean difference of J(θ_K), with its 95 % interval."""
        return _mean(self.own[:, -1] - self.claimed[:, -1])

    @cached_property
    def along(self) -> Estimate:
        """The same of the mean of J(θ_k) over k ≥ 1."""
        return _mean((self.own - self.claimed)[:, 1:].mean(axis=1))

    @property
    def gained(self) -> float:
        """What the claimed ascent gains on the way, J(θ_K) - J(θ_0) as a mean."""
        return float((self.claimed[:, -1] - self.claimed[:, 0]).mean())

    @property
    def same(self) -> bool:
        """Whether all θ_k are those of the claimed ascent."""
        return self.apart <= SAME

    @property
    def p_values(self) -> tuple[float, float]:
        """p-values of no difference at the end, and along the way; 1 where all is the same."""
        if self.same:
            return 1.0, 1.0
        runs = len(self.own)
        return _p(self.last, runs), _p(self.along, runs)


@dataclass(frozen=True, eq=False)
class Judged:
    """A learner on all problems; ``p`` are its p-values adjusted by Holm's method, two of each."""

    own: UserCode
    ascent: ClaimedAscent
    every: Sequence[Climbed]

    @cached_property
    def p(self) -> FloatArray:
        """(problems, 2), adjusted over all of them."""
        values = np.array([one.p_values for one in self.every])
        return holm(values.ravel()).reshape(values.shape)

    @property
    def same(self) -> bool:
        """Whether it is the claimed ascent, update by update."""
        return all(one.same for one in self.every)

    @property
    def other(self) -> list[Climbed]:
        """Problems on which it is told from the claimed ascent."""
        return [one for one, p in zip(self.every, self.p, strict=True) if (p < LEVEL).any()]

    @property
    def passed(self) -> bool:
        """Whether it cannot be told from the claimed ascent."""
        return not self.other


def judge(own: UserCode, runs: int = RUNS, seed: int = 0) -> Judged:
    """Run a learner beside the ascent that it claims to be.

    UserError if it does not give a θ.
    """
    ascent = own.ascent
    assert ascent is not None
    given = dict(ascent.estimator)
    estimator = find_estimator(given.pop("estimator"))
    values = estimator.bound(**given)
    every = cases(Laboratory(GENERAL, objective=ascent.objective))
    chosen = [case for case in every if case.name in NAMES]
    with single_threaded():
        found = [_climbed(own, ascent, estimator, values, c, runs, seed) for c in chosen]
    return Judged(own, ascent, found)


def _climbed(
    own: UserCode,
    ascent: ClaimedAscent,
    estimator: Estimator,
    values: Any,
    case: FiniteCase,
    runs: int,
    seed: int,
) -> Climbed:
    reached, claimed, apart = [], [], 0.0
    for run in range(runs):
        learner = _new(own)

        def mine(theta: FloatArray, place: Place, run: int, k: int, learner: Any = learner) -> Any:
            batch = drawn(place, 1, seed + run)[0]
            what = f"{own.words}.update on the problem '{case.name}', update {k}"
            moved = guarded(own.path, what, lambda: learner.update(theta.copy(), batch))
            return _theta(moved, theta, what)

        def theirs(theta: FloatArray, place: Place, run: int, k: int) -> FloatArray:
            draws = place.draws(1, seed + run)
            g = estimates(place.truth, estimator, values, draws)[0][0]
            return np.asarray(theta + ascent.step * g)

        paths = [_path(case, ascent.updates, run, update) for update in (mine, theirs)]
        (thetas, J), (others, reference) = paths
        scale = max(float(np.abs(others).max()), 1e-300)
        apart = max(apart, float(np.abs(thetas - others).max()) / scale)
        reached.append(J)
        claimed.append(reference)
    return Climbed(case, np.array(reached), np.array(claimed), apart)


def _path(
    case: FiniteCase, updates: int, run: int, update: Update
) -> tuple[FloatArray, FloatArray]:
    """θ_k (K + 1, d) and J(θ_k) (K + 1,) of one run."""
    truth: Any = case.truth
    thetas, J = [truth.theta], [truth.objective]
    for k in range(updates):
        place = Place(truth, case.horizon, LARGER * case.batch_size, _stream(case, k))
        thetas.append(update(thetas[-1], place, run, k))
        truth = truth.at(thetas[-1])
        J.append(truth.objective)
    return np.array(thetas), np.array(J)


def _stream(case: FiniteCase, k: int) -> int:
    """A stream of its own for the batches of every update."""
    digest = blake2b(f"{case.stream} update {k}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _new(own: UserCode) -> Any:
    """A learner, reset."""

    def make() -> Any:
        learner: Any = own.thing()  # type: ignore[operator]
        learner.reset()
        return learner

    return guarded(own.path, f"{own.words}.reset", make)


def _theta(moved: Any, theta: FloatArray, what: str) -> FloatArray:
    """What an update returned as the next θ; UserError if it is none."""
    found = as_array(moved)
    if found.dtype.kind not in "fiu" or found.shape != theta.shape or not np.isfinite(found).all():
        shown = f"the shape {found.shape}" if found.shape != theta.shape else f"{moved!r}"
        raise UserError(
            f"{what} returned {shown}, must be the next θ: finite numbers, shape {theta.shape}"
        )
    return found.astype(np.float64)


def _mean(x: FloatArray) -> Estimate:
    """The mean of paired differences (R,), with the 95 % interval of Student (1908)."""
    value, se = float(x.mean()), float(x.std(ddof=1) / np.sqrt(x.size))
    half = float(special.stdtrit(x.size - 1, 0.975)) * se
    return Estimate(value, se, value - half, value + half)


def _p(difference: Estimate, runs: int) -> float:
    """Two-sided p-value of no difference, Student's."""
    if difference.se == 0:
        return float(difference.value == 0)
    return float(2 * special.stdtr(runs - 1, -abs(difference.value) / difference.se))
