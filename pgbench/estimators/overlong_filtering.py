"""Overlong filtering: responses that a limit cut keep their place in the group but have no loss."""

from typing import Annotated, Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.dapo import TokenMean
from pgbench.estimators.grpo import Correction, Eps, Std, relative, written
from pgbench.estimators.parts.outcomes import RETURNS, OutcomeEstimator
from pgbench.estimators.parts.transforms import ARCSINE, CHANCE
from pgbench.exact.finite.tallies import Looks
from pgbench.process.responses import Responses


def weights(
    responses: Responses,
    *,
    filtered: Annotated[bool, "whether responses that were cut are left out of the loss"] = True,
    std: Std = True,
    token_mean: TokenMean = True,
    eps: Eps = 1e-4,
    correction: Correction = 1,
) -> FloatArray:
    """DAPO's weights, zero for truncated responses, whose tokens do not count in the mean either.

    The group's mean and deviation are those of all its responses.
    """
    kept = np.where(responses.truncated, 0.0, 1.0) if filtered else np.ones_like(responses.lengths)
    advantage = relative(responses, std, eps, correction)
    if not token_mean:
        return kept * advantage / responses.count
    tokens = (kept * responses.lengths).sum(axis=(-2, -1), keepdims=True).clip(1)
    return np.asarray(kept * advantage / tokens, np.float64)


def bias(filtered: bool, std: bool, token_mean: bool, **other: Any) -> tuple[str, ...]:
    """Causes of bias."""
    own = ("filtering",) * filtered + ("normalisation",) * std + ("length",) * token_mean
    return (*own, "batch", "truncation")


def looks(several: bool, token_mean: bool, **other: Any) -> Looks:
    """What a weight looks at: lengths, of other groups too, of what is kept and what is not."""
    if not token_mean:
        return RETURNS
    beyond = Looks(key=("truncated",), sums=("lengths",), apart=True)
    return Looks(key=("returns", "truncated"), sums=("lengths",), apart=True, beyond=beyond)


estimator = OutcomeEstimator(
    name="overlong_filtering",
    weights=weights,
    looks=looks,
    fewest=2,
    bias=bias,
    formula=lambda filtered, std, token_mean, **_: (
        (r"\frac{1}{\sum_i m_i |\tau_i|}" if token_mean else r"\frac{1}{n}")
        + r"\sum_i m_i\,"
        + written(std)
        + r"\sum_t \psi_{i,t},\quad m_i = "
        + (r"1[\tau_i\ ended]" if filtered else "1")
    ),
    follows=lambda std, **_: ARCSINE if std else CHANCE,
    reference="Yu et al. 2025 (DAPO), Section 3.4",
    cures={
        "filtering": {"filtered": False},
        "normalisation": {"std": False},
        "length": {"token_mean": False},
    },
    alone="",
)
