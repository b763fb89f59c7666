"""Maximum likelihood of success: the mean of the scores of those responses that succeed."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.advantages import GROUP
from pgbench.estimators.parts.by_trajectory import ratio
from pgbench.estimators.parts.outcomes import SUCCESS, OutcomeEstimator
from pgbench.estimators.parts.transforms import LOG
from pgbench.process.responses import Responses


def weights(
    responses: Responses,
    *,
    centred: Annotated[bool, "whether the mean of all scores is taken off"] = True,
) -> FloatArray:
    """Success over the group's rate of success, less 1, times all scores; 0 where none succeeds.

    Its mean is the gradient of -Σ_k (1-p)^k/k, the series of log p, cut off at k = G-1; at G
    without the mean of all scores, whose own mean is not zero, as groups without success lack it.
    """
    own = responses.success
    rate = own.mean(axis=GROUP, keepdims=True)
    weight = ratio(own, np.broadcast_to(rate, own.shape))
    return (weight - (rate > 0) * centred) / responses.count


estimator = OutcomeEstimator(
    name="max_likelihood",
    weights=weights,
    looks=lambda several, **_: SUCCESS,
    bias=lambda centred: ("transform", "truncation"),
    formula=lambda centred: (
        r"\frac{1}{n}\sum_i "
        + (r"(\frac{o_i}{\bar o_{g(i)}} - 1)" if centred else r"\frac{o_i}{\bar o_{g(i)}}")
        + r"\sum_t \psi_{i,t}"
    ),
    follows=lambda centred: LOG,
    reference="Tajwar et al. 2026 (Maximum likelihood reinforcement learning)",
    alone="",
)
