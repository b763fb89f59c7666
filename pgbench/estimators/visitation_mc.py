"""A Monte Carlo action value at a pair drawn from the visitation distribution (form 2)."""

from pgbench.estimators.parts.estimator import TableEstimator
from pgbench.exact.truth import Truth
from pgbench.process.process import random_horizon
from pgbench.process.tables import Tables


def tables(truth: Truth) -> Tables:
    """Undiscounted rewards of a second random stretch over 1-γ, times the score at its start.

    The pair (s,a) is drawn from ρ by a first random horizon. Unbiased for ∇J over the infinite
    horizon at the finite cost of about 2/(1-γ) steps.
    """
    process = random_horizon(truth.mdp, truth.process.pi, collect=True)
    return Tables.build(process, sigma=process.mdp.reward / (1 - truth.mdp.gamma), kappa=1.0)


estimator = TableEstimator(
    name="visitation_mc",
    tables=tables,
    bias=lambda: (),
    formula=r"\psi(s,a) \sum_{t<T} r_t / (1-\gamma),\,(s,a)\sim\rho,\,T\sim Geom(1-\gamma)",
    reference="Paternain, Bazerque, Small & Ribeiro 2021; Zhang, Koppel, Zhu & Başar 2020",
    alone="",
)
