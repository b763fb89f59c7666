"""Group-relative advantages: returns standardised over the batch, tokens averaged by length."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.estimators import group_mean
from pgbench.estimators.parts.by_trajectory import ratio
from pgbench.estimators.parts.estimator import BatchEstimator, Exact
from pgbench.exact.truth import Truth
from pgbench.rollout.simulator import Simulator


def estimate(
    simulator: Simulator,
    *,
    std: Annotated[bool, "whether returns are divided by their standard deviation"] = True,
    length_normalised: Annotated[
        bool, "whether scores are divided by the length of their trajectory"
    ] = True,
    eps: Annotated[float, Range(0), "added to the standard deviation, unit reward"] = 1e-4,
) -> FloatArray:
    """Return less the batch's mean, over its standard deviation, times the mean of the scores.

    The batch is the group; start states differ within it as the problem draws them. Of what the
    paper leaves open: the standard deviation has n-1 below, as common code has, and ε is 1e-4.
    There is one update per batch, so that importance ratios are 1 and nothing is clipped.
    """
    batch = simulator.batch()
    advantage = relative(batch.returns)
    if std:
        spread = np.sqrt((advantage**2).sum(axis=1, keepdims=True) / (simulator.n - 1))
        advantage = ratio(advantage, spread + eps)
    if length_normalised:
        advantage = advantage / np.maximum(batch.lengths, 1)
    return simulator.pull_back(batch.tables(advantage[:, :, None]))


def relative(R: FloatArray) -> FloatArray:
    """R (m, n) less its mean; zero where that is no more than rounding, which ε may not hide."""
    advantage = R - R.mean(axis=1, keepdims=True)
    hidden = 4 * np.finfo(np.float64).eps * np.abs(R).max(axis=1, keepdims=True)
    return np.where(np.abs(advantage) > hidden, advantage, 0.0)


def bias(std: bool, length_normalised: bool, eps: float) -> tuple[str, ...]:
    """Causes of bias."""
    return ("normalisation",) * (std or length_normalised) + ("batch", "truncation")


def moments(
    truth: Truth,
    horizon: int,
    batch_size: float,
    *,
    std: bool,
    length_normalised: bool,
    eps: float,
) -> Exact:
    """Without both normalisations it is ``group_mean``; else nothing is known."""
    if std or length_normalised:
        return Exact(None)
    return group_mean.moments(truth, horizon, batch_size)


estimator = BatchEstimator(
    name="grpo",
    estimate=estimate,
    moments=moments,
    fewest=2,
    bias=bias,
    formula=lambda std, length_normalised, **_: (
        r"\frac{1}{n}\sum_i "
        + (r"\frac{R_i - \bar R}{std(R) + \epsilon}" if std else r"(R_i - \bar R)")
        + (r"\,\frac{1}{|\tau_i|}" if length_normalised else "")
        + r"\sum_t \psi_{i,t}"
    ),
    reference="Shao et al. 2024 (DeepSeekMath), Section 4.1",
    cures={"normalisation": {"std": False, "length_normalised": False}},
    alone="",
)
