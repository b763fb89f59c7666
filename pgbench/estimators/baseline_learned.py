"""Reward-to-go less a table of values learned from the batch itself."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Choice
from pgbench.estimators.parts.by_trajectory import ratio
from pgbench.estimators.parts.estimator import BatchEstimator
from pgbench.process.batch import Batch
from pgbench.rollout.simulator import Simulator


def estimate(
    simulator: Simulator,
    *,
    fit: Annotated[
        str,
        Choice(("in_sample", "leave_one_out")),
        "values from all trajectories, or from those other than the one they are applied to",
    ] = "in_sample",
) -> FloatArray:
    """Discounted reward-to-go less its mean over all visits of the state, times each score.

    The value of a state is the mean of Q̂ over every visit in the batch, as code that fits values
    to all steps alike has it. Visits near the horizon see less of the rewards, so values come out
    low unless the horizon is long. Left out one at a time, a state that no other trajectory visits
    has the value 0.
    """
    batch = simulator.batch()
    v = mean_values(batch) if fit == "in_sample" else values_of_others(batch)
    return simulator.pull_back(batch.tables(batch.discounts() * (batch.to_go - v)))


def mean_values(batch: Batch) -> FloatArray:
    """Every-visit Monte Carlo value of the state of each step, (m, n, T); 0 where there is none."""
    return batch.value(ratio(batch.state_tables(batch.to_go), batch.state_tables(1.0)))


def values_of_others(batch: Batch) -> FloatArray:
    """Every-visit Monte Carlo values from the replicate's other trajectories, (m, n, T)."""
    m, n, _ = batch.shape
    to_go, mask = batch.to_go, batch.mask
    number = np.arange(m * n).reshape(m, n, 1)
    place = (number * batch.process.mdp.n_states + batch.states)[mask]
    _, visit = np.unique(place, return_inverse=True)
    own, own_count = np.zeros((2, *batch.shape))
    own[mask] = np.bincount(visit, to_go[mask])[visit]
    own_count[mask] = np.bincount(visit)[visit]
    total = n * batch.value(batch.state_tables(to_go))
    count = np.rint(n * batch.value(batch.state_tables(1.0)))
    return ratio(total - own, count - own_count)


estimator = BatchEstimator(
    name="baseline_learned",
    estimate=estimate,
    fewest=2,
    bias=lambda fit: ("batch", "truncation") if fit == "in_sample" else ("truncation",),
    formula=lambda fit: (
        r"\frac{1}{n}\sum_i\sum_t \gamma^t (\hat Q_{i,t} - \hat v"
        + (r"(s_{i,t}))" if fit == "in_sample" else r"_{-i}(s_{i,t}))")
        + r"\,\psi_{i,t}"
    ),
    reference="Sutton & Barto 2018, Section 13.4, with the Monte Carlo values of Section 5.1",
    alone="",
)
