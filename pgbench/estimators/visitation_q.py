"""The exact action value at a state-action pair drawn from the visitation distribution (form 2)."""

from pgbench.estimators.parts.estimator import TableEstimator, at_random_horizon
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables


def tables(truth: Truth) -> Tables:
    """Exact Q(s,a)/(1-γ) times the score, with (s,a) drawn from ρ by a random horizon."""
    return at_random_horizon(truth, truth.q)


estimator = TableEstimator(
    name="visitation_q",
    tables=tables,
    bias=lambda: (),
    formula=r"Q(s,a)\,\psi(s,a) / (1-\gamma),\,(s,a)\sim\rho",
    reference="Sutton, McAllester, Singh & Mansour 2000, Theorem 1; "
    "Agarwal, Kakade, Lee & Mahajan 2021 (sampler)",
    alone="",
)
