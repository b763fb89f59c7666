"""The exact advantage along the trajectory (form 4)."""

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
    """Exact A(s_t, a_t) times each score."""
    delta = step_discount(truth, discounted)
    return Tables.build(truth.process, beta=-truth.advantage, delta=delta)


estimator = TableEstimator(
    name="advantage_oracle",
    tables=tables,
    bias=lambda discounted: ("tail",) if discounted else ("discount", "tail"),
    formula=lambda discounted: rf"\sum_t {step_power(discounted)}A(s_t,a_t)\,\psi_t",
    reference="Sutton, McAllester, Singh & Mansour 2000; Baird 1993 (advantage)",
    cures={"discount": {"discounted": True}},
    on=EVERYWHERE,
    alone="",
)
