"""Leave-one-out: each trajectory's return less the mean return of the others."""

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.by_trajectory import others
from pgbench.estimators.parts.estimator import EVERYWHERE, BatchEstimator, Exact
from pgbench.exact.finite.returns import mixed_moments
from pgbench.exact.truth import Truth
from pgbench.rollout.simulator import Simulator


def estimate(simulator: Simulator) -> FloatArray:
    """Total return less the mean return of the batch's other trajectories, times all scores."""
    batch = simulator.batch()
    advantage = batch.returns - others(batch.returns) / (simulator.n - 1)
    return simulator.pull_back(batch.tables(advantage[:, :, None]))


def moments(truth: Truth, horizon: int, batch_size: float) -> Exact:
    """The unbiased sample covariance of return and score sum: its mean and its variance."""
    mixed = mixed_moments(truth, horizon)
    if truth.unseen:  # scores have a mean there, and moments are not about it
        return Exact(mixed.rz)
    n = batch_size
    pairs = (mixed.r2 * mixed.z2 + mixed.rz**2) / (n - 1)
    variance = (mixed.r2z2 - mixed.rz**2 + pairs) / n
    return Exact(mixed.rz, variance)


estimator = BatchEstimator(
    name="rloo",
    estimate=estimate,
    moments=moments,
    fewest=2,
    bias=lambda: ("truncation",),
    formula=r"\frac{1}{n}\sum_i (R_i - \frac{1}{n-1}\sum_{j\neq i} R_j)\sum_t \psi_{i,t}",
    reference="Kool, van Hoof & Welling 2019; Ahmadian et al. 2024",
    on=EVERYWHERE,
    alone="",
)
