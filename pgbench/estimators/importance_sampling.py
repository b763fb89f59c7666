"""Reward-to-go from another behaviour policy, every reward and score weighed by its own ratio."""

from typing import Annotated

import numpy as np

from pgbench.estimators.estimator import TableEstimator
from pgbench.exact.values import Truth
from pgbench.parameters import Range
from pgbench.process import Process
from pgbench.tables import Tables


def tables(
    truth: Truth,
    *,
    exploration: Annotated[
        float, Range(0, 1), "ε: actions are drawn from (1-ε)π + ε/A, 1 is uniform"
    ] = 0.5,
) -> Tables:
    """Per-decision importance sampling: reward-to-go under a behaviour policy (1-ε)π + ε/A."""
    mdp, pi = truth.mdp, truth.pi
    behaviour = (1 - exploration) * pi + exploration / mdp.n_actions
    ratio = np.divide(pi, behaviour, out=np.zeros_like(pi), where=behaviour > 0)
    return Tables.build(
        Process(mdp, behaviour),
        sigma=ratio[:, :, None] * mdp.reward,
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
)
