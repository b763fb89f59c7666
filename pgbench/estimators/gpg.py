"""GPG: mean-centred returns, scaled up for the groups that say nothing."""

from typing import Annotated, Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.dapo import TokenMean, divisor
from pgbench.estimators.parts.advantages import centred
from pgbench.estimators.parts.by_trajectory import ratio
from pgbench.estimators.parts.outcomes import RETURNS, TOKENS, OutcomeEstimator
from pgbench.estimators.parts.transforms import CHANCE
from pgbench.exact.finite.tallies import Looks
from pgbench.process.responses import Responses


def weights(
    responses: Responses,
    *,
    rescaled: Annotated[
        bool, "whether the sum is multiplied by all groups over those with different returns"
    ] = True,
    token_mean: TokenMean = True,
) -> FloatArray:
    """Return less the group's mean, times all scores, over the tokens, for groups with a signal.

    Groups whose returns are all the same have no gradient; the factor makes up for their number, as
    if the others had been drawn in their place. There is no division by a deviation.
    """
    advantage = centred(responses.returns)
    own = advantage / divisor(responses, token_mean)
    if not rescaled:
        return own
    speaking = advantage.any(axis=-1).sum(axis=-1)[..., None, None].astype(np.float64)
    return own * ratio(np.full_like(speaking, responses.returns.shape[-2]), speaking)


def bias(rescaled: bool, token_mean: bool, **other: Any) -> tuple[str, ...]:
    """Causes of bias."""
    own = ("normalisation",) * rescaled + ("length",) * token_mean
    return (*own, "batch", "truncation")


def looks(several: bool, rescaled: bool, token_mean: bool) -> Looks | None:
    """What a weight looks at; of other groups which have a signal, which is no sum."""
    if several and rescaled:
        return None
    return TOKENS if token_mean else RETURNS


estimator = OutcomeEstimator(
    name="gpg",
    weights=weights,
    looks=looks,
    fewest=2,
    bias=bias,
    formula=lambda rescaled, token_mean: (
        (r"\frac{P}{P'}\," if rescaled else "")
        + (r"\frac{1}{\sum_i |\tau_i|}" if token_mean else r"\frac{1}{n}")
        + r"\sum_i (R_i - \bar R_{g(i)})\sum_t \psi_{i,t}"
    ),
    follows=lambda **_: CHANCE,
    reference="Chu et al. 2025 (GPG: a simple and strong reinforcement learning baseline), eq. 7",
    cures={"normalisation": {"rescaled": False}, "length": {"token_mean": False}},
    alone="",
)
