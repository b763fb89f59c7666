"""Central finite differences of sampled returns, one coordinate of θ at a time."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import ParameterError, Range
from pgbench.estimators.parts.estimator import DRIVEN, BatchEstimator, Exact
from pgbench.estimators.parts.perturbation import (
    OTHER_POLICIES,
    central_differences,
    probabilities,
    require_free,
)
from pgbench.exact.horizon import finite_gradient
from pgbench.exact.truth import Truth
from pgbench.policies import NotApplicable
from pgbench.rollout.simulator import Simulator

LARGEST = 200
"""Largest d: an estimate takes 2 d n rollouts."""

Step = Annotated[float, Range(0), "ε: how far θ is moved each way; 0 has exact moments only"]


def estimate(
    simulator: Simulator,
    *,
    step: Step = 0.1,
    common: Annotated[bool, "whether both sides are driven by the same random numbers"] = True,
) -> FloatArray:
    """Differences of mean returns at θ ± ε along each coordinate, over 2ε; 2dn rollouts."""
    _require(simulator.truth)
    if step == 0:
        raise ParameterError("finite_differences.step is 0; a step to simulate must be above 0")
    truth, n = simulator.truth, simulator.n
    theta = np.atleast_2d(truth.theta)  # of the policy that all share, or of each
    gradient = np.empty((simulator.m, theta.shape[1]))
    for k in range(theta.shape[1]):
        thetas = np.repeat(theta[:, None], 2, axis=1)
        thetas[:, :, k] += step, -step
        uniforms = simulator.uniforms(f"finite differences {k}", 1 if common else 2, n)
        returns = simulator.driven(uniforms, probabilities(truth, thetas)).returns
        means = returns.mean(axis=1).reshape(-1, 2)
        gradient[:, k] = (means[:, 0] - means[:, 1]) / (2 * step)
    return gradient


def moments(truth: Truth, horizon: int, batch_size: float, *, step: float, common: bool) -> Exact:
    """Central differences of the exact J_H, or its gradient where the step is 0."""
    _require(truth)
    if step == 0:
        return Exact(finite_gradient(truth, horizon))
    return Exact(central_differences(truth, horizon, step))


def _require(truth: Truth) -> None:
    require_free(truth)
    if (d := truth.policy.n_parameters) > LARGEST:
        raise NotApplicable(f"θ has {d} parameters, finite differences take at most {LARGEST}")


estimator = BatchEstimator(
    name="finite_differences",
    estimate=estimate,
    moments=moments,
    bias=lambda step, common: ("smoothing",) * (step > 0) + ("truncation",),
    formula=lambda common, **_: (
        r"\frac{1}{2\epsilon n}\sum_i (R_i(\theta + \epsilon e_k)"
        + (r" - R_i" if common else r" - R_{n+i}")
        + r"(\theta - \epsilon e_k))"
    ),
    reference="Glynn 1989 (common random numbers); Peters & Schaal 2008, Section 3.1",
    cures={"smoothing": {"step": 0.0}},
    own_data=OTHER_POLICIES,
    drawing=DRIVEN,
    alone="",
)
