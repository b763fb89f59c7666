"""GRPO done right: neither standard deviation nor length, but one constant for all."""

from typing import Annotated

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Choice
from pgbench.estimators import group_mean
from pgbench.estimators.parts.estimator import Exact
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.estimators.parts.transforms import CHANCE
from pgbench.exact.truth import Truth
from pgbench.process.responses import Responses

Budget = Annotated[
    str, Choice(("horizon", "one")), "constant that scores are divided by: H, or 1 for none"
]


def weights(responses: Responses, *, budget: Budget = "horizon") -> FloatArray:
    """Return less the group's mean, times all scores, over the largest number of steps.

    It is ``group_mean`` over a constant: the published code sums over a response's tokens and
    divides by the generation budget, which is the horizon here.
    """
    return group_mean.weights(responses) / constant(responses.limit, budget)


def constant(horizon: int, budget: str) -> int:
    """What scores are divided by."""
    return horizon if budget == "horizon" else 1


def moments(truth: Truth, horizon: int, batch_size: float, *, budget: str) -> Exact:
    """Mean and variance of ``group_mean`` over the constant and its square."""
    c = constant(horizon, budget)
    mean, variance = group_mean.moments(truth, horizon, batch_size)
    return Exact(None if mean is None else mean / c, None if variance is None else variance / c**2)


estimator = OutcomeEstimator(
    name="dr_grpo",
    weights=weights,
    moments=moments,
    fewest=2,
    bias=lambda budget: ("length",) * (budget == "horizon") + ("batch", "truncation"),
    formula=lambda budget: (
        (r"\frac{1}{n H}" if budget == "horizon" else r"\frac{1}{n}")
        + r"\sum_i (R_i - \bar R_{g(i)})\sum_t \psi_{i,t}"
    ),
    follows=lambda budget: CHANCE,
    reference="Liu et al. 2025 (Understanding R1-Zero-like training), Section 3.2",
    cures={"length": {"budget": "one"}},
    alone="",
)
