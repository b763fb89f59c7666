"""A policy of the same class at other parameters."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.exact.truth import Truth
from pgbench.samplers.sampler import Sampler


def table(
    truth: Truth,
    *,
    scale: Annotated[float, Range(0), "σ: standard deviation of what is added to θ"] = 0.1,
    seed: Annotated[int, Range(0), "of what is added"] = 0,
) -> FloatArray:
    """The policy at θ + σξ with fixed standard normal ξ, the nearest admissible one."""
    xi = np.random.default_rng(seed).standard_normal(truth.theta.size)
    other = truth.policy.retract((truth.theta + scale * xi)[None])[0]
    return np.asarray(truth.policy.probabilities(other), np.float64)


sampler = Sampler(
    "theta",
    table,
    r"\mu = \pi_{\theta + \sigma\,\xi}",
    "Precup, Sutton & Singh 2000",
    identity={"scale": 0.0},
)
