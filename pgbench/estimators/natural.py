"""The natural gradient: an estimate of ∇J, multiplied by the inverse of a Fisher matrix."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Choice, Range
from pgbench.estimators import baseline_value
from pgbench.estimators.parts.estimator import EVERYWHERE, BatchEstimator, Exact
from pgbench.estimators.parts.fisher_blocks import (
    applied,
    block_shape,
    matrices,
    require_small,
    sampled_fisher,
    solved,
)
from pgbench.exact.expectation import expectation
from pgbench.exact.finite.fisher import pseudo_inverse
from pgbench.exact.horizon import finite_gradient
from pgbench.exact.linear_quadratic import QuadraticTruth
from pgbench.exact.remember import remembered
from pgbench.exact.table_moments import TooLarge, directional_variance
from pgbench.exact.truth import Truth
from pgbench.rollout.simulator import Simulator

Fisher = Annotated[
    str,
    Choice(("exact", "same_batch", "independent_batch")),
    "F: known, or ψψᵀ averaged over the batch itself, or over another of the same size",
]
Damping = Annotated[float, Range(0), "λ added to the diagonal of F; 0 takes the pseudo-inverse"]

DIRECTIONS = 1000
"""Largest d whose exact variance is worked out."""


def estimate(
    simulator: Simulator, *, fisher: Fisher = "exact", damping: Damping = 0.0
) -> FloatArray:
    """Reward-to-go less V times each score, multiplied by the inverse of a Fisher matrix.

    Sampled F̂ uses the actions taken: (1-γ) Σ_t γ^t ψ_t ψ_tᵀ, a mean over trajectories; steps beyond
    the horizon are missing from it, which makes the estimate longer. The pseudo-inverse of F̂ takes
    eigenvalues below 1e-10 of the largest for zero; with another batch's F̂ it drops what of ĝ lies
    where that batch never was. The other batch's steps are charged.
    """
    truth, batch = simulator.truth, simulator.batch()
    advantage = batch.to_go - batch.value(truth.v)
    g = simulator.pull_back(batch.tables(batch.discounts() * advantage))
    if fisher == "exact":
        inverse = truth.each(lambda one: exact_inverse(one, damping), *block_shape(truth))
        return np.asarray(applied(inverse, g))
    other = batch if fisher == "same_batch" else simulator.batch("fisher")
    return solved(sampled_fisher(truth, other), g, damping)


@remembered
def exact_inverse(truth: Truth, damping: float) -> FloatArray:
    """F†, or (F + λI)⁻¹, as blocks (G, k, k)."""
    require_small(truth)
    if isinstance(truth, QuadraticTruth):
        F = truth.fisher() + damping * np.eye(truth.gradient.size)
        return np.asarray(np.linalg.pinv(F, hermitian=True)[None], np.float64)
    if damping == 0:
        return pseudo_inverse(truth.policy, truth.theta, truth.state_weights)
    F = matrices(truth, (truth.state_weights[:, None] * truth.pi)[None])[0]
    return np.asarray(np.linalg.inv(F + damping * np.eye(F.shape[1])), np.float64)


def bias(fisher: str, damping: float) -> tuple[str, ...]:
    """Causes of bias."""
    return ("damping",) * (damping > 0) + ("batch",) * (fisher != "exact") + ("truncation",)


def moments(truth: Truth, horizon: int, batch_size: float, *, fisher: str, damping: float) -> Exact:
    """Mean and variance with exact F, of a linear map of ``baseline_value``; else unknown."""
    require_small(truth)
    if fisher != "exact":
        return Exact(None)
    g = finite_gradient(truth, horizon)
    if truth.unseen:
        g = expectation(truth, baseline_value.tables(truth), horizon)
    mean = applied(exact_inverse(truth, damping), g)
    try:
        return Exact(mean, one_trajectory(truth, horizon, damping) / batch_size)
    except TooLarge:
        return Exact(mean)


@remembered
def one_trajectory(truth: Truth, horizon: int, damping: float) -> FloatArray:
    """Variance (d,) of one trajectory's estimate: along the rows of the inverse."""
    blocks, d = exact_inverse(truth, damping), truth.gradient.size
    if d > DIRECTIONS:
        raise TooLarge(f"too large for exact moments: {d} directions, more than {DIRECTIONS}")
    rows = applied(blocks, np.eye(d))  # of a symmetric matrix
    return directional_variance(truth, baseline_value.tables(truth), horizon, rows)


def _written_inverse(fisher: str, damping: float) -> str:
    """What multiplies ĝ, in the formula."""
    F = {"exact": "F", "same_batch": r"\hat F", "independent_batch": r"\hat F_{2}"}[fisher]
    return rf"({F} + \lambda I)^{{-1}}" if damping > 0 else rf"{F}^\dagger"


estimator = BatchEstimator(
    name="natural",
    estimate=estimate,
    moments=moments,
    bias=bias,
    formula=lambda fisher, damping: (
        _written_inverse(fisher, damping)
        + r"\,\frac{1}{n}\sum_i\sum_t \gamma^t (\hat Q_{i,t} - V(s_{i,t}))\,\psi_{i,t}"
    ),
    reference="Kakade 2001; Bagnell & Schneider 2003; Peters & Schaal 2008 (Neurocomputing)",
    cures={"damping": {"damping": 0.0}},
    target="natural gradient",
    on=EVERYWHERE,
    alone="",
)
