"""REINFORCE++: returns standardised over the whole batch, whatever prompt they belong to."""

from dataclasses import replace
from typing import Annotated, Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Choice, Range
from pgbench.estimators.dapo import TokenMean, divisor
from pgbench.estimators.parts.advantages import BATCH, beyond_rounding, centred
from pgbench.estimators.parts.by_trajectory import ratio
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.estimators.parts.transforms import ARCSINE, CHANCE
from pgbench.exact.finite.tallies import Looks
from pgbench.process.responses import Responses

Baseline = Annotated[
    str,
    Choice(("none", "group")),
    "what is taken off a return before: nothing, or the group's mean, as in the baseline form",
]
Statistics = Annotated[
    str,
    Choice(("tokens", "responses")),
    "what mean and deviation are of: tokens, each with the return of its response, or responses",
]


def weights(
    responses: Responses,
    *,
    baseline: Baseline = "none",
    std: Annotated[bool, "whether advantages are divided by their deviation"] = True,
    statistics: Statistics = "tokens",
    token_mean: TokenMean = True,
    eps: Annotated[float, Range(0), "added to the variance, unit reward squared"] = 1e-8,
    correction: Annotated[
        int, Range(0, 1), "the variance has the number of tokens or responses less this below"
    ] = 0,
) -> FloatArray:
    """Return less the batch's mean, over the batch's deviation, times all scores, per token.

    The baseline form takes the mean of its group off a return first. Code whitens over all tokens
    of a batch, so that long responses count more in mean and deviation, and averages the loss over
    them. There is no penalty of divergence in the reward but that of the objective.
    """
    own = responses.returns if baseline == "none" else centred(responses.returns)
    counts = responses.lengths if statistics == "tokens" else np.ones_like(responses.lengths)
    advantage = whitened(own, counts, eps, std, correction)
    return advantage / divisor(responses, token_mean)


def whitened(
    x: FloatArray, counts: FloatArray, eps: float, std: bool, correction: int = 0
) -> FloatArray:
    """x (..., P, G) less its mean over the batch, x counted so many times, over its deviation."""
    total = counts.sum(axis=BATCH, keepdims=True)
    mean = ratio((counts * x).sum(axis=BATCH, keepdims=True), total)
    advantage = beyond_rounding(x - mean, x, BATCH)
    if not std:
        return advantage
    square = ratio((counts * advantage**2).sum(axis=BATCH, keepdims=True), total - correction)
    return ratio(advantage, np.sqrt(square + eps))


def bias(std: bool, token_mean: bool, **other: Any) -> tuple[str, ...]:
    """Causes of bias."""
    own = ("normalisation",) * std + ("length",) * token_mean
    return (*own, "batch", "truncation")


def looks(several: bool, baseline: str, **other: Any) -> Looks | None:
    """What a weight looks at; with a baseline of other groups what their means are."""
    if several and baseline == "group":
        return None
    seen = Looks(key=("returns",), sums=("lengths",), apart=True)
    return replace(seen, beyond=seen)


_MEAN = r"\frac{1}{n}\sum_i A_i"

estimator = OutcomeEstimator(
    name="reinforce_plus_plus",
    weights=weights,
    looks=looks,
    fewest=1,
    bias=bias,
    formula=lambda baseline, std, statistics, token_mean, **_: (
        (r"\frac{1}{\sum_i |\tau_i|}" if token_mean else r"\frac{1}{n}")
        + r"\sum_i "
        + (r"\frac{A_i - \bar A}{\sqrt{var(A) + \epsilon}}" if std else r"(A_i - \bar A)")
        + r"\sum_t \psi_{i,t},\quad \bar A = "
        + (r"\frac{\sum_i |\tau_i| A_i}{\sum_i |\tau_i|}" if statistics == "tokens" else _MEAN)
        + r",\quad A_i = R_i"
        + (r" - \bar R_{g(i)}" if baseline == "group" else "")
    ),
    follows=lambda std, **_: ARCSINE if std else CHANCE,
    reference="Hu 2025 (REINFORCE++), Sections 3.1 and 3.2",
    cures={"normalisation": {"std": False}, "length": {"token_mean": False}},
    alone="",
)
