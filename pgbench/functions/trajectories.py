"""Many batches at once: replicates of the very trajectories that all estimators see."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.declared.claims import Claims
from pgbench.functions.batch import UserBatch
from pgbench.functions.place import Place
from pgbench.process.batch import Batch
from pgbench.rollout.enumeration import Enumerator
from pgbench.rollout.simulator import Simulator, blocks

AT_ONCE = 2**25
"""Most numbers of an array of many batches that is handed to a function at once."""


@dataclass(frozen=True)
class Trajectories:
    """All batches of a place at a batch size.

    place, batch_size, seed
        Where they come from, trajectories of a batch, and the seed of the random streams.
    states, actions, next_states, rewards, mask
        (R, N, T), as of ``UserBatch``.
    first
        Number of the first batch among all replicates, for its random numbers.
    dtype, leading
        Format of the floats of every batch, and whether a batch has one axis more in front.
    """

    place: Place
    batch_size: int
    seed: int
    states: IntArray
    actions: IntArray
    next_states: IntArray
    rewards: FloatArray
    mask: BoolArray
    first: int = 0
    dtype: str = "float64"
    leading: bool = False

    def claimed(self, claims: Claims) -> "Trajectories":
        """The same in the shape and format that a function claims to take."""
        return replace(self, dtype=claims.dtype, leading=claims.vectorised)

    @property
    def replicates(self) -> int:
        """Number R of batches."""
        return len(self.states)

    @property
    def steps(self) -> IntArray:
        """Environment steps of each batch, (R,)."""
        return np.asarray(self.mask.sum(axis=(1, 2)))

    def only(self, rows: IntArray | slice) -> "Trajectories":
        """The chosen batches alone; of a slice each has the random numbers that it has here."""
        names = ("states", "actions", "next_states", "rewards", "mask")
        first = self.first + (rows.start or 0) if isinstance(rows, slice) else self.first
        arrays = {name: getattr(self, name)[rows] for name in names}
        return replace(self, first=first, **arrays)

    def __getitem__(self, r: int) -> UserBatch:
        """Batch r; made anew each time, with its random numbers set back."""
        key = (self.seed, self.place.stream, self.batch_size, self.first + r)
        chosen = slice(r, r + 1) if self.leading else r
        return UserBatch(self, chosen, np.random.default_rng(key), self.dtype)

    def parts(self) -> Iterator["Trajectories"]:
        """The batches in parts whose scores fit in 256 MiB each."""
        size = self.mask[0].size * self.place.truth.theta.size
        n = max(1, AT_ONCE // size)
        for begin in range(0, self.replicates, n):
            yield self.only(slice(begin, begin + n))

    def at_once(self, seed: int = 0) -> UserBatch:
        """All batches in one whose arrays have one axis more in front, (R, N, ...)."""
        return UserBatch(self, slice(None), np.random.default_rng(seed), self.dtype)

    @property
    def group_size(self) -> int:
        """G; N where all trajectories are independent."""
        return self.place.group_size or self.batch_size

    @cached_property
    def group(self) -> IntArray:
        """Number of the group of every trajectory of a batch, (N,)."""
        return np.arange(self.batch_size) // self.group_size

    @cached_property
    def last(self) -> BoolArray:
        """Which step is a trajectory's last, (R, N, T)."""
        steps = self.mask.sum(axis=-1, keepdims=True)
        return np.asarray(np.arange(self.mask.shape[-1]) == steps - 1)

    @cached_property
    def final(self) -> IntArray:
        """The last state of every trajectory, (R, N); 0 of one that has no step."""
        last = self.mask.sum(axis=-1, keepdims=True) - 1
        # A start state may be terminal; such a trajectory has no step.
        reached = np.take_along_axis(self.next_states, np.maximum(last, 0), axis=-1)
        return np.asarray(np.where(last >= 0, reached, 0)[..., 0])

    @cached_property
    def ended(self) -> BoolArray:
        """Whether every trajectory ended in a terminal state, (R, N)."""
        return np.asarray(self.place.truth.mdp.terminal[self.final] | ~self.mask.any(axis=-1))

    @cached_property
    def cut(self) -> BoolArray:
        """Whether a limit cut every trajectory, (R, N)."""
        limit = self.place.truth.mdp.truncated
        return ~self.ended if limit is None else ~self.ended | limit[self.final]

    @cached_property
    def outcomes(self) -> FloatArray:
        """What the problem says of how every trajectory ended, (R, N, c)."""
        mdp = self.place.truth.mdp
        said = np.zeros((mdp.n_states, 0)) if mdp.outcomes is None else mdp.outcomes
        return np.asarray(said[self.final])


def drawn(place: Place, replicates: int, seed: int, batch_size: int | None = None) -> Trajectories:
    """The first batches of a place, padded to its horizon."""
    n = batch_size or place.batch_size
    draws = place.draws(replicates, seed, n)
    batches = (
        Simulator(place.truth, draws, first, m).batch() for first, m in blocks(place.truth, draws)
    )
    return _joined(place, n, seed, list(batches))


def enumerated(place: Place, batch_size: int) -> tuple[Trajectories, FloatArray]:
    """Every batch that there is, and the probability of each (R,)."""
    simulator = Enumerator(place.truth, place.horizon, batch_size, place.group_size)
    batch = simulator.batch()
    assert simulator.probability is not None
    return _joined(place, batch_size, 0, [batch]), simulator.probability


def of_block(simulator: Simulator) -> Trajectories:
    """The batches of a block of replicates, padded to its horizon; ValueError if that is long."""
    draws = simulator.draws
    simulator.require_held(draws.batch_size, draws.horizon)
    place = Place(simulator.truth, draws.horizon, draws.batch_size, draws.stream, draws.group_size)
    made = _joined(place, draws.batch_size, draws.seed, [simulator.batch()])
    return replace(made, first=simulator.first)


def _joined(place: Place, n: int, seed: int, batches: Sequence[Batch]) -> Trajectories:
    parts = [_padded(batch, place.horizon) for batch in batches]
    s, a, after, rewards, mask = (np.concatenate(part) for part in zip(*parts, strict=True))
    if place.penalty is not None:
        rewards = rewards + place.penalty[s, a] * mask
    return Trajectories(place, n, seed, s, a, after, rewards, mask)


def _padded(batch: Batch, horizon: int) -> list[Any]:
    arrays = batch.states, batch.actions, batch.successors, batch.rewards, batch.mask
    missing = horizon - batch.shape[2]
    return [np.pad(x, ((0, 0), (0, 0), (0, missing))) for x in arrays]
