"""pass@k: the gradient of the chance that one of k responses succeeds."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.estimators.parts.advantages import GROUP
from pgbench.estimators.parts.outcomes import SUCCESS, OutcomeEstimator
from pgbench.estimators.parts.transforms import passed
from pgbench.policies import NotApplicable
from pgbench.process.responses import Responses


def weights(
    responses: Responses, *, k: Annotated[int, Range(1), "k, at most the group's size"] = 2
) -> FloatArray:
    """What a success adds to pass@k of its group, times all scores: unbiased for ∇(1-(1-p)^k).

    Averaged over all subsets of k that hold response i, it is what i adds to the subset's success:
    1 where i alone succeeds, which has the chance that k-1 others are all failures.
    """
    G, own = responses.group_size, responses.success
    if k > G:
        raise NotApplicable(f"the group size is {G}, pass@{k} needs at least {k}")
    failures = G - own.sum(axis=GROUP, keepdims=True)
    return k * own * none_succeeds(failures, G - 1, k - 1) / responses.count


def none_succeeds(failures: FloatArray, n: int, k: int) -> FloatArray:
    """The chance that k of n, of which so many are failures, drawn without repetition, all are."""
    drawn = np.arange(k)
    chances = np.maximum(failures[..., None] - drawn, 0) / (n - drawn)
    return np.asarray(chances.prod(axis=-1), np.float64)


estimator = OutcomeEstimator(
    name="pass_at_k",
    weights=weights,
    looks=lambda several, **_: SUCCESS,
    needs=lambda k: k,
    bias=lambda k: ("transform", "truncation"),
    formula=lambda k: (
        rf"\frac{{{k}}}{{n}}\sum_i o_i\,\frac{{\binom{{G - c_{{g(i)}}}}{{{k - 1}}}}}"
        rf"{{\binom{{G - 1}}{{{k - 1}}}}}\sum_t \psi_{{i,t}}"
    ),
    follows=lambda k: passed(k),
    reference="Walder & Karkhanis 2025 (pass@k policy optimization), leave-one-out form",
    alone="",
)
