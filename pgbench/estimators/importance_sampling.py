"""Reward-to-go from another behaviour policy, every reward and score weighed by its own ratio."""

from typing import Any

from pgbench.estimators.parts.behaviour import (
    EXPLORATION,
    Exploration,
    behaviour_policy,
    ratios,
    wider,
)
from pgbench.estimators.parts.estimator import EVERYWHERE, TableEstimator
from pgbench.exact.linear_quadratic import QuadraticTruth
from pgbench.exact.truth import Truth
from pgbench.process.process import Process
from pgbench.process.tables import Tables


def tables(truth: Truth, *, exploration: Exploration = EXPLORATION) -> Any:
    """Per-decision importance sampling: reward-to-go under a behaviour policy (1-ε)π + ε/A.

    Of a Gaussian policy the behaviour has the same mean and the covariance Σ/(1-ε).
    """
    mdp = truth.mdp
    if isinstance(truth, QuadraticTruth):
        process = wider(truth, exploration)
        return Tables.build(process, sigma=mdp.reward, kappa=mdp.gamma, delta=mdp.gamma)
    behaviour = behaviour_policy(truth, exploration)
    ratio = ratios(truth, behaviour)
    return Tables.build(
        Process(mdp, behaviour),
        sigma=ratio[..., None] * mdp.reward,
        kappa=mdp.gamma * ratio,
        delta=mdp.gamma * ratio,
    )


estimator = TableEstimator(
    name="importance_sampling",
    tables=tables,
    bias=lambda exploration: ("truncation",),
    formula=r"\sum_t \gamma^t \psi_t \sum_{m\geq t} \gamma^{m-t} r_m \prod_{i\leq m} w_i,"
    r"\,w=\pi/\mu",
    reference="Precup, Sutton & Singh 2000, Section 4; Jie & Abbeel 2010",
    on=EVERYWHERE,
    unbounded=lambda exploration: True,
    corrects=True,
    alone="",
)
