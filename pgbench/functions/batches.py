"""Many batches at once, whatever their states and actions are."""

from abc import ABC
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.declared.claims import Claims
from pgbench.functions.fields import AnyBatch

AT_ONCE = 2**25
"""Most numbers of an array of many batches that is handed to a function at once."""


@dataclass(frozen=True)
class Batches(ABC):
    """All batches of a place at a batch size.

    kind
        Class of every batch.
    place, batch_size, seed
        Where they come from, trajectories of a batch, and the seed of the random streams.
    states, actions, next_states, rewards, mask
        (R, N, T, ...), as of a batch.
    first
        Number of the first batch among all replicates, for its random numbers.
    dtype, leading
        Format of the floats of every batch, and whether a batch has one axis more in front.
    """

    kind: ClassVar[type[AnyBatch]]

    place: Any
    batch_size: int
    seed: int
    states: Any
    actions: Any
    next_states: Any
    rewards: FloatArray
    mask: BoolArray
    first: int = 0
    dtype: str = "float64"
    leading: bool = False

    def claimed(self, claims: Claims) -> Self:
        """The same in the shape and format that a function claims to take."""
        return replace(self, dtype=claims.dtype, leading=claims.vectorised)

    @property
    def replicates(self) -> int:
        """Number R of batches."""
        return len(self.mask)

    @property
    def steps(self) -> IntArray:
        """Environment steps of each batch, (R,)."""
        return np.asarray(self.mask.sum(axis=(1, 2)))

    def only(self, rows: IntArray | slice) -> Self:
        """The chosen batches alone; of a slice each has the random numbers that it has here."""
        names = ("states", "actions", "next_states", "rewards", "mask")
        first = self.first + (rows.start or 0) if isinstance(rows, slice) else self.first
        arrays = {name: getattr(self, name)[rows] for name in names}
        return replace(self, first=first, **arrays)

    def __getitem__(self, r: int) -> Any:
        """Batch r; made anew each time, with its random numbers set back."""
        key = (self.seed, self.place.stream, self.batch_size, self.first + r)
        chosen = slice(r, r + 1) if self.leading else r
        return self.kind(self, chosen, np.random.default_rng(key), self.dtype)

    def parts(self) -> Iterator[Self]:
        """The batches in parts whose scores fit in 256 MiB each."""
        size = self.mask[0].size * self.place.theta.size
        n = max(1, AT_ONCE // size)
        for begin in range(0, self.replicates, n):
            yield self.only(slice(begin, begin + n))

    def at_once(self, seed: int = 0) -> Any:
        """All batches in one whose arrays have one axis more in front, (R, N, ...)."""
        return self.kind(self, slice(None), np.random.default_rng(seed), self.dtype)

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
    def final(self) -> Any:
        """The last state of every trajectory, (R, N, ...); 0 of one that has no step."""
        last = self.mask.sum(axis=-1) - 1
        r, n = np.indices(last.shape)
        # A start state may be terminal; such a trajectory has no step, and zeros for its states.
        return self.next_states[r, n, np.maximum(last, 0)]

    @cached_property
    def ended(self) -> BoolArray:
        """Whether every trajectory ended in a terminal state, (R, N)."""
        return np.asarray(self.place.terminal(self.final) | ~self.mask.any(axis=-1))

    @cached_property
    def cut(self) -> BoolArray:
        """Whether a limit cut every trajectory, (R, N)."""
        return ~self.ended
