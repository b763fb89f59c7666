"""Sampled gradients: rollouts to weights, weights to gradients, block by block.

Gradients are made of blocks of 16 replicates, always the same ones; so they do not depend on
threads or on how much memory is used at a time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgbench.estimators import BatchEstimator, Estimator, TableEstimator, find_estimator
from pgbench.exact.truth import Truth
from pgbench.exact.values import evaluate
from pgbench.parameters import ParameterError, check_counts
from pgbench.policies import NotApplicable, Parameterised
from pgbench.problems import Problem
from pgbench.process import GaussianProcess, Process
from pgbench.simulator import BLOCK, Draws, Simulator, blocks
from pgbench.tables import Forms, Tables

FloatArray = NDArray[np.float64]
AnyProcess = Process | GaussianProcess

MEMORY_BYTES = 256 * 2**20


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
    n_visited: NDArray[np.int64]
    weights: FloatArray
    steps: NDArray[np.int64]

    def parts(self, process: AnyProcess) -> Iterator["WeightBlock"]:
        """The same in blocks of 16 replicates; whole where each is pulled back on its own."""
        if isinstance(process, GaussianProcess):
            yield self
            return
        for begin in range(0, self.steps.size, BLOCK):
            part = slice(begin, begin + BLOCK)
            yield WeightBlock(
                first=self.first + begin,
                visited=self.visited[part],
                n_visited=self.n_visited[part],
                weights=self.weights[part],
                steps=self.steps[part],
            )

    def scored(self, process: AnyProcess) -> tuple[NDArray[np.int64] | None, FloatArray]:
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


@dataclass(frozen=True, eq=False)
class GradientBlock:
    """Gradients of consecutive replicates.

    first
        Index of the first replicate.
    gradients
        Per estimator (m, d) float64, reward per unit of θ.
    steps
        (m,) int64, environment steps taken by each replicate's batch.
    """

    first: int
    gradients: Sequence[FloatArray]
    steps: NDArray[np.int64]


def single_threaded_blas() -> AbstractContextManager[Any]:
    """Linear algebra on one thread: its sums must not depend on the machine's number of cores."""
    from threadpoolctl import threadpool_limits

    context: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return context


def rows_per_replicate(process: AnyProcess, draws: Draws) -> int:
    """States whose weights are kept per replicate: all, or no more than it can visit."""
    if isinstance(process, GaussianProcess):
        return process.rows
    return min(process.rows, process.steps(draws.horizon) * draws.batch_size)


def bytes_per_replicate(process: AnyProcess, draws: Draws, n_estimators: int) -> int:
    """Memory of one replicate's weights."""
    rows, columns = rows_per_replicate(process, draws), process.columns
    return rows * (4 + 8 * n_estimators * columns)


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


