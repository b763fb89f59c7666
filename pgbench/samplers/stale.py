"""Data that are older than the policy that learns from them."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.exact.finite.values import FiniteTruth
from pgbench.exact.truth import Truth
from pgbench.samplers.sampler import Sampler

Updates = Annotated[int, Range(0, 10_000), "k: how many updates old the data are"]
Step = Annotated[float, Range(0), "α of each update"]
Natural = Annotated[bool, "whether updates follow F†∇J, else ∇J"]


def table(
    truth: Truth, *, updates: Updates = 1, step: Step = 0.1, natural: Natural = False
) -> FloatArray:
    """The policy at the setting's θ, from which the one that learns is k exact updates away.

    Along an ascent that of its own path: data are from the iterate k updates ago, or from the first
    one, whatever step and direction are.
    """
    return np.asarray(truth.pi, np.float64)


def learner(truth: FiniteTruth, *, updates: int, step: float, natural: bool) -> FiniteTruth:
    """The truth after k updates θ ← θ + α∇J, or + αF†∇J, each with the exact gradient."""
    for _ in range(updates):
        direction = truth.natural_gradient() if natural else truth.gradient
        moved = truth.policy.retract((truth.theta + step * direction)[None])[0]
        truth = truth.at(moved)
    return truth


sampler = Sampler(
    "stale",
    table,
    r"\mu = \pi_{\theta_0},\,\theta_{i+1} = \theta_i + \alpha\,\nabla J(\theta_i)",
    "Espeholt et al. 2018 (policy lag)",
    learner=learner,
    lag=lambda updates, **other: updates,
    identity={"updates": 0},
)
