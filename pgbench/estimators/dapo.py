"""DAPO's token mean: group-relative advantages, every token of the batch counting the same."""

from typing import Annotated, Any

from pgbench.arrays import FloatArray
from pgbench.estimators.grpo import Correction, Eps, Std, relative, written
from pgbench.estimators.parts.advantages import BATCH
from pgbench.estimators.parts.outcomes import RETURNS, TOKENS, OutcomeEstimator
from pgbench.estimators.parts.transforms import ARCSINE, CHANCE
from pgbench.process.responses import Responses

TokenMean = Annotated[bool, "whether the sum is divided by all tokens; else by all responses"]


def weights(
    responses: Responses,
    *,
    std: Std = True,
    token_mean: TokenMean = True,
    eps: Eps = 1e-4,
    correction: Correction = 1,
) -> FloatArray:
    """Return less the group's mean, over its deviation, times all scores, over the batch's tokens.

    The paper averages over the tokens of a group; code does over those of the batch, which are the
    same without groups. Clipping has no effect in the first update on a batch; for responses that
    were cut and groups without signal see ``overlong_filtering`` and ``dynamic_sampling``.
    """
    return relative(responses, std, eps, correction) / divisor(responses, token_mean)


def divisor(responses: Responses, token_mean: bool) -> FloatArray | int:
    """Number of tokens of the batch (..., 1, 1), or of its responses."""
    if not token_mean:
        return responses.count
    tokens: FloatArray = responses.lengths.sum(axis=BATCH, keepdims=True).clip(1)
    return tokens


def bias(std: bool, token_mean: bool, **other: Any) -> tuple[str, ...]:
    """Causes of bias."""
    own = ("normalisation",) * std + ("length",) * token_mean
    return (*own, "batch", "truncation")


estimator = OutcomeEstimator(
    name="dapo",
    weights=weights,
    looks=lambda several, token_mean, **_: TOKENS if token_mean else RETURNS,
    fewest=2,
    bias=bias,
    formula=lambda std, token_mean, **_: (
        (r"\frac{1}{\sum_i |\tau_i|}" if token_mean else r"\frac{1}{n}")
        + r"\sum_i "
        + written(std)
        + r"\sum_t \psi_{i,t}"
    ),
    follows=lambda std, **_: ARCSINE if std else CHANCE,
    reference="Yu et al. 2025 (DAPO), Section 3.3",
    cures={"normalisation": {"std": False}, "length": {"token_mean": False}},
    alone="",
)
