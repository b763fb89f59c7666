"""REINFORCE: the total return times the sum of scores (form 1)."""

from typing import Annotated

from pgbench.estimators.estimator import TableEstimator
from pgbench.exact.values import Truth
from pgbench.parameters import Choice
from pgbench.tables import Tables


def tables(
    truth: Truth,
    *,
    baseline: Annotated[
        float | str, Choice(("objective",)), "constant b; objective is J(θ), the mean return"
    ] = 0.0,
) -> Tables:
    """Total discounted return, less a constant baseline, times the sum of all scores."""
    b = truth.objective if isinstance(baseline, str) else baseline
    mdp = truth.mdp
    return Tables.build(truth.process, sigma=mdp.reward, kappa=mdp.gamma, beta=b, total=True)


estimator = TableEstimator(
    name="reinforce",
    tables=tables,
    bias=lambda baseline: ("truncation",),
    formula=r"(R(\tau) - b)\sum_t \psi_t",
    reference="Williams 1992, eq. 11",
)
