"""The batch's mean return as baseline, the trajectory's own return included."""

from pgbench.arrays import FloatArray
from pgbench.estimators import rloo
from pgbench.estimators.parts.estimator import EVERYWHERE, BatchEstimator, Exact
from pgbench.exact.truth import Truth
from pgbench.rollout.simulator import Simulator


def estimate(simulator: Simulator) -> FloatArray:
    """Total return less the batch's mean return, times all scores; (1-1/n) times ``rloo``."""
    batch = simulator.batch()
    advantage = batch.returns - batch.returns.mean(axis=1, keepdims=True)
    return simulator.pull_back(batch.tables(advantage[:, :, None]))


def moments(truth: Truth, horizon: int, batch_size: float) -> Exact:
    """(1-1/n) times ``rloo``: a bias of exactly -∇J_H/n."""
    share = 1 - 1 / batch_size
    mean, variance = rloo.moments(truth, horizon, max(batch_size, 2))
    assert mean is not None
    return Exact(share * mean, None if variance is None else share**2 * variance)


estimator = BatchEstimator(
    name="group_mean",
    estimate=estimate,
    moments=moments,
    bias=lambda: ("batch", "truncation"),
    formula=r"\frac{1}{n}\sum_i (R_i - \bar R)\sum_t \psi_{i,t}",
    reference="Williams 1992, Section 5; as in Dr. GRPO, Liu et al. 2025",
    on=EVERYWHERE,
    alone="",
)