class Rollouts:
    """Estimators ready to be simulated: every one of them on the same trajectories.

    Parameters
    ----------
    tables
        One entry per estimator, all of the same process.
    """

    def __init__(self, tables: Sequence[Tables | Forms]) -> None:
        self.process: AnyProcess = tables[0].process
        self.n_estimators = len(tables)
        self._simulate: Callable[..., None]
        if isinstance(self.process, GaussianProcess):
            from pgbench.kernels.linear_quadratic import make_plan, make_world, weights

            self._simulate = _every_row(weights)
            self._arguments: tuple[Any, Any] = make_world(self.process), make_plan(tables)
        else:
            from pgbench.kernels.rollout import compact, weight_rows

            self._simulate = weight_rows
            self._arguments = self.process.sampler, compact(tables, self.process.mdp)

    def weights(self, draws: Draws, memory_bytes: int = MEMORY_BYTES) -> Iterator[WeightBlock]:
        """Weights of the replicates.

        Parameters
        ----------
        draws
            Which trajectories.
        memory_bytes
            Bound on the weights held at a time, as long as 16 replicates fit in it; if they do not,
            16 are held. How many replicates a block has depends on it, their numbers do not.

        Yields
        ------
        WeightBlock
            Its arrays are used again for the next one.
        """
        from pgbench.kernels.rollout import Streams

        process, E = self.process, self.n_estimators
        streams = Streams(np.uint64(draws.seed), np.uint64(draws.stream), draws.batch_size)
        fitting = memory_bytes // bytes_per_replicate(process, draws, E)
        chunk = min(max(BLOCK, fitting // BLOCK * BLOCK), -(-draws.replicates // BLOCK) * BLOCK)
        rows, horizon = rows_per_replicate(process, draws), process.steps(draws.horizon)
        visited = np.empty((chunk, rows), np.int32)
        weights = np.empty((chunk, E, rows, process.columns))
        n_visited, steps = np.empty(chunk, np.int64), np.empty(chunk, np.int64)
        for first in range(0, draws.replicates, chunk):
            m = min(chunk, draws.replicates - first)
            arrays = visited[:m], n_visited[:m], weights[:m], steps[:m]
            self._simulate(*self._arguments, streams, first, horizon, *arrays)
            yield WeightBlock(first, *arrays)


def _every_row(weights: Callable[..., None]) -> Callable[..., None]:
    """A kernel that fills whole tables, with the arguments of one that lists rows."""

    def simulate(
        world: Any,
        plan: Any,
        streams: Any,
        first: int,
        horizon: int,
        visited: NDArray[np.int32],
        n_visited: NDArray[np.int64],
        out: FloatArray,
        steps: NDArray[np.int64],
    ) -> None:
        weights(world, plan, streams, first, horizon, out)
        visited[:], n_visited[:] = np.arange(out.shape[2]), out.shape[2]
        steps[:] = horizon * streams.batch_size

    return simulate


def gradient_blocks(
    truth: Truth, tables: Sequence[Tables | Forms], draws: Draws, memory_bytes: int = MEMORY_BYTES
) -> Iterator[GradientBlock]:
    """Gradients of every estimator on the same trajectories, in blocks of 16 replicates.

    truth is problem, policy and θ; for the rest see ``Rollouts``.
    """
    rollouts = Rollouts(tables)
    for whole in rollouts.weights(draws, memory_bytes):
        for block in whole.parts(rollouts.process):
            states, weights = block.scored(rollouts.process)
            yield GradientBlock(
                first=block.first,
                gradients=[
                    truth.policy.pull_back(truth.theta, weights[:, e], states)
                    for e in range(len(tables))
                ],
                steps=block.steps.copy(),
            )


@dataclass(frozen=True, eq=False)
class BatchBlock:
    """Gradients of consecutive replicates, per batch estimator (m, d) and its steps (m,).

    first
        Index of the first replicate.
    """

    first: int
    gradients: Sequence[FloatArray]
    steps: Sequence[NDArray[np.int64]]


def batch_gradients(
    truth: Truth, estimators: Sequence[tuple[BatchEstimator, Mapping[str, Any]]], draws: Draws
) -> Iterator[BatchBlock]:
    """Gradients of batch estimators with their parameters, all on the same trajectories.

    Raises
    ------
    NotApplicable
        If the batch size is smaller than an estimator needs.
    ValueError
        If an estimator returns anything but finite numbers of shape (m, d).
    """
    kept: list[dict[Any, Any]] = [{} for _ in estimators]
    for estimator, _ in estimators:
        if reason := estimator.refuses(draws.batch_size):
            raise NotApplicable(reason)
    for first, m in blocks(truth, draws):
        shared: dict[Any, Any] = {}
        gradients, steps = [], []
        for (estimator, values), own in zip(estimators, kept, strict=True):
            simulator = Simulator(truth, draws, first, m, shared=shared, kept=own)
            estimates = np.asarray(estimator.estimate(simulator, **values), np.float64)
            _check(estimator.name, estimates, (m, truth.gradient.size))
            gradients.append(estimates)
            steps.append(simulator.steps)
        yield BatchBlock(first, gradients, steps)


def _check(name: str, estimates: FloatArray, shape: tuple[int, int]) -> None:
    if estimates.shape != shape:
        raise ValueError(f"{name} returned the shape {estimates.shape}, must be {shape}")
    if not np.isfinite(estimates).all():
        r, k = np.argwhere(~np.isfinite(estimates))[0]
        raise ValueError(f"{name}: coordinate {k} of replicate {r} is {estimates[r, k]}")


def estimates(
    truth: Truth, estimator: Estimator, values: Mapping[str, Any], draws: Draws
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Estimates (R, d) of an estimator of either shape, and environment steps of each (R,)."""
    estimator.require(truth.mdp)
    if isinstance(estimator, BatchEstimator):
        values = estimator.bound(**values)
        made = list(batch_gradients(truth, [(estimator, values)], draws))
        gradients = [block.gradients[0] for block in made]
        return np.concatenate(gradients), np.concatenate([block.steps[0] for block in made])
    assert isinstance(estimator, TableEstimator)
    tables = estimator.make(truth, draws.horizon, **values)
    every = list(gradient_blocks(truth, [tables], draws))
    return (
        np.concatenate([block.gradients[0] for block in every]),
        np.concatenate([block.steps for block in every]),
    )


def sample_gradients(
    mdp: Problem,
    policy: Parameterised,
    theta: Any,
    estimator: str,
    *,
    horizon: int = 1000,
    batch_size: int = 1,
    replicates: int = 1000,
    seed: int = 0,
    stream: int = 0,
    **parameters: Any,
) -> FloatArray:
    """Independent estimates of the policy gradient.

    Parameters
    ----------
    mdp, policy, theta
        Problem, policy and its parameters (d,).
    estimator
        Name, e.g. ``"gae"``; its own parameters are keywords, e.g. ``lam=0.95``.
    horizon, batch_size, replicates
        Steps per trajectory at most, trajectories per estimate, number of estimates. An
        estimator that draws its horizon at random does not need the first and ignores it.
    seed, stream
        Name the random streams, integers in [0, 2⁶⁴); the same ones give the same bytes.

    Returns
    -------
    array
        (replicates, d) float64, reward per unit of θ.

    Raises
    ------
    ValueError
        For an unknown estimator, wrong parameters, or counts that are not positive.
    """
    check_counts(horizon=horizon, batch_size=batch_size, replicates=replicates)
    for name, value in {"seed": seed, "stream": stream}.items():
        if not isinstance(value, (int, np.integer)) or not 0 <= value < 2**64:
            raise ParameterError(f"{name} is {value!r}, must be an integer in [0, 2**64)")
    with single_threaded_blas():
        truth = evaluate(mdp, policy, theta)
        draws = Draws(horizon, batch_size, replicates, seed, stream)
        return estimates(truth, find_estimator(estimator), parameters, draws)[0]
