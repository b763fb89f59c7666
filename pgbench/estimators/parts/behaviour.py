"""The behaviour policy from which off-policy estimators take their data: theirs, or a sampler's.

Where a setting has a sampler it is the sampler, unless an exploration is given beside the default.
"""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.exact.linear_quadratic import QuadraticTruth
from pgbench.exact.truth import Truth
from pgbench.policies import NotApplicable
from pgbench.policies.law import Law
from pgbench.process.batch import Batch
from pgbench.process.process import GaussianProcess, Process
from pgbench.rollout.simulator import Simulator

Exploration = Annotated[
    float,
    Range(0, 1),
    "ε: actions are drawn from (1-ε)π + ε/A, 1 is uniform; from a Gaussian policy with its"
    " covariance over 1-ε; the sampler of a setting stands in place of the default",
]


EXPLORATION = 0.5
"""The exploration by default, in whose place the sampler of a setting stands."""

NEVER = 1e300
"""A clip that no ratio reaches."""


def behaviour_policy(truth: Truth, exploration: float) -> FloatArray:
    """μ (S, A): the sampler of the setting, or (1-ε)π + ε/A of the A actions that a state has."""
    if truth.behaviour is not None and exploration == EXPLORATION:
        return np.asarray(truth.behaviour)
    choices = truth.mdp.choices
    uniform = choices * (exploration / choices.sum(axis=1, keepdims=True))
    return np.asarray((1 - exploration) * truth.pi + uniform)


def wider(truth: QuadraticTruth, exploration: float) -> GaussianProcess:
    """The problem under N(K̃x̃, Σ/(1-ε)), scored as the policy itself."""
    if exploration == 1:
        raise NotApplicable("exploration is 1: a Gaussian has no uniform distribution for a limit")
    law = Law(truth.pi.gain, truth.pi.covariance / (1 - exploration))
    return GaussianProcess(truth.mdp, law, truth.pi)


def ratios(truth: Truth, behaviour: FloatArray) -> FloatArray:
    """w = π/μ, (S, A); 0 where μ is."""
    zero = np.zeros_like(behaviour)
    return np.divide(truth.pi, behaviour, out=zero, where=behaviour > 0)


def behaved(simulator: Simulator, exploration: float) -> tuple[Batch, FloatArray]:
    """A batch drawn by the behaviour policy, and its ratios (m, n, T), 1 where no step is taken."""
    truth = simulator.truth
    behaviour = simulator.once("behaviour", lambda: behaviour_policy(truth, exploration))
    process = simulator.once("process", lambda: Process(truth.mdp, behaviour))
    batch = simulator.batch(process=process)
    return batch, batch.at(ratios(truth, behaviour), otherwise=1.0)
