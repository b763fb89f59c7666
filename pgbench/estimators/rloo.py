"""Leave-one-out: each trajectory's return less the mean return of the others of its group."""

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.advantages import leave_one_out
from pgbench.estimators.parts.estimator import EVERYWHERE, Exact
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.estimators.parts.transforms import CHANCE
from pgbench.exact.finite.returns import mixed_moments
from pgbench.exact.truth import Truth
from pgbench.process.responses import Responses


def weights(responses: Responses) -> FloatArray:
    """Total return less the mean return of the group's other trajectories, times all scores."""
    return leave_one_out(responses.returns) / responses.count


def moments(truth: Truth, horizon: int, batch_size: float) -> Exact:
    """The unbiased sample covariance of return and score sum: its mean and its variance."""
    mixed = mixed_moments(truth, horizon)
    if truth.unseen:  # scores have a mean there, and moments are not about it
        return Exact(mixed.rz)
    n = batch_size
    pairs = (mixed.r2 * mixed.z2 + mixed.rz**2) / (n - 1)
    variance = (mixed.r2z2 - mixed.rz**2 + pairs) / n
    return Exact(mixed.rz, variance)


estimator = OutcomeEstimator(
    name="rloo",
    weights=weights,
    moments=moments,
    fewest=2,
    bias=lambda: ("truncation",),
    formula=(
        r"\frac{1}{n}\sum_i (R_i - \frac{1}{G-1}\sum_{j\neq i,\,j\in g(i)} R_j)\sum_t \psi_{i,t}"
    ),
    follows=lambda: CHANCE,
    reference="Kool, van Hoof & Welling 2019; Ahmadian et al. 2024",
    on=EVERYWHERE,
    alone="",
)
