"""What a batch estimator may ask for: trajectories and random numbers, with every step counted.

Replicates come in blocks whose size depends on nothing but the problem and the batch size, so
numbers depend neither on threads nor on memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import singledispatch
from hashlib import blake2b
from math import prod
from typing import Any, TypeVar

import numpy as np

from pgbench.arrays import BoolArray, FloatArray, IntArray, SmallIntArray
from pgbench.exact.truth import Truth
from pgbench.policies import NotApplicable
from pgbench.process.batch import Batch, QuadraticBatch
from pgbench.process.process import GaussianProcess, Process

T = TypeVar("T")

BLOCK = 16
"""Replicates are simulated in multiples of so many."""

BLOCK_NUMBERS = 2**20
"""A block has so many replicates that its largest array has about this many numbers, or 16."""

AGAIN = "again"
"""Purposes that begin so are further batches that an estimate is made of."""

RECORDED = 2**26
"""Most steps, or state and action entries of steps, that are held at a time: some 6 GiB."""


@dataclass(frozen=True)
class Draws:
    """Which trajectories are drawn, and how they are grouped to estimates.

    horizon, batch_size, replicates
        Steps per trajectory at most, trajectories per estimate, independent estimates.
    seed, stream
        Two unsigned 64-bit integers that name the random streams.
    first
        Index of the first estimate, a multiple of 16: what precedes it is drawn elsewhere.
    group_size
        Consecutive trajectories of an estimate that share their start, of which the batch size is a
        multiple; None where every trajectory has a start of its own.

    Raises
    ------
    NotApplicable
        If the batch size is no multiple of the group's.
    """

    horizon: int
    batch_size: int
    replicates: int
    seed: int
    stream: int
    first: int = 0
    group_size: int | None = None

    def __post_init__(self) -> None:
        if self.group_size and self.batch_size % self.group_size:
            raise NotApplicable(
                f"batch_size is {self.batch_size}, must be a multiple of group_size,"
                f" {self.group_size}"
            )

    @property
    def end(self) -> int:
        """Index of the last estimate and one."""
        return self.first + self.replicates

    @property
    def streams(self) -> Any:
        """The streams as the kernels take them."""
        from pgbench.kernels.streams import Streams

        seed, stream = np.uint64(self.seed), np.uint64(self.stream)
        return Streams(seed, stream, self.batch_size, self.group_size or 1)


@dataclass
class Simulator:
    """A block of m replicates of one estimator.

    Attributes
    ----------
    truth
        Problem, policy, θ, and everything exact about them; its process is what is simulated.
    draws
        Horizon, batch size, number of all replicates, and names of the random streams.
    first, m
        Index of the block's first replicate, and how many it has.
    steps
        (m,) int64, environment steps drawn so far.
    shared
        Batches of this block by purpose and size: all estimators see the same ones.
    kept
        What ``once`` made, by name, for all blocks of one estimator.
    """

    truth: Truth
    draws: Draws
    first: int
    m: int
    steps: IntArray = field(init=False)
    shared: dict[Any, Any] = field(default_factory=dict, repr=False)
    kept: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.steps = np.zeros(self.m, np.int64)

    @property
    def horizon(self) -> int:
        """Steps of a trajectory at most."""
        return self.draws.horizon

    @property
    def n(self) -> int:
        """Batch size: trajectories per estimate."""
        return self.draws.batch_size

    @property
    def group_size(self) -> int:
        """Trajectories of a group, which share their start; all of a batch without groups."""
        return self.draws.group_size or self.n

    def batch(
        self,
        purpose: str = "",
        n: int | None = None,
        process: Any = None,
        *,
        taken: BoolArray | None = None,
    ) -> Any:
        """n trajectories of each replicate, by default the batch that the estimate is made of.

        Parameters
        ----------
        purpose
            Names independent trajectories, such as those that a critic is trained on. Without it
            these are the very trajectories that table estimators see.
        n
            How many, by default the batch size.
        process
            What is simulated, by default what data come from.
        taken
            (m,) bool, which replicates take them, by default all; the steps of the others are not
            counted.
        """
        process, n = process or self.truth.process, n or self.n
        batch = self._drawn(purpose, n, process)
        steps = batch.lengths.sum(axis=1)
        self.steps += steps if taken is None else np.where(taken, steps, 0)
        return batch

    def _drawn(self, purpose: str, n: int, process: Any) -> Any:
        batch = self.shared.get((purpose, n))
        if batch is None or not batch.process.same_as(process):
            self.shared[purpose, n] = batch = self._simulate(purpose, n, process)
        return batch

    def _simulate(self, purpose: str, n: int, process: Any) -> Any:
        return _simulated(process, self, purpose, n)

    def drawn(self, purpose: str, n: int) -> Draws:
        """The draws of n trajectories of each replicate for a purpose.

        In groups come those that an estimate is made of, at first or ``AGAIN``.
        """
        made = n == self.n and (not purpose or purpose.startswith(AGAIN))
        grouped = self.draws.group_size if made else None
        stream = self.stream(purpose)
        return replace(self.draws, batch_size=n, stream=stream, group_size=grouped)

    def require_held(self, n: int, length: int, entries: int = 1) -> None:
        """ValueError where n trajectories of so many steps of each replicate are too many."""
        needed = self.m * n * length * entries
        if needed > RECORDED:
            each = f" of {entries} numbers" if entries > 1 else ""
            raise ValueError(
                f"horizon is {self.horizon}: {n} trajectories of up to {length} steps{each}, for"
                f" {self.m} replicates at a time, are {needed} to hold, at most {RECORDED} are;"
                " take a shorter horizon, fewer trajectories or a table estimator"
            )

    def driven(self, uniforms: FloatArray, pi: FloatArray | None = None) -> Batch:
        """Rollouts of several policies driven by given numbers, through inverse distributions.

        Parameters
        ----------
        uniforms
            (m, k or 1, n, 2H + 1) float64 in [0, 1]; the same for all policies where the second
            size is 1. The first number picks the start, then two each step's action and slot.
        pi
            (m or 1, k, S, A) float64, k policies of each replicate; by default what data come from.

        Returns
        -------
        Batch
            Of m·k replicates, each n rollouts of one policy.

        Raises
        ------
        NotApplicable
            If estimates are to be made of groups.
        """
        if self.draws.group_size:
            raise NotApplicable("rollouts that are driven by given numbers come in no groups")
        from pgbench.kernels.driven import cumulative, driven

        mdp = self.truth.mdp
        if pi is None:
            own = self.truth.process.pi
            pi = own[None, None] if own.ndim == 2 else own[:, None]
        k, n = pi.shape[1], uniforms.shape[2]
        self.require_held(k * n, self.horizon)
        replicate, number, rollout = np.indices((self.m, k, n)).reshape(3, -1)
        policy = (replicate * k + number) if len(pi) > 1 else number
        rows = uniforms.shape[1]
        row = (replicate * rows + (number if rows > 1 else 0)) * n + rollout
        pair, slot = np.empty((2, row.size, self.horizon), np.int32)
        steps = np.empty(row.size, np.int64)
        start, moves = self.truth.process.distributions
        driven(
            start,
            cumulative(pi).reshape(-1, *pi.shape[2:]),
            moves,
            mdp.successor,
            mdp.terminal,
            policy,
            row,
            np.ascontiguousarray(uniforms).reshape(-1, uniforms.shape[3]),
            pair,
            slot,
            steps,
        )
        self.steps += steps.reshape(self.m, -1).sum(axis=1)
        shape = (self.m * k, n)
        pair, slot = pair.reshape(*shape, -1), slot.reshape(*shape, -1)
        return recorded(self.truth.process, pair, slot, steps.reshape(shape))

    def part(self, replicates: slice) -> "Simulator":
        """A simulator of some of the replicates, which counts its own steps."""
        m = len(range(*replicates.indices(self.m)))
        first = self.first + replicates.start
        return Simulator(self.truth, self.draws, first, m, kept=self.kept)

    def uniforms(self, purpose: str, *shape: int) -> FloatArray:
        """Numbers (m, ..., 2H + 1) that drive rollouts."""
        self.require_held(prod(shape), self.horizon)
        return self.random_numbers(
            purpose, lambda rng, m: rng.random((m, *shape, 2 * self.horizon + 1))
        )

    def random_numbers(self, purpose: str, draw: Callable[[np.random.Generator, int], T]) -> T:
        """``draw(generator, m)``: random numbers of every replicate, these as first axis.

        Parameters
        ----------
        purpose
            Names independent numbers.
        draw
            Draws those of m replicates at once from a generator.
        """
        return draw(self.generator(purpose), self.m)

    def stream(self, purpose: str) -> int:
        """The stream of a purpose; the draws' own where it is empty."""
        if not purpose:
            return self.draws.stream
        text = f"{self.draws.stream} {purpose}".encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")

    def generator(self, purpose: str) -> np.random.Generator:
        """Random numbers of this block for a purpose that is no rollout."""
        key = [self.draws.seed, self.stream(purpose)]
        counter = [0, 0, self.first, self.draws.batch_size]
        return np.random.Generator(
            np.random.Philox(key=np.array(key, np.uint64), counter=np.array(counter, np.uint64))
        )

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What depends on no replicate, made once for all blocks."""
        if name not in self.kept:
            self.kept[name] = make()
        value: T = self.kept[name]
        return value

    def pull_back(self, tables: FloatArray) -> FloatArray:
        """Σ_{s,a} W(s,a) ∇_θ log π(s,a), shape (..., d), of weight tables (..., S, A)."""
        return np.asarray(self.truth.policy.pull_back(self.truth.theta, tables), np.float64)

    def pull_back_each(self, tables: FloatArray) -> FloatArray:
        """Pull-backs (m, n, d) of weight tables (m·n, S, A), n of each replicate."""
        # Of all at once: as m products of matrices the last digits would be others.
        gradients = self.pull_back(tables)
        return gradients.reshape(self.m, -1, gradients.shape[-1])


@singledispatch
def _simulated(process: Any, simulator: Simulator, purpose: str, n: int) -> Any:
    """A batch of n trajectories of each replicate."""
    raise NotImplementedError(f"no batches are known of a {type(process).__name__}")


@_simulated.register
def _(process: Process, simulator: Simulator, purpose: str, n: int) -> Batch:
    from pgbench.kernels.finite import count_steps, record

    m, first, horizon = simulator.m, simulator.first, process.steps(simulator.horizon)
    streams, steps = simulator.drawn(purpose, n).streams, np.empty((m, n), np.int64)
    if m * n * horizon > RECORDED:
        count_steps(process.sampler, streams, first, horizon, steps)
        horizon = max(int(steps.max()), 1)
        simulator.require_held(n, horizon)
    pair, slot = np.empty((2, m, n, horizon), np.int32)
    record(process.sampler, streams, first, pair, slot, steps)
    return recorded(process, pair, slot, steps)


@_simulated.register
def _(process: GaussianProcess, simulator: Simulator, purpose: str, n: int) -> QuadraticBatch:
    from pgbench.kernels.linear_quadratic import record

    m, horizon = simulator.m, simulator.horizon
    simulator.require_held(n, horizon, process.entries)
    z = np.empty((m, n, horizon + 1, process.columns))
    noise, ratios = np.empty((m, n, horizon, process.mdp.m)), np.empty((m, n, horizon))
    streams = simulator.drawn(purpose, n).streams
    record(process.sampler, streams, simulator.first, z, noise, ratios)
    return QuadraticBatch(process, z, noise, ratios)


def recorded(process: Process, pair: SmallIntArray, slot: SmallIntArray, steps: IntArray) -> Batch:
    """A batch from flat indices (s, a) and (s, a, k), each (m, n, T), and lengths (m, n).

    Where every policy is paid differently each has a replicate or several.
    """
    longest = max(int(steps.max(initial=0)), 1)
    pairs, slots = (np.ascontiguousarray(array[:, :, :longest]) for array in (pair, slot))
    if (steps < longest).any():
        mask = np.arange(longest) < steps[:, :, None]
        pairs, slots = (np.where(mask, array, np.int32(0)) for array in (pairs, slots))
    policies, reward = np.zeros(steps.shape, np.int64), process.mdp.reward
    if reward.ndim > 3:
        policies += (np.arange(len(steps)) * len(reward) // len(steps))[:, None]
    return Batch(process, pairs, slots, steps, policies)


def blocks(truth: Truth, draws: Draws) -> Iterator[tuple[int, int]]:
    """First replicate and number of replicates of every block."""
    process, n = truth.process, draws.batch_size
    largest = max(truth.pi.size, n * min(draws.horizon, 1000) * process.entries)
    size = BLOCK * max(1, BLOCK_NUMBERS // (BLOCK * largest))
    if not process.ends:
        # Every trajectory is as long as the horizon.
        size = min(size, max(1, RECORDED // (n * draws.horizon * process.entries)))
    for first in range(draws.first, draws.end, size):
        yield first, min(size, draws.end - first)
