"""The group's mean return as baseline, the trajectory's own return included."""

from pgbench.arrays import FloatArray
from pgbench.estimators import rloo
from pgbench.estimators.parts.advantages import centred
from pgbench.estimators.parts.estimator import EVERYWHERE, Exact
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.estimators.parts.transforms import CHANCE
from pgbench.exact.truth import Truth
from pgbench.process.responses import Responses


def weights(responses: Responses) -> FloatArray:
    """Total return less the group's mean return, times all scores; (1-1/G) times ``rloo``."""
    return centred(responses.returns) / responses.count


def moments(truth: Truth, horizon: int, batch_size: float) -> Exact:
    """(1-1/n) times ``rloo``: a bias of exactly -∇J_H/n."""
    share = 1 - 1 / batch_size
    mean, variance = rloo.moments(truth, horizon, max(batch_size, 2))
    assert mean is not None
    return Exact(share * mean, None if variance is None else share**2 * variance)


estimator = OutcomeEstimator(
    name="group_mean",
    weights=weights,
    moments=moments,
    bias=lambda: ("batch", "truncation"),
    formula=r"\frac{1}{n}\sum_i (R_i - \bar R_{g(i)})\sum_t \psi_{i,t}",
    follows=lambda: CHANCE,
    reference="Williams 1992, Section 5; as in Dr. GRPO, Liu et al. 2025",
    on=EVERYWHERE,
    alone="",
)
