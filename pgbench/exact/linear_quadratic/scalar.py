"""J, ∇J and F†∇J of a scalar problem all over gain and variance, for a picture of the lecture's.

In closed form: with a = A + Bθ1 and s² = σ_w² + B²θ2, k = (Q + Rθ1²)/(1-γa²) and
c = (Rθ2 + γks²)/(1-γ), J = -(k E[x_0²] + c); E_ρ[x²] = ((1-γ)E[x_0²] + γs²)/(1-γa²).
"""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.linear_quadratic.values import QuadraticTruth
from pgbench.problems import LinearQuadratic
from pgbench.problems.riccati import optimal_regulator

POINTS = 61
"""Gains and variances of a landscape each."""

MARGIN = 1.25
"""How far a landscape reaches, in distances of θ from the optimum."""


def landscape(truth: QuadraticTruth) -> dict[str, FloatArray]:
    """Arrays by the names of ``MAPS``; none but for θ = (gain, variance) alone.

    The landscape reaches beyond θ and the optimal gain, within the stable gains.
    """
    mdp, policy = truth.mdp, truth.policy
    if mdp.n != 1 or mdp.m != 1 or policy.affine or policy.log_std or mdp.gamma == 1:
        return {}
    best = float(optimal_regulator(mdp).gain[0, 0])
    A, B = float(mdp.A[0, 0]), float(mdp.B[0, 0])
    edges = np.sort((np.array([-1.0, 1.0]) / np.sqrt(mdp.gamma) - A) / B) if B else [-1.0, 1.0]
    inset = 0.02 * (edges[1] - edges[0])
    reach = max(MARGIN * abs(truth.theta[0] - best), 0.6)
    low, high = max(best - reach, edges[0] + inset), min(best + reach, edges[1] - inset)
    gain = np.linspace(low, high, POINTS)
    variance = np.linspace(0.0, max(MARGIN * truth.theta[1], 1.0), POINTS)
    variance[0] = 1e-3 * variance[1]
    J, gradient, natural = closed_form(mdp, gain[None, :], variance[:, None])
    return {
        "landscape_gain": gain,
        "landscape_variance": variance,
        "landscape_objective": J,
        "landscape_gradient": gradient,
        "landscape_natural_gradient": natural,
    }


def closed_form(
    mdp: LinearQuadratic, gain: FloatArray, variance: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """J (...), ∇J and F†∇J (..., 2) of a scalar problem at gains and variances that broadcast.

    NaN where the gain is not stable.
    """
    A, B, Q, R = (float(x[0, 0]) for x in (mdp.A, mdp.B, mdp.Q, mdp.R))
    noise, gamma = float(mdp.noise[0, 0]), mdp.gamma
    start = float(mdp.start[0, 0])
    t1, t2 = np.broadcast_arrays(gain, variance)
    a, s = A + B * t1, noise + B * B * t2
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(gamma * a * a < 1, 1 - gamma * a * a, np.nan)
        k = (Q + R * t1**2) / left
        J = -(k * start + (R * t2 + gamma * k * s) / (1 - gamma))
        k1 = 2 * (R * t1 + gamma * a * B * k) / left
        visits = start + gamma * s / (1 - gamma)
        gradient = np.stack([-k1 * visits, -(R + gamma * k * B * B) / (1 - gamma) + 0 * J], axis=-1)
        second = (1 - gamma) * visits / left
        natural = gradient * np.stack([t2 / second, 2 * t2**2], axis=-1)
    return J, gradient, natural
