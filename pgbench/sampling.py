"""Sampled gradients: rollouts to weight tables, weight tables to gradients, block by block.

Replicates come in blocks of 16, always the same ones, and every operation on a block has fixed
shapes; so the gradients do not depend on threads or on how much memory is used at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgbench.estimators import Tables, find_estimator
from pgbench.exact.values import Truth, evaluate
from pgbench.parameters import ParameterError, check_counts
from pgbench.policies import Policy
from pgbench.problems import FiniteMDP
from pgbench.process import Process

FloatArray = NDArray[np.float64]

BLOCK = 16
MEMORY_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Draws:
    """Which trajectories are drawn, and how they are grouped to estimates.

    horizon, batch_size, replicates
        Steps per trajectory at most, trajectories per estimate, independent estimates.
    seed, stream
        Two unsigned 64-bit integers that name the random streams.
    """

    horizon: int
    batch_size: int
    replicates: int
    seed: int
    stream: int


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


def bytes_per_replicate(process: Process, n_estimators: int) -> int:
    """Memory of one replicate's weight tables."""
    return 8 * n_estimators * process.pi.size


def by_process(tables: Sequence[Tables]) -> list[tuple[Process, list[int]]]:
    """The processes that estimators simulate, and the places of those that share each."""
    groups: list[tuple[Process, list[int]]] = []
    for place, own in enumerate(tables):
        for process, places in groups:
            if process.same_as(own.process):
                places.append(place)
                break
        else:
            groups.append((own.process, [place]))
    return groups


def gradient_blocks(
    truth: Truth, tables: Sequence[Tables], draws: Draws, memory_bytes: int = MEMORY_BYTES
) -> Iterator[GradientBlock]:
    """Gradients of every estimator on the same trajectories, in blocks of 16 replicates.

    Parameters
    ----------
    truth
        Problem, policy and θ.
    tables
        One entry per estimator, all of the same process.
    draws
        Which trajectories.
    memory_bytes
        Bound on the weight tables held at a time, as long as 16 replicates fit in it; if they do
        not, 16 are held.
    """
    from pgbench.kernels.alias import make_sampler
    from pgbench.kernels.rollout import EstimatorTables, Streams, weight_tables

    policy, theta, process = truth.policy, truth.theta, tables[0].process
    mdp, horizon = process.mdp, process.steps(draws.horizon)
    sampler = make_sampler(mdp.mu0, process.pi, mdp.successor, mdp.probability, mdp.terminal)
    stacked = EstimatorTables(
        sigma=np.stack([t.sigma.ravel() for t in tables]),
        kappa=np.stack([t.kappa.ravel() for t in tables]),
        beta=np.stack([t.beta.ravel() for t in tables]),
        delta=np.stack([t.delta.ravel() for t in tables]),
        total=np.array([t.total for t in tables]),
    )
    streams = Streams(np.uint64(draws.seed), np.uint64(draws.stream), draws.batch_size)
    fitting = memory_bytes // bytes_per_replicate(process, len(tables))
    chunk = min(max(BLOCK, fitting // BLOCK * BLOCK), -(-draws.replicates // BLOCK) * BLOCK)
    weights = np.empty((chunk, len(tables), mdp.n_states * mdp.n_actions))
    steps = np.empty(chunk, np.int64)
    for start in range(0, draws.replicates, chunk):
        m = min(chunk, draws.replicates - start)
        weights[:m], steps[:m] = 0.0, 0
        weight_tables(sampler, stacked, streams, start, horizon, weights[:m], steps[:m])
        weights[:m] /= draws.batch_size
        for begin in range(0, m, BLOCK):
            part = slice(begin, min(begin + BLOCK, m))
            block = weights[part].reshape(-1, len(tables), mdp.n_states, mdp.n_actions)
            block = block[:, :, process.scored]
            yield GradientBlock(
                first=start + begin,
                gradients=[policy.pull_back(theta, block[:, e]) for e in range(len(tables))],
                steps=steps[part].copy(),
            )


def sample_gradients(
    mdp: FiniteMDP,
    policy: Policy,
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
        Steps per trajectory at most, trajectories averaged per estimate, number of estimates. An
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
        tables = make_tables(truth, estimator, parameters)
        blocks = gradient_blocks(
            truth, [tables], Draws(horizon, batch_size, replicates, seed, stream)
        )
        return np.concatenate([block.gradients[0] for block in blocks])


def make_tables(truth: Truth, estimator: str, parameters: Mapping[str, Any]) -> Tables:
    """The tables of an estimator by name."""
    return find_estimator(estimator).make(truth, **parameters)
