"""OPO: the group's mean return weighted by length as baseline."""

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.advantages import GROUP
from pgbench.estimators.parts.by_trajectory import ratio
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.estimators.parts.transforms import CHANCE
from pgbench.exact.finite.tallies import Looks
from pgbench.process.responses import Responses


def weights(responses: Responses) -> FloatArray:
    """Return less the group's mean return weighted by lengths, times all scores.

    That is the optimal baseline if the scores of tokens are equally long and do not correlate.
    """
    R, lengths = responses.returns, responses.lengths
    total = (lengths * R).sum(axis=GROUP, keepdims=True)
    baseline = ratio(total, lengths.sum(axis=GROUP, keepdims=True))
    return (R - baseline) / responses.count


estimator = OutcomeEstimator(
    name="opo",
    weights=weights,
    looks=lambda several: Looks(key=("returns",), sums=("lengths",), apart=True),
    fewest=2,
    bias=lambda: ("batch", "truncation"),
    formula=(
        r"\frac{1}{n}\sum_i (R_i - \frac{\sum_{j\in g(i)} |\tau_j| R_j}"
        r"{\sum_{j\in g(i)} |\tau_j|})\sum_t \psi_{i,t}"
    ),
    follows=lambda: CHANCE,
    reference="Hao et al. 2025 (On-policy RL with optimal reward baseline), eq. 9",
    alone="",
)
