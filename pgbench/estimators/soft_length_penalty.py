"""The soft length penalty: what is taken off the return of responses that near the limit."""

from typing import Annotated, Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.estimators.dapo import TokenMean, divisor
from pgbench.estimators.grpo import Correction, Eps, Std
from pgbench.estimators.parts.advantages import centred, standardised
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.exact.finite.tallies import Looks
from pgbench.process.responses import Responses

Share = Annotated[
    float, Range(0, 1), "share of the limit on length over which the penalty grows, at its end"
]
Size = Annotated[float, Range(0), "penalty of a response as long as the limit, unit reward"]


def weights(
    responses: Responses,
    *,
    share: Share = 0.25,
    size: Size = 1.0,
    std: Std = True,
    token_mean: TokenMean = True,
    eps: Eps = 1e-4,
    correction: Correction = 1,
) -> FloatArray:
    """DAPO's weights of the return less a penalty that grows linearly up to the limit on length.

    It is zero up to (1 - share) H tokens and reaches its size at H: the gradient is that of another
    reward.
    """
    R = responses.returns - penalty(responses, share, size)
    advantage = standardised(R, eps, correction=correction) if std else centred(R)
    return advantage / divisor(responses, token_mean)


def penalty(responses: Responses, share: float, size: float) -> FloatArray:
    """What is taken off (..., P, G), unit reward."""
    H = responses.limit
    begins = (1 - share) * H
    over = np.maximum(responses.lengths - begins, 0.0)
    return np.asarray(size * (over / (H - begins) if share else 0.0 * over), np.float64)


def bias(size: float, std: bool, token_mean: bool, **other: Any) -> tuple[str, ...]:
    """Causes of bias."""
    own = ("shaping",) * (size > 0) + ("normalisation",) * std + ("length",) * token_mean
    return (*own, "batch", "truncation")


estimator = OutcomeEstimator(
    name="soft_length_penalty",
    weights=weights,
    looks=lambda several, token_mean, **_: Looks(
        key=("returns", "lengths"), beyond=Looks(sums=("lengths",)) if token_mean else None
    ),
    fewest=2,
    bias=bias,
    formula=lambda share, size, std, token_mean, **_: (
        (r"\frac{1}{\sum_i |\tau_i|}" if token_mean else r"\frac{1}{n}")
        + r"\sum_i "
        + (
            r"\frac{R'_i - \bar R'_{g(i)}}{std(R'_{g(i)}) + \epsilon}"
            if std
            else r"(R'_i - \bar R'_{g(i)})"
        )
        + r"\sum_t \psi_{i,t},\quad R'_i = R_i - "
        + rf"{size:g}\,\max(\frac{{|\tau_i| - {1 - share:g} H}}{{{share:g} H}}, 0)"
    ),
    follows=lambda **_: None,
    reference="Yu et al. 2025 (DAPO), eq. 13",
    cures={
        "shaping": {"size": 0.0},
        "normalisation": {"std": False},
        "length": {"token_mean": False},
    },
    alone="",
)
