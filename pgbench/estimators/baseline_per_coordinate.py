"""A baseline for every coordinate of θ, each the best for its own variance."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Choice
from pgbench.estimators.parts.by_trajectory import in_parts, others, ratio, score_sums
from pgbench.estimators.parts.estimator import BatchEstimator, Exact
from pgbench.exact.finite.returns import mixed_moments
from pgbench.exact.table_moments import TooLarge
from pgbench.exact.truth import Truth
from pgbench.policies import NotApplicable
from pgbench.process.batch import Batch
from pgbench.rollout.simulator import Simulator

Fit = Annotated[
    str,
    Choice(("exact", "in_sample", "leave_one_out")),
    "the baseline's expectations: known, or means over the batch, or over its other trajectories",
]


def estimate(simulator: Simulator, *, fit: Fit = "exact") -> FloatArray:
    """Total return less each coordinate's own best constant, times all scores.

    b_k = E[R Z_k²]/E[Z_k²] with Z = Σ_t ψ_t has the least variance of coordinate k. Left out one at
    a time, a coordinate in which the other trajectories have no score gets their mean return.
    """
    batch = simulator.batch()
    if fit == "exact":  # the same for all trajectories, so that no sum of single ones is needed
        weighed, scores = (
            simulator.pull_back(batch.tables(w)) for w in (batch.returns[:, :, None], 1.0)
        )
        return np.asarray(weighed - known_baseline(simulator) * scores)

    def part(own: Simulator, batch: Batch) -> FloatArray:
        R, Z = batch.returns[:, :, None], score_sums(own, batch)
        return np.asarray(((R - fitted(R, Z, fit)) * Z).mean(axis=1))

    return in_parts(simulator, batch, part)


def known_baseline(simulator: Simulator) -> FloatArray:
    """b (d,) of the policy, or (m, d) of several."""
    truth, horizon = simulator.truth, simulator.horizon
    d = truth.policy.n_parameters
    return np.asarray(truth.each(lambda one: exact_baseline(one, horizon), d))


def fitted(R: FloatArray, Z: FloatArray, fit: str) -> FloatArray:
    """Baselines (m, 1, d), or (m, n, d) left out one at a time, from R (m, n, 1), Z (m, n, d)."""
    if fit == "in_sample":
        return ratio((R * Z**2).sum(axis=1, keepdims=True), (Z**2).sum(axis=1, keepdims=True))
    mean = others(R) / (R.shape[1] - 1)
    return ratio(others(R * Z**2), others(Z**2), mean)


def exact_baseline(truth: Truth, horizon: int) -> FloatArray:
    """b (d,) over ``horizon`` steps, unit reward; NotApplicable where it is too large to know."""
    try:
        mixed = mixed_moments(truth, horizon)
    except TooLarge as error:
        raise NotApplicable(f"the exact baseline is not known: {error}") from error
    return mixed.r + ratio(mixed.rz2, mixed.z2)


def moments(truth: Truth, horizon: int, batch_size: float, *, fit: str) -> Exact:
    """Mean and variance with exact baselines, E[(R - b) Z] and Var[(R - b) Z]; else as declared."""
    if fit != "exact":
        return Exact(None)
    exact_baseline(truth, horizon)  # refuses what is too large
    mixed = mixed_moments(truth, horizon)
    mean = mixed.rz - ratio(mixed.rz2, mixed.z2) * mixed.z if truth.unseen else mixed.rz
    second = mixed.r2z2 - ratio(mixed.rz2**2, mixed.z2)
    return Exact(mean, np.maximum(second - mean**2, 0.0) / batch_size)


estimator = BatchEstimator(
    name="baseline_per_coordinate",
    estimate=estimate,
    moments=moments,
    fewest=2,
    bias=lambda fit: ("batch", "truncation") if fit == "in_sample" else ("truncation",),
    formula=lambda fit: (
        r"\frac{1}{n}\sum_i (R_i - b_k)\sum_t \psi_{i,t,k},\,b_k = "
        + {
            "exact": r"E[R Z_k^2]\,/\,E[Z_k^2]",
            "in_sample": r"\sum_j R_j Z_{j,k}^2\,/\,\sum_j Z_{j,k}^2",
            "leave_one_out": r"\sum_{j\neq i} R_j Z_{j,k}^2\,/\,\sum_{j\neq i} Z_{j,k}^2",
        }[fit]
    ),
    reference="Peters & Schaal 2008 (Neural Networks); Lawrence, Cowan & Russell 2003",
    alone="",
)
