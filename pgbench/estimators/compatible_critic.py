"""A critic that is linear in the scores, fitted on trajectories of its own."""

from functools import singledispatch

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.estimator import EVERYWHERE, BatchEstimator, Exact
from pgbench.estimators.parts.fisher_blocks import (
    applied,
    block_scores,
    require_small,
    sampled,
    sampled_fisher,
    solved,
)
from pgbench.exact.finite.several import FiniteTruths
from pgbench.exact.linear_quadratic import QuadraticTruth
from pgbench.exact.truth import Truth
from pgbench.rollout.simulator import Simulator


def estimate(simulator: Simulator) -> FloatArray:
    """ψ(s_t,a_t)·w times each score, w the least squares fit of reward-to-go less V to ψ·w.

    w fits Q̂ - V(s) on a batch of the same size that is charged, step t weighing γ^t; it is the
    solution of least norm, with the cutoff of ``natural``. An endless batch gives ∇J_H for every
    policy, since errors of the fit are orthogonal to the scores; at a finite size w is a ratio and
    its mean is not what it tends to. On the batch that it was fitted to the critic would change
    nothing: the estimate would be reward-to-go less V again, and w/(1-γ) itself is ``natural`` with
    ``fisher: same_batch``.
    """
    truth = simulator.truth
    own = simulator.batch("critic")
    error = own.discounts() * (own.to_go - own.value(truth.v))
    F = sampled_fisher(truth, own)
    # F carries the factor 1-γ and its right-hand side does not: this is w/(1-γ).
    w = solved(F, simulator.pull_back(own.tables(error)))
    batch = simulator.batch()
    if isinstance(truth, QuadraticTruth):
        return applied(sampled_fisher(truth, batch), w)
    return simulator.pull_back(sampled(truth, batch) * fitted(truth, w))


@singledispatch
def fitted(truth: Truth, w: FloatArray) -> FloatArray:
    """ψ(s,a)·w (m, S, A) of weights w (m, d)."""
    psi = block_scores(truth)
    G, _, k = psi.shape
    values = psi @ w.reshape(-1, G, k, 1)
    return np.asarray(values.reshape(-1, *truth.pi.shape), np.float64)


@fitted.register
def _(truth: FiniteTruths, w: FloatArray) -> FloatArray:
    return np.concatenate([fitted(truth.one(r), w[r : r + 1]) for r in range(truth.m)])


def moments(truth: Truth, horizon: int, batch_size: float) -> Exact:
    """Nothing is known."""
    require_small(truth)
    return Exact(None)


estimator = BatchEstimator(
    name="compatible_critic",
    estimate=estimate,
    moments=moments,
    bias=lambda: ("batch", "truncation"),
    formula=r"\frac{1}{n}\sum_i\sum_t \gamma^t\,(\psi_{i,t}\cdot\hat w)\,\psi_{i,t},"
    r"\,\hat w = argmin \sum \gamma^t (\hat Q - V - \psi\cdot w)^2",
    reference="Sutton, McAllester, Singh & Mansour 2000, Theorem 2; Kakade 2001",
    on=EVERYWHERE,
    alone="",
)
