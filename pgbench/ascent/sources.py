"""Where an ascent's gradients come from: exact ones, an estimator's mean, or its estimates.

An estimator is asked for the estimates of many policies at once, by its record alone and unchanged.
A table estimator is shown m copies of the problem side by side, (m·S) states with their own π, V
and Q; a batch estimator is shown π (m, S, A), V (m, S), Q (m, S, A). One whose formula needs more
than that, or comes out different than for single policies, is asked policy by policy instead.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import FloatArray, IntArray
from pgbench.ascent.crowd import Crowd, FiniteCrowd
from pgbench.ascent.quadratic_crowd import QuadraticCrowd
from pgbench.estimators import BatchEstimator, Estimator, TableEstimator
from pgbench.exact.truth import Truth
from pgbench.policies import NotApplicable, Parameterised
from pgbench.problems import FiniteMDP, Problem
from pgbench.process.batch import Batch
from pgbench.process.process import Process
from pgbench.process.tables import Tables
from pgbench.rollout.engines import Rollouts
from pgbench.rollout.simulator import Draws, Simulator, recorded


@dataclass(frozen=True, eq=False)
class Drawn:
    """Rollouts of a crowd.

    pair, slot (m, n, H) int32, as the kernel records them; steps (m, n) int64; mdp, what was
    simulated, and pi (m, S', A), how.
    """

    pair: NDArray[np.int32]
    slot: NDArray[np.int32]
    steps: IntArray
    mdp: FiniteMDP
    pi: FloatArray

    @property
    def cost(self) -> IntArray:
        """Environment steps of each replicate, (m,)."""
        return self.steps.sum(axis=1)


@dataclass(frozen=True)
class Numbers:
    """Which random numbers an ascent draws: horizon, seed, stream, and its first replicate."""

    horizon: int
    seed: int
    stream: int
    first: int = 0

    def at(self, k: int, purpose: str = "") -> int:
        """The stream of iteration k, an unsigned 64-bit integer."""
        text = f"{self.stream} ascent {self.first} {k} {purpose}".encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")

    def draw(
        self, mdp: FiniteMDP, pi: FloatArray, n: int, stream: int, horizon: int | None = None
    ) -> Drawn:
        """n rollouts of each of the policies π (m, S, A)."""
        from pgbench.kernels.finite import make_samplers, record

        m, horizon = len(pi), horizon or self.horizon
        pair, slot = np.empty((2, m, n, horizon), np.int32)
        steps = np.empty((m, n), np.int64)
        streams = Draws(horizon, n, m, self.seed, stream).streams
        record(make_samplers(mdp, pi), streams, 0, pair, slot, steps)
        return Drawn(pair, slot, steps, mdp, pi)


class Source(ABC):
    """Gradients of a crowd.

    Attributes
    ----------
    sampled
        Whether it takes rollouts, and so whether replicates differ.
    natural
        Whether it estimates the natural gradient.
    """

    sampled = True
    natural = False

    @abstractmethod
    def gradient(self, crowd: Crowd, k: int) -> tuple[FloatArray, IntArray]:
        """Estimates (m, d) at iteration k, and the environment steps they took (m,)."""


class ExactSource(Source):
    """∇J itself."""

    sampled = False

    def gradient(self, crowd: Crowd, k: int) -> tuple[FloatArray, IntArray]:
        """∇J (m, d) at no cost."""
        return crowd.gradient, np.zeros(crowd.m, np.int64)


@dataclass(eq=False)
class EstimatorSource(Source):
    """Gradients that come from an estimator.

    Parameters
    ----------
    mdp, policy
        The problem and the parameterisation.
    estimator, values
        The record and all of its parameters.
    numbers, batch_size
        Which rollouts, and how many per estimate.
    """

    mdp: Any
    policy: Any
    estimator: Any
    values: Mapping[str, Any]
    numbers: Numbers
    batch_size: int

    @property
    def natural(self) -> bool:  # type: ignore[override]
        """Whether it estimates the natural gradient."""
        return bool(self.estimator.target != "gradient")

    @cached_property
    def _probe(self) -> FiniteCrowd:
        """Two different policies."""
        thetas = np.stack([self.policy.initial(seed=s) for s in (1, 2)])
        return FiniteCrowd(self.mdp, self.policy, thetas)


class MeanSource(EstimatorSource):
    """The exact mean of an estimator; NotApplicable where it is not known."""

    estimator: Estimator
    sampled = False

    def gradient(self, crowd: Crowd, k: int) -> tuple[FloatArray, IntArray]:
        """E ĝ (m, d) at no cost."""
        out = np.full(crowd.theta.shape, np.nan)
        horizon = self.numbers.horizon
        for r in np.flatnonzero(crowd.good):
            truth = crowd.truth(int(r))
            mean = self.estimator.mean(truth, horizon, self.batch_size, **self.values)
            if mean is None:
                raise NotApplicable(f"the exact mean of {self.estimator.name} is not known")
            out[r] = mean
        return out, np.zeros(crowd.m, np.int64)


class _Unshared(Exception):
    """An estimator asked for something that only a single policy has."""


_NOT_FOR_MANY = (
    _Unshared,
    NotImplementedError,
    ValueError,
    IndexError,
    TypeError,
    AssertionError,
    AttributeError,
)
"""Whatever goes wrong with arrays of other shapes says that an estimator is not made for them."""


@dataclass(eq=False)
class _Several:
    """What an estimator sees of many policies at once; anything else raises ``_Unshared``."""

    mdp: FiniteMDP
    process: Process
    copies: int
    show: Callable[[str], FloatArray]
    used: set[str] = field(default_factory=set)

    def __getattr__(self, name: str) -> Any:
        if name not in ("pi", "v", "q", "advantage", "objective"):
            raise _Unshared(name)
        self.used.add(name)
        return self.show(name)


@dataclass(eq=False)
class TableSource(EstimatorSource):
    """Estimates by a table estimator."""

    estimator: TableEstimator
    _last: tuple[Crowd, Any] | None = None
    _unions: dict[int, FiniteMDP] = field(default_factory=dict)

    @cached_property
    def fixed(self) -> Tables | None:
        """The tables, if they depend on nothing but the problem."""
        some = self._several(self._probe)
        try:
            tables = self._make(some)
        except _NOT_FOR_MANY:
            return None
        if some.used or tables.process is not some.process:
            return None
        blank = Process(self.mdp, self._probe.pi[0])
        return self._make(_Several(self.mdp, blank, 1, lambda name: getattr(self._probe, name)[0]))

    @cached_property
    def together(self) -> bool:
        """Whether the tables of two policies at once are those of each of them."""
        try:
            tables = self._make(self._several(self._probe))
        except _NOT_FOR_MANY:
            return False
        if tables.process.mdp is not self._copies(2):
            return False
        for r in range(2):
            own = self.estimator.make(self._probe.truth(r), self.numbers.horizon, **self.values)
            part = slice(r * self.mdp.n_states, (r + 1) * self.mdp.n_states)
            pairs = [(tables.process.pi[part], own.process.pi)]
            for name in ("sigma", "kappa", "beta", "delta"):
                pairs.append((getattr(tables, name)[part], getattr(own, name)))
            if not all(np.array_equal(a, b) for a, b in pairs):
                return False
        return True

    def _make(self, some: _Several) -> Tables:
        return self.estimator.make(cast(Truth, some), self.numbers.horizon, **self.values)

    def _copies(self, m: int) -> FiniteMDP:
        if m not in self._unions:
            while len(self._unions) > 1:  # that of the whole crowd, and one of a part
                del self._unions[min(self._unions)]
            self._unions[m] = self.mdp.copies(m)
        return self._unions[m]

    def _several(self, crowd: Any) -> _Several:
        mdp = self._copies(crowd.m)
        if crowd.entropy:
            bonus = crowd.bonus.reshape(-1, mdp.n_actions, 1)
            mdp = mdp.paying(mdp.reward + bonus)

        def show(name: str) -> FloatArray:
            table = getattr(crowd, name)
            if table.ndim > 1:
                return _merged(table)
            # J is the same in all states of a copy: a column, as any other baseline may be.
            return np.repeat(table, self.mdp.n_states)[:, None]

        return _Several(mdp, Process(mdp, _merged(crowd.pi)), crowd.m, show)

    def _tables(self, crowd: Any) -> "_Stack":
        """Tables of every replicate; those of the last crowd are remembered."""
        if self._last is None or self._last[0] is not crowd:
            self._last = crowd, self._stack(crowd)
        stack: _Stack = self._last[1]
        return stack

    def _stack(self, crowd: Any) -> "_Stack":
        if self.fixed is not None and not crowd.entropy:
            return _Stack.of([self.fixed], self.mdp, crowd.pi)
        if self.together:
            tables = self._make(self._several(crowd))
            pi = tables.process.pi.reshape(crowd.pi.shape)
            return _Stack.of([tables], self.mdp, pi, crowd.m)
        # For a policy without finite values those of another one stand in: nothing is made of them.
        able = np.where(crowd.good, np.arange(crowd.m), crowd.good.argmax())
        made = {
            int(r): self.estimator.make(crowd.truth(int(r)), self.numbers.horizon, **self.values)
            for r in np.unique(able)
        }
        own = [made[int(r)] for r in able]
        return _Stack.of(own, own[0].process.mdp, np.stack([t.process.pi for t in own]))

    def draw(self, crowd: Any, k: int, n: int | None = None, purpose: str = "") -> Drawn:
        """n rollouts, by default a batch, of what the estimator simulates."""
        stack = self._tables(crowd)
        horizon = stack.tables.process.steps(self.numbers.horizon)
        stream = self.numbers.at(k, purpose)
        return self.numbers.draw(stack.mdp, stack.pi, n or self.batch_size, stream, horizon)

    def weighed(self, crowd: Any, drawn: Drawn, factor: FloatArray | None = None) -> FloatArray:
        """Estimates (m, d) at the crowd's θ from rollouts, each counted ``factor`` (m, n) times."""
        from pgbench.kernels.crowd import weigh

        stack = self._tables(crowd)
        m, n, _ = drawn.pair.shape
        n_states, A = stack.mdp.n_states, stack.mdp.n_actions
        weights = np.empty((m, n_states * A))
        factor = np.ones((m, n)) if factor is None else factor
        arrays = stack.sigma, stack.kappa, stack.beta, stack.delta
        weigh(drawn.pair, drawn.slot, drawn.steps, *arrays, stack.tables.total, factor, weights)
        scored = weights.reshape(m, n_states, A)[:, stack.tables.process.scored]
        g = self.policy.each_pull_back(crowd.theta, scored)
        if self.fixed is None:
            g[~crowd.good] = np.nan
        return g

    def gradient(self, crowd: Any, k: int) -> tuple[FloatArray, IntArray]:
        """Estimates (m, d) and their environment steps (m,); NaN where they need unknown values."""
        if self.fixed is None and not crowd.good.any():
            return np.full(crowd.theta.shape, np.nan), np.zeros(crowd.m, np.int64)
        drawn = self.draw(crowd, k)
        return self.weighed(crowd, drawn), drawn.cost

    @cached_property
    def on_policy(self) -> bool:
        """Whether what is simulated is the problem under the policy itself."""
        stack = self._stack(self._probe)
        return stack.mdp is self.mdp and np.array_equal(stack.pi, self._probe.pi)


@dataclass(frozen=True, eq=False)
class _Stack:
    """Tables of a crowd as the kernel takes them: (1, n) where all share them, else (m, n)."""

    tables: Tables
    mdp: FiniteMDP
    pi: FloatArray
    sigma: FloatArray
    kappa: FloatArray
    beta: FloatArray
    delta: FloatArray

    @classmethod
    def of(cls, tables: list[Tables], mdp: FiniteMDP, pi: FloatArray, copies: int = 1) -> "_Stack":
        rows = max(len(tables), copies)

        def flat(name: str) -> FloatArray:
            return np.stack([getattr(t, name) for t in tables]).reshape(rows, -1)

        return cls(tables[0], mdp, pi, *map(flat, ("sigma", "kappa", "beta", "delta")))


@dataclass
class _CrowdSimulator(Simulator):
    """A simulator of a replicate per policy, for estimators that can do with that."""

    crowd: Any = None
    numbers: Numbers = None  # type: ignore[assignment]

    def _simulate(self, purpose: str, n: int, process: Process) -> Batch:
        horizon = process.steps(self.horizon)
        drawn = self.numbers.draw(process.mdp, process.pi, n, self.stream(purpose), horizon)
        size = process.mdp.n_states * process.mdp.n_actions
        pair = drawn.pair % size
        slot = drawn.slot % (size * process.mdp.branching)
        return recorded(process, pair, slot, drawn.steps)

    def pull_back(self, tables: FloatArray) -> FloatArray:
        if tables.shape != self.crowd.pi.shape:
            raise _Unshared("pull_back")
        return self.crowd.policy.each_pull_back(self.crowd.theta, tables)

    def generator(self, purpose: str) -> np.random.Generator:
        raise _Unshared("generator")

    def driven(self, uniforms: FloatArray, pi: FloatArray | None = None) -> Batch:
        raise _Unshared("driven")

    def part(self, replicates: slice) -> Simulator:
        raise _Unshared("part")


class BatchSource(EstimatorSource):
    """Estimates by a batch estimator."""

    estimator: BatchEstimator

    @cached_property
    def together(self) -> bool:
        """Whether the estimates for two policies at once are those for each of them."""
        single, _ = self._one_by_one(self._probe, 0)
        try:
            both, _ = self._together(self._probe, 0)
        except _NOT_FOR_MANY:
            return False
        return both.shape == single.shape and np.allclose(both, single, rtol=1e-9, atol=1e-12)

    def gradient(self, crowd: Any, k: int) -> tuple[FloatArray, IntArray]:
        """Estimates (m, d) and their environment steps (m,)."""
        if self.together and not crowd.entropy:
            return self._together(crowd, k)
        return self._one_by_one(crowd, k)

    def _draws(self, crowd: Any, k: int) -> Draws:
        numbers = self.numbers
        return Draws(numbers.horizon, self.batch_size, crowd.m, numbers.seed, numbers.at(k))

    def _together(self, crowd: Any, k: int) -> tuple[FloatArray, IntArray]:
        several = _Several(
            self.mdp, Process(self.mdp, crowd.pi), crowd.m, lambda name: getattr(crowd, name)
        )
        simulator = _CrowdSimulator(
            cast(Truth, several),
            self._draws(crowd, k),
            0,
            crowd.m,
            crowd=crowd,
            numbers=self.numbers,
        )
        estimates = np.asarray(self.estimator.estimate(simulator, **self.values), np.float64)
        return estimates, simulator.steps

    def _one_by_one(self, crowd: Any, k: int) -> tuple[FloatArray, IntArray]:
        out, steps = np.full(crowd.theta.shape, np.nan), np.zeros(crowd.m, np.int64)
        draws = self._draws(crowd, k)
        for r in np.flatnonzero(crowd.good):
            simulator = Simulator(crowd.truth(int(r)), draws, int(r), 1)
            out[r] = np.asarray(self.estimator.estimate(simulator, **self.values))[0]
            steps[r] = simulator.steps[0]
        return out, steps


def _merged(table: FloatArray) -> FloatArray:
    """(m, S, ...) as (m·S, ...)."""
    return np.ascontiguousarray(table).reshape(-1, *table.shape[2:])


class QuadraticSource(EstimatorSource):
    """Estimates on linear-quadratic problems.

    A table estimator is asked for the forms of all policies at once, which are then simulated
    together; a batch estimator is asked policy by policy.
    """

    estimator: Estimator

    def gradient(self, crowd: Any, k: int) -> tuple[FloatArray, IntArray]:
        """Estimates (m, d) and their environment steps (m,); NaN without finite values."""
        out, steps = np.full(crowd.theta.shape, np.nan), np.zeros(crowd.m, np.int64)
        numbers, n = self.numbers, self.batch_size
        draws = Draws(numbers.horizon, n, crowd.m, numbers.seed, numbers.at(k))
        if not crowd.good.any():
            return out, steps
        if isinstance(self.estimator, TableEstimator):
            out[crowd.good] = self._together(crowd, draws)[crowd.good]
            steps[crowd.good] = numbers.horizon * n
            return out, steps
        assert isinstance(self.estimator, BatchEstimator)
        for r in np.flatnonzero(crowd.good):
            simulator = Simulator(crowd.truth(int(r)), draws, int(r), 1)
            estimate = np.asarray(self.estimator.estimate(simulator, **self.values))[0]
            out[r] = np.where(np.isfinite(estimate).all(), estimate, np.nan)
            steps[r] = simulator.steps[0]
        return out, steps

    def _together(self, crowd: QuadraticCrowd, draws: Draws) -> FloatArray:
        """Estimates (m, d) by forms; another policy stands in where there are no finite values."""
        assert isinstance(self.estimator, TableEstimator)
        truth = crowd.stand_ins
        rollouts = Rollouts([self.estimator.make(truth, draws.horizon, **self.values)])
        weights = next(rollouts.weights(draws, memory_bytes=2**62)).weights[:, 0]
        return truth.policy.pull_back(truth.theta, weights)


def make_source(
    mdp: Problem,
    policy: Parameterised,
    estimator: Estimator | None,
    values: Mapping[str, Any],
    numbers: Numbers,
    batch_size: int,
    *,
    expected: bool = False,
) -> Source:
    """The source of an estimator's estimates, or of ∇J where there is none.

    ``expected`` asks for the estimator's exact mean in place of its estimates.
    """
    if estimator is None:
        return ExactSource()
    estimator.require(mdp)
    if not expected and (reason := estimator.refuses(batch_size)):
        raise NotApplicable(reason)
    kind: type[EstimatorSource] = BatchSource
    if expected:
        kind = MeanSource
    elif not isinstance(mdp, FiniteMDP):
        kind = QuadraticSource
    elif isinstance(estimator, TableEstimator):
        kind = TableSource
    return kind(mdp, policy, estimator, estimator.bound(**values), numbers, batch_size)
