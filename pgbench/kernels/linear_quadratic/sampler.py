"""What rollouts of a linear-quadratic problem draw from: its matrices, and those of a policy."""

from typing import NamedTuple

import numpy as np

from pgbench.kernels.normal import table


class Sampler(NamedTuple):
    """What is simulated: x' = A x + B u + F ω, u = K̃x̃ + L ξ, x_0 = mean + F_0 ζ; normals' table.

    gain (k, m, n+1), factor (k, m, m), ratio (k, m, m) and log_ratio (k,) with log π(u|x)/μ(u|x) =
    log_ratio + eᵀ ratio e: of one policy, k = 1, or of one per replicate. ``weighed`` says whether
    ratios are taken.
    """

    A: np.ndarray
    B: np.ndarray
    noise: np.ndarray
    start_mean: np.ndarray
    start: np.ndarray
    gain: np.ndarray
    factor: np.ndarray
    ratio: np.ndarray
    log_ratio: np.ndarray
    weighed: bool
    normals: np.ndarray


def make_sampler(mdp, pi, target) -> Sampler:
    """Matrices of a ``LinearQuadratic`` under a Gaussian law π, or under one per replicate.

    ``target`` is the law that is scored: π itself, or another one of the same mean.
    """
    gain, factor = (a.reshape(-1, *a.shape[-2:]) for a in (pi.gain, pi.factor))
    ratio, log_ratio = np.zeros((len(gain), mdp.m, mdp.m)), np.zeros(len(gain))
    weighed = pi is not target
    if weighed:
        ratio = 0.5 * (pi.precision - target.precision).reshape(-1, mdp.m, mdp.m)
        log_ratio = np.atleast_1d(pi.log_volume - target.log_volume)
    return Sampler(
        A=np.ascontiguousarray(mdp.A),
        B=np.ascontiguousarray(mdp.B),
        noise=np.ascontiguousarray(mdp.noise_factor),
        start_mean=mdp.start_mean,
        start=np.ascontiguousarray(mdp.start_factor),
        gain=np.ascontiguousarray(gain),
        factor=np.ascontiguousarray(factor),
        ratio=np.ascontiguousarray(ratio),
        log_ratio=log_ratio,
        weighed=weighed,
        normals=table(),
    )
