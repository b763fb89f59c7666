"""LUSPO: the mean of a response's scores times its length, so that length does not count."""

from pgbench.arrays import FloatArray
from pgbench.estimators import grpo
from pgbench.estimators.grpo import Correction, Eps, Std
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.estimators.parts.transforms import ARCSINE, CHANCE
from pgbench.process.responses import Responses


def weights(
    responses: Responses, *, std: Std = True, eps: Eps = 1e-4, correction: Correction = 1
) -> FloatArray:
    """GRPO's weight times the response's length: its advantage times all scores.

    Sequence objectives have the length-normalised ratio (π/μ)^(1/|τ|), whose gradient is the mean
    of a response's scores where both policies are the same; the length in front takes that back.
    """
    return grpo.weights(responses, std=std, eps=eps, correction=correction) * grpo.lengths(
        responses
    )


estimator = OutcomeEstimator(
    name="luspo",
    weights=weights,
    fewest=2,
    bias=lambda std, **_: ("normalisation",) * std + ("batch", "truncation"),
    formula=lambda std, **_: (
        r"\frac{1}{n}\sum_i "
        + grpo.written(std)
        + r"\,|\tau_i|\,\frac{1}{|\tau_i|}\sum_t \psi_{i,t}"
    ),
    follows=lambda std, **_: ARCSINE if std else CHANCE,
    reference="Liu et al. 2026 (Length-Unbiased Sequence Policy Optimization)",
    cures={"normalisation": {"std": False}},
    alone="",
)
