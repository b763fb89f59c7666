"""Reward-to-go: only rewards that follow an action weigh its score (form 3)."""

from pgbench.estimators.parts.constant_baseline import ConstantBaseline, with_baseline, written_less
from pgbench.estimators.parts.estimator import (
    EVERYWHERE,
    Discounted,
    TableEstimator,
    step_discount,
    step_power,
)
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables


def tables(
    truth: Truth,
    horizon: int | None,
    *,
    baseline: ConstantBaseline = 0.0,
    discounted: Discounted = True,
) -> Tables:
    """Discounted reward-to-go, less a constant baseline, times each score; also known as GPOMDP."""
    return with_baseline(truth, horizon, baseline, delta=step_discount(truth, discounted))


estimator = TableEstimator(
    name="reward_to_go",
    tables=tables,
    bias=lambda baseline, discounted: ("truncation",) if discounted else ("discount",),
    formula=lambda baseline, discounted: (
        rf"\sum_t {step_power(discounted)}" + r"\,\psi_t".join(written_less(r"\hat Q_t", baseline))
    ),
    reference="Baxter & Bartlett 2001; Sutton, McAllester, Singh & Mansour 2000",
    cures={"discount": {"discounted": True}},
    on=EVERYWHERE,
    alone="",
)
