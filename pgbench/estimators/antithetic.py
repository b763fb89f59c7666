"""Reward-to-go on antithetic pairs of rollouts: one driven by u, its mirror image by 1 - u."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators import baseline_value
from pgbench.estimators.parts.estimator import DRIVEN, BatchEstimator
from pgbench.estimators.reward_to_go import tables as reward_to_go_tables
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables
from pgbench.rollout.simulator import Simulator

Value = Annotated[bool, "whether the exact V(s_t) is subtracted from the reward-to-go"]


def estimate(simulator: Simulator, *, value: Value = False) -> FloatArray:
    """Discounted reward-to-go times each score, on n/2 rollouts and their mirror images.

    A last odd rollout has none. Numbers become states and actions through inverse distribution
    functions in the order of their indices.
    """
    n = simulator.n
    u = simulator.uniforms("antithetic", 1, (n + 1) // 2)
    return reward_to_go(simulator, np.concatenate([u, 1 - u[:, :, : n // 2]], axis=2), value)


def reward_to_go(simulator: Simulator, uniforms: FloatArray, value: bool) -> FloatArray:
    """Reward-to-go, less V if ``value``, on rollouts driven by (m, 1, n, 2H + 1) numbers."""
    batch = simulator.driven(uniforms)
    advantage = batch.to_go - batch.value(simulator.truth.v) if value else batch.to_go
    return simulator.pull_back(batch.tables(batch.discounts() * advantage))


def like(truth: Truth, horizon: int, *, value: bool) -> Tables:
    """Tables of the same mean: independent rollouts."""
    return baseline_value.tables(truth) if value else reward_to_go_tables(truth, horizon)


estimator = BatchEstimator(
    name="antithetic",
    estimate=estimate,
    like=like,
    fewest=2,
    bias=lambda value: ("truncation",),
    formula=lambda value: (
        r"\frac{1}{2}(\hat g(u) + \hat g(1 - u)),\,\hat g = \sum_t \gamma^t "
        + (r"(\hat Q_t - V(s_t))" if value else r"\hat Q_t")
        + r"\,\psi_t"
    ),
    reference="Hammersley & Morton 1956",
    drawing=DRIVEN,
    alone="",
)
