"""Reward-to-go less the exact state value."""

from pgbench.estimators.parts.estimator import (
    EVERYWHERE,
    Discounted,
    TableEstimator,
    by_state,
    step_discount,
    step_power,
)
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables


def tables(truth: Truth, *, discounted: Discounted = True) -> Tables:
    """Discounted reward-to-go less the exact value V(s_t), times each score."""
    mdp = truth.mdp
    return Tables.build(
        truth.process,
        sigma=mdp.reward,
        kappa=mdp.gamma,
        beta=by_state(truth.v),
        delta=step_discount(truth, discounted),
    )


estimator = TableEstimator(
    name="baseline_value",
    tables=tables,
    bias=lambda discounted: ("truncation",) if discounted else ("discount",),
    formula=lambda discounted: rf"\sum_t {step_power(discounted)}(\hat Q_t - V(s_t))\,\psi_t",
    reference="Williams 1992, Section 5; Sutton & Barto 2018, eq. 13.11",
    cures={"discount": {"discounted": True}},
    on=EVERYWHERE,
    alone="",
)
