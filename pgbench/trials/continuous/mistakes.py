"""What is put in place of scores by mistake, where the system does not see actions as drawn.

Which slips change what is climbed, and which do not:

    log π(e) of the Gaussian, e = clip(u) or L tanh u    wrong: ``score_of_applied``
    log π(u) where e is clipped                          right: the clip is a part of the system
    score of the law of clip(u), with its two atoms      right, with less variance (Fujita & Maeda
                                                         2018)
    Jacobian of tanh left out of log π                   right: its gradient along θ is zero
      of both densities of a ratio, of a divergence      right: it cancels
      of one density of a ratio                          wrong: ``jacobian_once``
      of an entropy                                      right of ∇J, wrong of the bonus:
                                                         ``ContinuousTruth.entropy_bonus``
    entropy of u where e is clipped                      a convention: e has no density

    u = μ(x) + σ ξ not held fixed in log π(u)            wrong: ``action_not_held``
    σ² in place of σ                                     wrong: ``variance_as_scale``

With V as baseline the means of the first differ from those without, for E_u χ is not zero.
"""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.trials.continuous.policy import GaussianPolicy
from pgbench.trials.continuous.system import System
from pgbench.trials.continuous.truth import Shares


def score_of_applied(system: System, policy: GaussianPolicy, theta: FloatArray) -> Shares:
    """χ = ψ(x, e): the Gaussian's log-probability is taken at what the system sees."""
    return lambda x, u: policy.shares(theta, x, system.applied(u))


def jacobian_once(system: System, policy: GaussianPolicy, theta: FloatArray) -> Shares:
    """χ = ψ du/de: of the ratio π_θ(e)/π_b(e) at θ = b the latter alone is of the Gaussian.

    It is a ratio to the density of u, so it is 1/(de/du) in place of 1.
    """

    def chi(x: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        ratio = np.exp(-system.log_jacobian(u))
        alpha, beta = policy.shares(theta, x, u)
        return ratio * alpha, ratio * beta

    return chi


def action_not_held(system: System, policy: GaussianPolicy, theta: FloatArray) -> Shares:
    """χ = ∇_θ log N(μ + σξ; μ, σ²) = -∇log σ: u was drawn as a function of θ, and stays one.

    Under the law ``squashed`` the Jacobian's -log de/du is differentiated along u as well, where
    ∇u = ∇μ + (u - μ) ∇log σ.
    """

    def chi(x: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        slope = system.log_jacobian_slope(u)
        return -slope, -1.0 - slope * (u - policy.mean(theta, x))

    return chi


def variance_as_scale(system: System, policy: GaussianPolicy, theta: FloatArray) -> Shares:
    """χ of N(μ, s²) with s = σ², which a library that asks for a deviation was handed."""

    def chi(x: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        middle, sigma = policy.moments(theta, x)
        z = (u - middle) / sigma**2
        return z / sigma**2, 2 * (z**2 - 1)

    return chi


SCORES = {
    "score_of_applied": (
        score_of_applied,
        "the log-probability is taken at what the environment sees of the action, by the law of the"
        " action as drawn",
    ),
    "jacobian_once": (
        jacobian_once,
        "of a ratio one density has the Jacobian of the squashed action, the other has not",
    ),
    "action_not_held": (
        action_not_held,
        "the action is differentiated along θ inside the log-probability: drawn by"
        " reparametrisation, it must be held fixed there (detach)",
    ),
    "variance_as_scale": (
        variance_as_scale,
        "the variance stands where the standard deviation is asked for",
    ),
}
"""Functions of a system, a policy and θ to what stands in place of scores, and what is wrong."""
