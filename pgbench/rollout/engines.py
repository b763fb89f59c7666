"""Table estimators simulated: weights of replicates, block by block, on the CPU or on a GPU.

Both give the same trajectories, bit for bit, and weights that differ by rounding. A block holds as
many replicates as memory allows; their numbers do not depend on it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import FloatArray, IntArray
from pgbench.process.process import GaussianProcess, Process
from pgbench.process.tables import Forms, Tables
from pgbench.rollout.compiled import device_kernels, kernels
from pgbench.rollout.device import Device
from pgbench.rollout.simulator import BLOCK, Draws

AnyProcess = Process | GaussianProcess

MEMORY_BYTES = 256 * 2**20
"""Bound on the weights held at a time by the CPU."""

GPU_BYTES = 2**31
"""Bound on what a block takes in a GPU's memory, if it is larger than the least block."""

GPU_MOST = 2**33
"""Bound on what the steps of the least block of one estimator may take."""

_GPU_STEP = 16
"""Bytes of a step: which slot and pair was drawn, and what an estimator adds."""


@dataclass(frozen=True, eq=False)
class WeightBlock:
    """Weights of m consecutive replicates, for the states that each of them visited.

    Attributes
    ----------
    first
        Index of the first replicate, a multiple of 16.
    visited, n_visited
        (m, n) int32 and (m,) int64, states of the process and how many of them count, in the order
        of first visits, or all of them in order.
    weights
        (m, E, n, A) float64, averaged over the batch.
    steps
        (m,) int64, environment steps taken by each replicate's batch.
    """

    first: int
    visited: NDArray[np.int32]
    n_visited: IntArray
    weights: FloatArray
    steps: IntArray

    def on_host(self) -> "WeightBlock":
        """This block, which lies in main memory."""
        return self

    def parts(self, process: AnyProcess) -> Iterator["WeightBlock"]:
        """Blocks of 16 replicates of it; the whole where each is pulled back on its own."""
        size = _part_size(process, self.steps.size)
        for begin in range(0, self.steps.size, size):
            part = slice(begin, begin + size)
            yield WeightBlock(
                first=self.first + begin,
                visited=self.visited[part],
                n_visited=self.n_visited[part],
                weights=self.weights[part],
                steps=self.steps[part],
            )

    def scored(self, process: AnyProcess) -> tuple[IntArray | None, FloatArray]:
        """States of the policy that any replicate visited (n,), and their weights (m, E, n, A).

        None stands for all states.
        """
        begin, end, _ = process.scored.indices(process.rows)
        if self.visited.shape[1] == process.rows:
            return None, self.weights[:, :, begin:end]
        m, E, _, A = self.weights.shape
        place = np.full(process.rows, -1)
        for i in range(m):
            place[self.visited[i, : self.n_visited[i]]] = 0
        states = begin + np.flatnonzero(place[begin:end] == 0)
        place[:] = states.size
        place[states] = np.arange(states.size)
        # What is not scored is gathered in a last row.
        weights = np.zeros((m, E, states.size + 1, A))
        for i in range(m):
            n = self.n_visited[i]
            weights[i][:, place[self.visited[i, :n]]] = self.weights[i][:, :n]
        return states - begin, weights[:, :, :-1]


@singledispatch
def _part_size(process: Any, m: int) -> int:
    """How many of m replicates are pulled back together."""
    return BLOCK


@_part_size.register
def _(process: GaussianProcess, m: int) -> int:
    return m


@dataclass(frozen=True, eq=False)
class GpuBlock:
    """Weights in a GPU's memory: ``weighed`` as ``kernels.cuda.weighed.Weighed``.

    rows and columns are those of one table of weights; magnitude is the largest number in the
    estimators' tables.
    """

    first: int
    weighed: Any
    rows: int
    columns: int
    magnitude: float

    def on_host(self) -> WeightBlock:
        """The block in main memory."""
        found = self.weighed
        weights = found.weights.copy_to_host()
        E, _, m = weights.shape
        if found.everywhere:
            visited = np.tile(np.arange(self.rows, dtype=np.int32), (m, 1))
        else:
            visited = np.ascontiguousarray(found.visited.copy_to_host().T)
        return WeightBlock(
            first=self.first,
            visited=visited,
            n_visited=found.n_visited.copy_to_host(),
            weights=_by_replicate(weights.reshape(E, self.rows, self.columns, m)),
            steps=found.steps.copy_to_host(),
        )


class _Cpu:
    """Estimators' tables in main memory.

    Attributes
    ----------
    memory_bytes
        The bound that holds unless another is given.
    """

    memory_bytes = MEMORY_BYTES

    def __init__(self, process: AnyProcess, tables: Sequence[Tables | Forms]) -> None:
        self._process, self._kernels, self._n_estimators = process, kernels(process), len(tables)
        self._tables = self._kernels.compact(tables)

    def bytes_per_replicate(self, draws: Draws) -> int:
        """Memory that a replicate takes."""
        return bytes_per_replicate(self._process, draws, self._n_estimators)

    def scratch(self, draws: Draws, m: int) -> tuple[Any, ...]:
        """Arrays for blocks of up to m replicates, which one after the other uses."""
        rows = self._process.visited_rows(draws.horizon, draws.batch_size)
        return (
            np.empty((m, rows), np.int32),
            np.empty(m, np.int64),
            np.empty((m, self._n_estimators, rows, self._process.columns)),
            np.empty(m, np.int64),
        )

    def block(self, draws: Draws, first: int, m: int, scratch: tuple[Any, ...]) -> WeightBlock:
        """Replicates ``first``, ..., ``first + m - 1``."""
        arrays, horizon = [array[:m] for array in scratch], self._process.steps(draws.horizon)
        self._kernels.weigh(
            self._process.sampler, self._tables, draws.streams, first, horizon, *arrays
        )
        return WeightBlock(first, *arrays)


