"""Group-relative advantages: returns standardised over the group, tokens averaged by length."""

from collections.abc import Mapping
from typing import Annotated, Any

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.estimators import group_mean
from pgbench.estimators.parts.advantages import centred, standardised
from pgbench.estimators.parts.estimator import Exact
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.estimators.parts.transforms import ARCSINE, CHANCE
from pgbench.exact.truth import Truth
from pgbench.process.responses import Responses

Std = Annotated[bool, "whether returns are divided by the group's standard deviation"]
Eps = Annotated[float, Range(0), "added to the standard deviation, unit reward"]
Correction = Annotated[int, Range(0, 1), "the deviation has G less this below: 1 as common code"]


def weights(
    responses: Responses,
    *,
    std: Std = True,
    length_normalised: Annotated[
        bool, "whether scores are divided by the length of their trajectory"
    ] = True,
    eps: Eps = 1e-4,
    correction: Correction = 1,
) -> FloatArray:
    """Return less the group's mean, over its standard deviation, times the mean of the scores.

    Without groups the batch is one, in which start states differ as the problem draws them. Of what
    the paper leaves open: the standard deviation has G-1 below, as common code has, and ε is 1e-4.
    There is one update per batch, so that importance ratios are 1 and nothing is clipped.
    """
    advantage = relative(responses, std, eps, correction) / responses.count
    return advantage / lengths(responses) if length_normalised else advantage


def relative(responses: Responses, std: bool, eps: float, correction: int) -> FloatArray:
    """Returns less the mean of their group (..., P, G), and over its deviation if asked."""
    if std:
        return standardised(responses.returns, eps, correction=correction)
    return centred(responses.returns)


def lengths(responses: Responses) -> FloatArray:
    """Steps of every trajectory (..., P, G), at least 1."""
    own: FloatArray = responses.lengths.clip(1)
    return own


def bias(std: bool, length_normalised: bool, **other: Any) -> tuple[str, ...]:
    """Causes of bias."""
    own = ("normalisation",) * std + ("length",) * length_normalised
    return (*own, "batch", "truncation")


def moments(truth: Truth, horizon: int, batch_size: float, **values: Any) -> Exact:
    """Without both normalisations those of ``group_mean``; else nothing but classes tells."""
    if values["std"] or values["length_normalised"]:
        return Exact(None)
    return group_mean.moments(truth, horizon, batch_size)


def written(std: bool) -> str:
    """The advantage, in a formula."""
    own = r"R_i - \bar R_{g(i)}"
    return rf"\frac{{{own}}}{{std(R_{{g(i)}}) + \epsilon}}" if std else f"({own})"


CURES: Mapping[str, Mapping[str, Any]] = {
    "normalisation": {"std": False},
    "length": {"length_normalised": False},
}

estimator = OutcomeEstimator(
    name="grpo",
    weights=weights,
    moments=moments,
    fewest=2,
    bias=bias,
    formula=lambda std, length_normalised, **_: (
        r"\frac{1}{n}\sum_i "
        + written(std)
        + (r"\,\frac{1}{|\tau_i|}" if length_normalised else "")
        + r"\sum_t \psi_{i,t}"
    ),
    follows=lambda std, **_: ARCSINE if std else CHANCE,
    reference="Shao et al. 2024 (DeepSeekMath), Section 4.1",
    cures=CURES,
    alone="",
)
