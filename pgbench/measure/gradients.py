"""Sampled gradients: rollouts to weights, weights to gradients, block by block.

Gradients are made of blocks of 16 replicates, always the same ones; so they do not depend on
threads or on how much memory is used at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.estimators import BatchEstimator, Estimator, TableEstimator
from pgbench.exact.truth import Truth
from pgbench.policies import NotApplicable
from pgbench.process.tables import Forms, Tables
from pgbench.rollout.device import CPU, Device
from pgbench.rollout.engines import Rollouts, choose_place
from pgbench.rollout.simulator import Draws, Simulator, blocks


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
    steps: IntArray


def gradient_blocks(
    truth: Truth,
    tables: Sequence[Tables | Forms],
    draws: Draws,
    memory_bytes: int | None = None,
    device: Device = CPU,
) -> Iterator[GradientBlock]:
    """Gradients of every estimator on the same trajectories, in blocks of 16 replicates.

    truth is problem, policy and θ; for the rest see ``Rollouts``.
    """
    rollouts = Rollouts(tables, choose_place(device, tables[0].process, draws))
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
    steps: Sequence[IntArray]


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
    for estimator, values in estimators:
        if reason := estimator.refuses(draws.batch_size, draws.group_size, **values):
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
    truth: Truth,
    estimator: Estimator,
    values: Mapping[str, Any],
    draws: Draws,
    device: Device = CPU,
) -> tuple[FloatArray, IntArray]:
    """Estimates (R, d) of an estimator of either shape, and environment steps of each (R,).

    Batch estimators are functions of trajectories in main memory: they run on the CPU always.
    """
    estimator.require(truth.mdp)
    estimator.require_data(truth.behaviour is not None)
    if isinstance(estimator, BatchEstimator):
        values = estimator.bound(**values)
        made = list(batch_gradients(truth, [(estimator, values)], draws))
        gradients = [block.gradients[0] for block in made]
        return np.concatenate(gradients), np.concatenate([block.steps[0] for block in made])
    assert isinstance(estimator, TableEstimator)
    tables = estimator.make(truth, draws.horizon, **values)
    every = list(gradient_blocks(truth, [tables], draws, device=device))
    sampled = np.concatenate([block.gradients[0] for block in every])
    _check(estimator.name, sampled, (draws.replicates, truth.gradient.size))
    return sampled, np.concatenate([block.steps for block in every])
