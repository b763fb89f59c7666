"""One ascent: all replicates of an algorithm from θ_0, scored exactly at logged iterates.

A replicate whose θ ceases to be finite, or whose policy has no finite value any more, has diverged:
it stays where it was and is scored no further. That is an outcome, not an error.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.ascent.algorithm import Algorithm, Context, Method, Online, StepRule
from pgbench.ascent.crowd import Crowd, FiniteCrowd, gather
from pgbench.ascent.goal import Goal
from pgbench.ascent.sources import Numbers, Source
from pgbench.objectives import Objective
from pgbench.policies import Parameterised
from pgbench.problems import Problem
from pgbench.samplers.sampler import Drawn


@dataclass(frozen=True, eq=False)
class Trace:
    """What an ascent left behind: m replicates at L logged iterates.

    Attributes
    ----------
    steps
        (L,) int64, numbers of updates at which iterates were logged, 0 first.
    objective
        (m, L) exact J(θ_k), unit reward; NaN from divergence on, as everything else.
    gradient_norm
        (m, L) ‖∇J(θ_k)‖.
    error_squared
        (m, L) ‖ĝ_k - ∇J(θ_k)‖² of the estimate that is followed, or against the natural gradient
        where that is estimated; NaN at the last iterate and where there is no estimate.
    signal_squared
        (m, L) the squared norm of what is estimated.
    cosine
        (m, L) of the estimate that is followed with what is estimated, at the same iterate.
    gradient_floor
        (m, L) what ‖∇J(θ_k)‖ is at least by gradient domination, for tabular softmax.
    optimal_probability
        (L,) of a single exact run: the least π(a*(s) | s) over all iterates so far; NaN otherwise.
    entropy
        (m, L) mean entropy of π(s, ·) over visited states, in nats.
    unseen
        (m, L) number of visited states in which actions of probability 0 have a say in ∇J. Exact
        gradients hold it; sampled ones follow what the other actions bring, less its mean over all.
    distance
        (m, L) probability of an action that is not optimal, over visited states.
    length
        (m, L) mean number of steps of an episode of π(θ_k); NaN where rewards are discounted.
    success
        (m, L) chance that it ends in success; NaN where the problem has no verifier.
    environment_steps
        (m, L) taken up to the iterate.
    stopped
        (m,) int64, the update in which the replicate diverged, or -1.
    stable
        (m,) bool, whether the last finite θ lies where policies are stable; finite problems have no
        other.
    seconds
        Wall time per update of one replicate, scoring left out.
    start, theta
        θ_0 (d,), and the last finite θ (m, d).
    path
        (m, L, d) θ_k where d is at most ``PATH_PARAMETERS``, else (m, L, 0); NaN from divergence
        on.
    """

    steps: IntArray
    objective: FloatArray
    gradient_norm: FloatArray
    error_squared: FloatArray
    signal_squared: FloatArray
    cosine: FloatArray
    gradient_floor: FloatArray
    optimal_probability: FloatArray
    entropy: FloatArray
    unseen: FloatArray
    distance: FloatArray
    length: FloatArray
    success: FloatArray
    environment_steps: FloatArray
    stopped: IntArray
    stable: BoolArray
    seconds: float
    start: FloatArray
    theta: FloatArray
    path: FloatArray


STEPS_AND_SLOTS = 2**24
"""Steps of rollouts and slots of problems that a group of replicates holds, 8 bytes each."""

SCORES = (
    "objective",
    "gradient_norm",
    "gradient_floor",
    "error_squared",
    "signal_squared",
    "cosine",
    "entropy",
    "unseen",
    "distance",
    "length",
    "success",
)


PATH_PARAMETERS = 4
"""Largest d whose θ is logged along with its scores."""


def logged_steps(steps: int, points: int) -> IntArray:
    """0, and at most ``points`` numbers spread evenly on a logarithmic scale up to ``steps``."""
    spread = np.geomspace(1, steps, points)
    return np.unique(np.concatenate([[0], np.round(spread).astype(np.int64)]))


def climb(
    mdp: Problem,
    policy: Parameterised,
    theta: FloatArray,
    algorithm: Algorithm,
    values: dict[str, Any],
    source: Callable[[Numbers], Source],
    rule: StepRule,
    goal: Goal,
    *,
    numbers: Numbers,
    batch_size: int,
    replicates: int,
    steps: int,
    points: int = 40,
    objective: Objective | None = None,
    sampler: Drawn | None = None,
) -> Trace:
    """Run an ascent.

    Parameters
    ----------
    mdp, policy, theta
        Problem, parameterisation and θ_0 (d,), the same for all replicates.
    algorithm, values
        The record and its parameters.
    source, rule
        ``source(numbers)`` says where gradients come from; the rule for step sizes.
    goal
        What iterates are compared with.
    numbers
        Horizon and random streams.
    batch_size, replicates, steps
        Rollouts per update, runs, updates of each; one run where nothing is sampled.
    points
        How many iterates are logged, about.
    objective
        What is maximised, and what iterates are scored with: J where it is not given.
    sampler
        What draws the data at every iterate; the policy itself where it is not given.

    Replicates run together, or in groups of a size that hangs on nothing but the problem and the
    batch, so that rollouts of no more than ``STEPS_AND_SLOTS`` steps are held at a time.

    Raises
    ------
    NotApplicable
        Where the combination makes no sense.
    """
    if sampler is not None:
        sampler.sampler.require(mdp)
    log = logged_steps(steps, points)
    if not (source(numbers).sampled or not algorithm.estimates):
        replicates = 1
    group = max(1, STEPS_AND_SLOTS // (batch_size * numbers.horizon + mdp.numbers))
    traces = []
    for first in range(0, replicates, group):
        m = min(group, replicates - first)
        own = replace(numbers, first=first)
        at = source(own)
        context = Context(mdp, policy, at, own, batch_size, m, rule, objective, sampler)
        at.require_data(context.elsewhere)
        method = algorithm.make(context, **values)
        traces.append(_Climb(context, method, np.tile(theta, (m, 1)), goal, log).run())
    return traces[0] if len(traces) == 1 else _joined(traces)


def _joined(traces: list[Trace]) -> Trace:
    """The replicates of several groups one after another."""
    names = (*SCORES, "environment_steps", "stopped", "stable", "theta", "path")
    arrays = {name: np.concatenate([getattr(t, name) for t in traces]) for name in names}
    weights = [t.stopped.size for t in traces]
    seconds = float(np.average([t.seconds for t in traces], weights=weights))
    return replace(traces[0], seconds=seconds, **arrays)


class _Climb:
    """The loop and its state."""

    def __init__(
        self,
        context: Context,
        method: "Method | Online",
        theta: FloatArray,
        goal: Goal,
        log: IntArray,
    ) -> None:
        self.context, self.method, self.goal, self.log = context, method, goal, log
        self.theta, self.start = theta, theta[0].copy()
        m = len(theta)
        self.stopped = np.full(m, -1)
        self.taken = np.zeros(m, np.int64)
        self.scores = {name: np.full((m, log.size), np.nan) for name in SCORES}
        self.steps_taken = np.full((m, log.size), np.nan)
        d = theta.shape[1]
        self.path = np.full((m, log.size, d if d <= PATH_PARAMETERS else 0), np.nan)
        self.exact = m == 1 and not context.source.sampled
        self.least, self.leasts = np.inf, np.full(log.size, np.nan)
        lag = context.sampler.lag if context.sampler else 0
        self.past: deque[FloatArray] = deque(maxlen=lag + 1)

    def run(self) -> Trace:
        """Climb from the first logged iterate to the last."""
        from pgbench.kernels.compiling import Stopwatch

        spent = 0.0
        with np.errstate(all="ignore"):  # what overflows is an outcome
            for place, first in enumerate(self.log):
                crowd = self._score(place, int(first))
                if place + 1 < self.log.size and (self.stopped < 0).any():
                    watch = Stopwatch()
                    self._advance(crowd, place, int(first), int(self.log[place + 1]))
                    spent += watch.seconds
        return Trace(
            steps=self.log,
            environment_steps=self.steps_taken,
            optimal_probability=self.leasts,
            stopped=self.stopped,
            stable=self._crowd().stable,
            seconds=spent / (int(self.log[-1]) * len(self.theta)),
            start=self.start,
            theta=self.theta,
            path=self.path,
            **self.scores,
        )

    def _crowd(self, entropy: float = 0.0) -> Crowd:
        about, theta = self.context, self.theta.copy()
        crowd: Crowd = gather(about.mdp, about.policy, theta, entropy, about.objective)
        return crowd

    def _score(self, place: int, k: int) -> Crowd:
        """Score the iterates; a policy without a finite value has diverged."""
        crowd = self._crowd()
        good = crowd.good & np.isfinite(crowd.objective)
        self.stopped[(self.stopped < 0) & ~good] = k
        alive = self.stopped < 0
        for name, value in self.goal.scores(crowd).items():
            self.scores[name][alive, place] = value[alive]
        self.steps_taken[alive, place] = self.taken[alive]
        if self.path.size:
            self.path[alive, place] = self.theta[alive]
        self._watch(crowd)
        if self.exact:
            self.leasts[place] = self.least
        return crowd

    def _watch(self, crowd: Crowd) -> None:
        """Note how unlikely optimal actions ever became in an exact run."""
        if self.exact:
            self.least = min(self.least, float(self.goal.optimal_probability(crowd)[0]))

    def _advance(self, crowd: Crowd, place: int, first: int, last: int) -> None:
        if isinstance(self.method, Online):
            self.taken += self.method.advance(self.theta, self.stopped, first, last)
            return
        for k in range(first, last):
            own = crowd
            if k > first or self.method.entropy:
                own = self._crowd(self.method.entropy)
                self._watch(own)
            own = self._with_data(own)
            move = self.method.move(own, k)
            if k == first:
                self._compare(own, move.estimate, place)
            self.taken += np.where(self.stopped < 0, move.cost, 0)
            scale = self.context.rule.scales(self.context, own, move.direction, k)
            new = self.theta + scale[:, None] * move.direction
            bad = (self.stopped < 0) & ~np.isfinite(new).all(axis=1)
            self.stopped[bad] = k
            moving = self.stopped < 0
            if not moving.any():
                return
            self.theta[moving] = self.context.policy.retract(new[moving])

    def _with_data(self, crowd: Crowd) -> Crowd:
        """The crowd with data from the sampler, at this iterate or at an earlier one."""
        sampler = self.context.sampler
        if sampler is None:
            return crowd
        assert isinstance(crowd, FiniteCrowd)
        if sampler.lag:
            self.past.append(self.theta.copy())
            return crowd.drawn_from(crowd.policy.each_probabilities(self.past[0]))
        tables = sampler.tables(crowd.truths)
        return crowd.drawn_from(np.where(crowd.good[:, None, None], tables, crowd.pi))

    def _compare(self, crowd: Crowd, estimate: FloatArray, place: int) -> None:
        """Note how far estimates are from what they estimate."""
        truth = crowd.gradient
        if self.context.source.natural:
            truth = crowd.natural(truth)
        alive = self.stopped < 0
        error = np.sum((estimate - truth) ** 2, axis=1)
        self.scores["error_squared"][alive, place] = error[alive]
        signal, length = np.sum(truth**2, axis=1), np.sum(estimate**2, axis=1)
        self.scores["signal_squared"][alive, place] = signal[alive]
        cosine = np.sum(estimate * truth, axis=1) / np.sqrt(signal * length)
        self.scores["cosine"][alive, place] = cosine[alive]
