"""The exact action value along the trajectory (form 3)."""

from pgbench.estimators.parts.estimator import (
    EVERYWHERE,
    Discounted,
    TableEstimator,
    step_discount,
    step_power,
)
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables


def tables(truth: Truth, *, discounted: Discounted = True) -> Tables:
    """Exact Q(s_t, a_t) times each score."""
    return Tables.build(truth.process, beta=-truth.q, delta=step_discount(truth, discounted))


estimator = TableEstimator(
    name="q_oracle",
    tables=tables,
    bias=lambda discounted: ("tail",) if discounted else ("discount", "tail"),
    formula=lambda discounted: rf"\sum_t {step_power(discounted)}Q(s_t,a_t)\,\psi_t",
    reference="Sutton, McAllester, Singh & Mansour 2000, Theorem 1",
    cures={"discount": {"discounted": True}},
    on=EVERYWHERE,
    alone="",
)
