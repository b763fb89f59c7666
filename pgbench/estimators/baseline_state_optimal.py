"""Reward-to-go less the state baseline that scores weigh: large scores count more."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.estimator import Discounted, TableEstimator, step_discount, step_power
from pgbench.exact.finite.scores import squared_norms
from pgbench.exact.remember import remembered
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables


def tables(truth: Truth, *, discounted: Discounted = True) -> Tables:
    """Reward-to-go less b(s_t), the mean of Q weighed by the squared norms of the scores.

    b*(s) = E[Q ‖ψ‖² | s]/E[‖ψ‖² | s] leaves each step's own term the least total variance. The
    covariances between steps, which the best baseline would count too, play no part. Q is exact
    and of the infinite horizon; where the score is zero for every action b* is V.
    """
    return Tables.build(
        truth.process,
        sigma=truth.mdp.reward,
        kappa=truth.mdp.gamma,
        beta=truth.each(state_optimal, truth.mdp.n_states)[..., None],
        delta=step_discount(truth, discounted),
    )


@remembered
def state_optimal(truth: Truth) -> FloatArray:
    """b* (S,), unit reward."""
    weights = truth.pi * squared_norms(truth.policy, truth.theta)
    total = weights.sum(axis=1)
    # Of A and not of Q, so that b* keeps its digits where the two are close.
    excess = (weights * truth.advantage).sum(axis=1)
    return truth.v + np.divide(excess, total, out=np.zeros_like(total), where=total > 0)


estimator = TableEstimator(
    name="baseline_state_optimal",
    tables=tables,
    bias=lambda discounted: ("truncation",) if discounted else ("discount",),
    formula=lambda discounted: (
        rf"\sum_t {step_power(discounted)}(\hat Q_t - b^*(s_t))\,\psi_t,"
        r"\,b^* = E[Q\,|\psi|^2\,|\,s]\,/\,E[|\psi|^2\,|\,s]"
    ),
    reference="Greensmith, Bartlett & Baxter 2004",
    cures={"discount": {"discounted": True}},
    alone="",
)
