"""Running sums over replicate gradients: all that the statistics need of them.

Those of a portion, a run of consecutive replicates, are joined with those of others: whoever made
them, and in whatever order, they are added in the order of the replicates.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.exact.truth import Truth
from pgbench.rollout.engines import AnyProcess, GpuBlock, WeightBlock
from pgbench.statistics import MAX_BLOCKS, Sample, block_sizes, n_blocks

SUMS_BYTES = 2**31
"""Bound on the sums of all estimators that are measured together, if several are."""


GPU_SUMS_BYTES = 2**33
"""Bound on the sums that are made on a GPU; where they would be larger the CPU makes them."""


SQUARES = 1e75
"""Largest sum of squares of estimates: their fourth powers must be numbers."""


LOST = 1e-290
"""Least sum of squares that is not zero: smaller numbers have lost digits."""


NUMBERS_TOGETHER = 2**20
"""Arrays of weights and of gradients are cut to about so many numbers."""


REPLICATE_NUMBERS = 16
"""About so many numbers are kept of every estimate: distances, steps and projections."""


def sums_bytes(d: int, replicates: int) -> int:
    """Memory of one estimator's sums."""
    return 8 * d * (n_blocks(replicates) + 16)


def joining_bytes(d: int, replicates: int, portions: int) -> int:
    """Memory of the sums of all portions of an estimator's replicates, apart and joined, about."""
    sums = portions * sums_bytes(d, -(-replicates // portions))
    return 2 * sums + 4 * 8 * REPLICATE_NUMBERS * replicates


def blocks_together(n: int) -> int:
    """How many of n equal blocks of replicates make one, so that there are not too many."""
    together = 1
    while -(-n // together) > MAX_BLOCKS:
        together *= 2
    return together


class Sums:
    """Sums over R replicates of E estimators' gradients, in the order of the replicates.

    Parameters
    ----------
    truth
        (d,) the exact gradient g.
    expected
        Per estimator (d,) the exact mean E ĝ.
    replicates
        Number R.
    fixed
        (m, d) directions on which replicates are projected, m ≤ 8, rounded to float32; the
        direction of g is another, unless g has none.
    blocks
        Number of contiguous blocks of replicates with sums of their own; by default that of
        ``statistics``.
    directed
        Whether g has a direction and is not zero but for its own error.
    first
        Index of the first of these replicates.
    room
        Blocks are those of so many replicates, of which the R are the first; by default of R.

    Attributes
    ----------
    target, running
        The arrays of ``kernels.running``; what a GPU adds is in them after ``finish``.
    sizes
        (K,) float64, numbers of replicates of the blocks.
    """

    def __init__(
        self,
        truth: FloatArray,
        expected: Sequence[FloatArray],
        replicates: int,
        fixed: FloatArray,
        blocks: int | None = None,
        directed: bool = True,
        first: int = 0,
        room: int | None = None,
    ) -> None:
        from pgbench.kernels.running import N_DIRECTIONS, Target, empty_sums

        along = np.zeros((truth.size + 3, N_DIRECTIONS), np.float32)
        along[: truth.size, : len(fixed)] = fixed.T
        self.fixed = along[: truth.size, : len(fixed)].T.astype(np.float64)
        self._directed, self._first, self._replicates = directed, first, replicates
        self.target = Target(
            truth=truth,
            expected=np.stack(expected),
            truth_squared=float(np.sum(truth**2)),
            expected_squared=np.array([np.sum(mean**2) for mean in expected]),
            along=along,
        )
        self._local: tuple[Truth, tuple[FloatArray, FloatArray] | None] | None = None
        room = room or replicates
        self._running = empty_sums(self.target, room, blocks or n_blocks(room))
        self._rows: FloatArray | None = None
        self.sizes = block_sizes(replicates, self._running.blocks.shape[1], room)
        self._on_gpu: Any = None

    @property
    def running(self) -> Any:
        """The sums so far."""
        from pgbench.kernels.running import collect

        if self._rows is not None:
            collect(self._rows, self._running)
        return self._running

    @property
    def _norm(self) -> float:
        return float(np.linalg.norm(self.target.truth)) if self._directed else 0.0

    @property
    def along(self) -> FloatArray:
        """All directions, (m + 1, d) or (m, d)."""
        if self._norm == 0:
            return self.fixed
        return np.vstack([self.fixed, self.target.truth / self._norm])

    def add(self, truth: Truth, process: AnyProcess, block: WeightBlock | GpuBlock) -> None:
        """Add the replicates of a block.

        Where parameters belong to states, only those of visited states are touched, and sums of
        what a GPU computed are made there.
        """
        policy, theta = truth.policy, truth.theta
        if self._local is None or self._local[0] is not truth:
            self._local = truth, policy.local_pull_back(theta)
            self._leave_rows()
        local = self._local[1]
        if local is not None:
            offset = process.scored.indices(process.rows)[0]
            if isinstance(block, GpuBlock) and self._fits_gpu:
                self._add_on_gpu(block, local, offset)
                return
            block = block.on_host()
            arrays = block.visited, block.n_visited, block.weights, block.steps
            self._add_rows(*local, arrays, block.first, offset)
            return
        block = block.on_host()
        first = block.first
        held: list[FloatArray] = []
        for part in block.parts(process):
            states, weights = part.scored(process)
            together = max(1, NUMBERS_TOGETHER // weights[:, :1].size)
            gradients = [
                policy.pull_back(theta, np.swapaxes(weights[:, e : e + together], 0, 1), states)
                for e in range(0, weights.shape[1], together)
            ]
            held.append(np.concatenate(gradients).swapaxes(0, 1))
            end = part.first + part.steps.size
            if held[0].size * len(held) > NUMBERS_TOGETHER or end == block.first + block.steps.size:
                steps = block.steps[first - block.first : end - block.first]
                self.add_gradients(first, np.concatenate(held), steps)
                held, first = [], end

    @property
    def _fits_gpu(self) -> bool:
        from pgbench.kernels.cuda.running import sums_bytes

        E, K, d = self.running.blocks.shape
        return sums_bytes(E, K, d) <= GPU_SUMS_BYTES

    def _add_on_gpu(
        self, block: GpuBlock, local: tuple[FloatArray, FloatArray], offset: int
    ) -> None:
        from pgbench.kernels.cuda.running import DeviceSums

        if self._on_gpu is None:
            self._on_gpu = DeviceSums(
                self._running, self.target, *local, offset, magnitude=block.magnitude
            )
        self._on_gpu.add(block.weighed, block.first - self._first)

    def add_gradients(self, first: int, gradients: FloatArray, steps: IntArray) -> None:
        """Add replicates ``first``, ``first + 1``, ... with gradients (m, E, d) and steps (m,)."""
        m, _, d = gradients.shape
        weights = np.ascontiguousarray(gradients)[:, :, None]
        arrays = np.zeros((m, 1), np.int32), np.ones(m, np.int64), weights, steps
        self._add_rows(np.ones((1, d)), np.zeros((1, d)), arrays, first, 0)

    def _add_rows(
        self,
        scale: FloatArray,
        share: FloatArray,
        arrays: tuple[Any, Any, Any, Any],
        first: int,
        offset: int,
    ) -> None:
        """``kernels.running.add_rows``, with rows made where there are none."""
        from pgbench.kernels.running import add_rows, make_rows

        if self._rows is None or self._rows.shape[1::2] != scale.shape:
            self._leave_rows()
            self._rows = make_rows(self._running, self.target, scale, share)
        add_rows(self._running, self.target, self._rows, *arrays, first - self._first, offset)

    def _leave_rows(self) -> None:
        """Keep the sums and forget of which policy the rows were."""
        if self._rows is not None:
            self._running, self._rows = self.running, None

    def finish(self) -> None:
        """Fetch the sums that were made on a GPU.

        Raises
        ------
        OverflowError
            If they do not hold what was added to the last digits; those of the CPU do.
        """
        if self._on_gpu is not None:
            self._on_gpu.collect()

    def portion(self, e: int) -> dict[str, FloatArray]:
        """Everything added of estimator e, by the names of ``kernels.running.RunningSums``."""
        running, R, K = self.running, self._replicates, self.sizes.size
        return {
            "deviations": running.deviations[e],
            "squares": running.squares[e],
            "visits": running.visits.astype(np.float64),
            "blocks": running.blocks[e, :K],
            "sizes": self.sizes,
            "scalars": running.scalars[e, :R],
            "projections": running.projections[e, :R],
        }

    @classmethod
    def joined(
        cls,
        truth: FloatArray,
        expected: FloatArray,
        fixed: FloatArray,
        portions: Sequence[Mapping[str, FloatArray]],
        directed: bool = True,
    ) -> "Sums":
        """Sums of one estimator over the replicates of all portions, added in their order.

        Parameters
        ----------
        truth, expected, fixed, directed
            As of any sums; expected is one mean (d,).
        portions
            What ``portion`` gave, in the order of the replicates.
        """
        sizes = np.concatenate([portion["sizes"] for portion in portions])
        together = blocks_together(sizes.size)
        places = np.arange(sizes.size) // together
        replicates = int(sizes.sum())
        sums = cls(truth, [expected], replicates, fixed, blocks=places[-1] + 1, directed=directed)
        sums.sizes = np.bincount(places, sizes).astype(np.float64)
        running, first, K = sums.running, 0, 0
        for portion in portions:
            R = len(portion["scalars"])
            running.deviations[0] += portion["deviations"]
            running.squares[0] += portion["squares"]
            running.visits[:] += portion["visits"].astype(np.int64)
            running.scalars[0, first : first + R] = portion["scalars"]
            running.projections[0, first : first + R] = portion["projections"]
            for block in portion["blocks"]:
                running.blocks[0, places[K]] += block
                K += 1
            first += R
        return sums

    def moments(self, e: int) -> tuple[FloatArray, FloatArray]:
        """Mean and sum of squared deviations from it of estimator e, each (d,)."""
        from pgbench.kernels.running import mean_and_squares

        return mean_and_squares(self.running, self.target, e)

    def projections(self, e: int) -> FloatArray:
        """Replicates projected on the directions, (R, m + 1) or (R, m)."""
        fixed = self.running.projections[e][:, : len(self.fixed)]
        if self._norm == 0:
            return fixed
        return np.column_stack([fixed, self.running.scalars[e][:, 5] / self._norm])

    def sample(self, e: int, exact_variance: float = np.nan) -> Sample:
        """What the summary of estimator e needs; uses up its sums.

        OverflowError where squares of estimates are too large, or too small, for a number.
        """
        squares = self.moments(e)[1]
        largest = max(float(np.abs(x).max(initial=0.0)) for x in (squares, self.running.scalars[e]))
        least = float(squares.max(initial=0.0))
        if 0 < least < LOST:
            raise OverflowError(
                f"the largest sum of squared deviations is {least:g}, must be 0 or at least"
                f" {LOST:g}: squares of estimates are lost; choose another unit of reward"
            )
        if not largest <= SQUARES:
            raise OverflowError(
                f"a sum of squares of estimates is {largest:g}, must be at most {SQUARES:g}, or"
                " its powers are lost; is theta too extreme?"
            )
        return Sample.from_running(
            self.running.scalars[e],
            squares,
            self.running.blocks[e],
            self.sizes,
            self.target.truth,
            self.target.expected[e],
            exact_variance,
        )
