"""Reward-to-go from another behaviour policy, weighed by the ratio of the whole trajectory."""

from pgbench.arrays import FloatArray
from pgbench.estimators import reward_to_go
from pgbench.estimators.parts.behaviour import EXPLORATION, Exploration, behaved
from pgbench.estimators.parts.estimator import BatchEstimator
from pgbench.rollout.simulator import Simulator


def estimate(simulator: Simulator, *, exploration: Exploration = EXPLORATION) -> FloatArray:
    """Trajectory-wise importance sampling: reward-to-go times Π_t π/μ of the whole trajectory."""
    batch, ratio = behaved(simulator, exploration)
    weights = ratio.prod(axis=2)[:, :, None]
    return simulator.pull_back(batch.tables(weights * batch.discounts() * batch.to_go))


estimator = BatchEstimator(
    name="trajectory_importance_sampling",
    estimate=estimate,
    like=lambda truth, horizon, **values: reward_to_go.tables(truth, horizon),
    bias=lambda exploration: ("truncation",),
    formula=r"\prod_t w_t \sum_t \gamma^t \hat Q_t\,\psi_t,\,w=\pi/\mu",
    reference="Precup, Sutton & Singh 2000, Section 3; Jie & Abbeel 2010",
    unbounded=lambda exploration: True,
    corrects=True,
    alone="",
)
