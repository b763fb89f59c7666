"""Self-normalised importance sampling: trajectory ratios divided by their sum over the batch."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.behaviour import EXPLORATION, Exploration, behaved
from pgbench.estimators.parts.estimator import BatchEstimator, Exact
from pgbench.exact.horizon import finite_gradient
from pgbench.exact.truth import Truth
from pgbench.rollout.simulator import Simulator


def estimate(simulator: Simulator, *, exploration: Exploration = EXPLORATION) -> FloatArray:
    """Reward-to-go, each trajectory weighed by its share of the batch's ratios.

    Consistent as the batch grows; for one trajectory it is the gradient of the behaviour policy.
    """
    batch, ratio = behaved(simulator, exploration)
    weights = ratio.prod(axis=2)
    total = weights.mean(axis=1, keepdims=True)
    share = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return simulator.pull_back(batch.tables(share[:, :, None] * batch.discounts() * batch.to_go))


def moments(truth: Truth, horizon: int, batch_size: float, *, exploration: float) -> Exact:
    """∇J_H for an endless batch; else nothing is known."""
    return Exact(finite_gradient(truth, horizon) if np.isinf(batch_size) else None)


estimator = BatchEstimator(
    name="weighted_importance_sampling",
    estimate=estimate,
    moments=moments,
    bias=lambda exploration: ("batch",) * (exploration > 0) + ("truncation",),
    formula=r"\sum_i \frac{w(\tau_i)}{\sum_j w(\tau_j)} \sum_t \gamma^t \hat Q_{i,t}\,\psi_{i,t}",
    reference="Precup, Sutton & Singh 2000, Section 3; Tang & Abbeel 2010",
    corrects=True,
    alone="",
)
