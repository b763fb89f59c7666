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

With V as baseline the means of the first differ from those without, for E_u χ is not zero.
"""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.trials.continuous.system import System, score
from pgbench.trials.continuous.truth import Score


def score_of_applied(system: System, theta: FloatArray) -> Score:
    """χ = ψ(x, e): the Gaussian's log-probability is taken at what the system sees."""

    def chi(x: FloatArray, u: FloatArray) -> FloatArray:
        return score(theta, x, system.applied(u))

    return chi


def jacobian_once(system: System, theta: FloatArray) -> Score:
    """χ = ψ du/de: of the ratio π_θ(e)/π_b(e) at θ = b the latter alone is of the Gaussian.

    It is a ratio to the density of u, so it is 1/(de/du) in place of 1.
    """

    def chi(x: FloatArray, u: FloatArray) -> FloatArray:
        ratio = np.exp(-system.log_jacobian(u))
        return np.asarray(ratio[..., None] * score(theta, x, u))

    return chi
