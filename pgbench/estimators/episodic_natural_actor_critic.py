"""The natural gradient as regression of returns on sums of scores, one equation per trajectory."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.by_trajectory import in_parts, score_sums
from pgbench.estimators.parts.estimator import BatchEstimator
from pgbench.estimators.parts.fisher_blocks import least_squares
from pgbench.process.batch import Batch
from pgbench.rollout.simulator import Simulator


def estimate(simulator: Simulator) -> FloatArray:
    """Weights of the regression of returns on Σ_t γ^t ψ_t and a constant, over 1-γ.

    Summed along a trajectory, A(s,a) = ψ(s,a)·w gives R = J + (Σ_t γ^t ψ_t)·w but for noise, and w
    is then (1-γ)F†∇J (for γ = 1, F†∇J with F of the unnormalised visitation). The solution of least
    norm is taken: fewer trajectories than parameters leave w zero where the batch says nothing, so
    it is biased until n exceeds d by far. For large n it is the fit of A under weights γ^{2t} of
    step t, not γ^t, which is the natural gradient only where A is linear in ψ, as in tables.
    Eigenvalues below 1e-10 of the largest square of a Σ_t γ^t ψ_t count as zero.
    """

    def part(own: Simulator, batch: Batch) -> FloatArray:
        Z = score_sums(own, batch, batch.discounts())
        scale = (Z**2).sum(axis=2).max(axis=1)
        R = batch.returns - batch.returns.mean(axis=1, keepdims=True)
        return least_squares(Z - Z.mean(axis=1, keepdims=True), R, scale)

    w = in_parts(simulator, simulator.batch(), part)
    return np.asarray(w / simulator.truth.mdp.visit_weight)


estimator = BatchEstimator(
    name="episodic_natural_actor_critic",
    estimate=estimate,
    fewest=2,
    bias=lambda: ("critic", "batch", "truncation"),
    formula=r"\frac{1}{1-\gamma}\,argmin_w \min_b"
    r" \sum_i (R_i - b - w\cdot\sum_t \gamma^t \psi_{i,t})^2",
    reference="Peters & Schaal 2008 (Neurocomputing), episodic natural actor-critic",
    target="natural gradient",
    alone="",
)