class _Gpu:
    """Blocks of weights made on a GPU, which stay in its memory."""

    memory_bytes = GPU_BYTES

    def __init__(self, process: AnyProcess, tables: Sequence[Tables | Forms]) -> None:
        self._process = process
        self._rollouts = device_kernels(process).DeviceRollouts(
            process.sampler, kernels(process).compact(tables)
        )

    def bytes_per_replicate(self, draws: Draws) -> int:
        horizon, n, rows = self._sizes(draws)
        bytes_each: int = self._rollouts.bytes_per_replicate(horizon, n, rows)
        return bytes_each

    def scratch(self, draws: Draws, m: int) -> tuple[Any, ...]:
        return ()

    def block(self, draws: Draws, first: int, m: int, scratch: tuple[Any, ...]) -> GpuBlock:
        horizon, _, rows = self._sizes(draws)
        weighed = self._rollouts.weigh(draws.streams, first, m, horizon, rows)
        return GpuBlock(first, weighed, rows, self._process.columns, self._rollouts.magnitude)

    def _sizes(self, draws: Draws) -> tuple[int, int, int]:
        """Steps, batch size and rows of weights."""
        rows = self._process.visited_rows(draws.horizon, draws.batch_size)
        return self._process.steps(draws.horizon), draws.batch_size, rows


_ENGINES: dict[str, type[_Cpu] | type[_Gpu]] = {"cpu": _Cpu, "cuda": _Gpu}


def _by_replicate(weights: FloatArray) -> FloatArray:
    """(E, rows, A, m) as (m, E, rows, A)."""
    return np.ascontiguousarray(np.moveaxis(weights, 3, 0))


def bytes_per_replicate(process: AnyProcess, draws: Draws, n_estimators: int) -> int:
    """Memory of one replicate's weights on the CPU."""
    rows = process.visited_rows(draws.horizon, draws.batch_size)
    return rows * (4 + 8 * n_estimators * process.columns)


def by_process(tables: Sequence[Tables | Forms]) -> list[tuple[AnyProcess, list[int]]]:
    """The processes that estimators simulate, and the places of those that share each."""
    groups: list[tuple[AnyProcess, list[int]]] = []
    for place, own in enumerate(tables):
        for process, places in groups:
            if process.same_as(own.process):
                places.append(place)
                break
        else:
            groups.append((own.process, [place]))
    return groups


def choose_place(device: Device, process: AnyProcess, draws: Draws) -> str:
    """Where these trajectories of a process are simulated: cpu or cuda.

    A GPU holds every step of a block. Where the least block would not fit, the CPU, which holds a
    segment at a time, takes its place.
    """
    steps = process.steps(draws.horizon) * draws.batch_size
    if BLOCK * steps * _GPU_STEP > GPU_MOST:
        return "cpu"
    return device.choice(steps * draws.replicates)


class Rollouts:
    """Estimators ready to be simulated: every one of them on the same trajectories.

    Parameters
    ----------
    tables
        One entry per estimator, all of the same process.
    place
        Where they are simulated: cpu or cuda. Everything they need is made there at once.
    """

    def __init__(self, tables: Sequence[Tables | Forms], place: str = "cpu") -> None:
        self.process: AnyProcess = tables[0].process
        self._engine = _ENGINES[place](self.process, tables)

    def blocks(
        self, draws: Draws, memory_bytes: int | None = None
    ) -> Iterator[WeightBlock | GpuBlock]:
        """Weights of the replicates, where they were made.

        Parameters
        ----------
        draws
            Which trajectories.
        memory_bytes
            Bound on the memory used at a time, as long as 16 replicates fit in it; if they do not,
            16 are held. By default 256 MiB on the CPU and 2 GiB on a GPU. How many replicates a
            block has depends on it, their numbers do not.

        Yields
        ------
        WeightBlock or GpuBlock
            Its arrays may be used again for the next one.
        """
        engine = self._engine
        bound = engine.memory_bytes if memory_bytes is None else memory_bytes
        fitting = bound // engine.bytes_per_replicate(draws)
        chunk = min(max(BLOCK, fitting // BLOCK * BLOCK), -(-draws.replicates // BLOCK) * BLOCK)
        scratch = engine.scratch(draws, chunk)
        for first in range(draws.first, draws.end, chunk):
            yield engine.block(draws, first, min(chunk, draws.end - first), scratch)

    def weights(self, draws: Draws, memory_bytes: int | None = None) -> Iterator[WeightBlock]:
        """Weights block by block, in main memory."""
        for block in self.blocks(draws, memory_bytes):
            yield block.on_host()
