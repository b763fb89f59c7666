"""Reward-to-go from another behaviour policy, every reward and score weighed by its own ratio."""

from pgbench.estimators.behaviour import Exploration, behaviour_policy, ratios
from pgbench.estimators.estimator import TableEstimator
from pgbench.exact.values import Truth
from pgbench.process import Process
from pgbench.tables import Tables


def tables(truth: Truth, *, exploration: Exploration = 0.5) -> Tables:
    """Per-decision importance sampling: reward-to-go under a behaviour policy (1-ε)π + ε/A."""
    mdp = truth.mdp
    behaviour = behaviour_policy(truth, exploration)
    ratio = ratios(truth, behaviour)
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
