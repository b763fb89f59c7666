"""Reward-to-go: only rewards that follow an action weigh its score (form 3)."""

from typing import Annotated

from pgbench.estimators.estimator import Discounted, TableEstimator, step_discount
from pgbench.exact.values import Truth
from pgbench.parameters import Choice
from pgbench.tables import Tables


def tables(
    truth: Truth,
    *,
    baseline: Annotated[
        float | str, Choice(("objective",)), "constant b; objective is J(θ), the mean return"
    ] = 0.0,
    discounted: Discounted = True,
) -> Tables:
    """Discounted reward-to-go, less a constant baseline, times each score; also known as GPOMDP."""
    b = truth.objective if isinstance(baseline, str) else baseline
    mdp = truth.mdp
    delta = step_discount(truth, discounted)
    return Tables.build(truth.process, sigma=mdp.reward, kappa=mdp.gamma, beta=b, delta=delta)


estimator = TableEstimator(
    name="reward_to_go",
    tables=tables,
    bias=lambda baseline, discounted: ("truncation",) if discounted else ("discount",),
    formula=r"\sum_t \gamma^t (\hat Q_t - b)\,\psi_t",
    reference="Baxter & Bartlett 2001; Sutton, McAllester, Singh & Mansour 2000",
    cures={"discount": {"discounted": True}},
)
