"""Weak derivatives: the Gaussian's derivative as a difference of two distributions."""

from functools import partial

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.estimator import (
    BatchEstimator,
    Discounted,
    Exact,
    step_discount,
    step_power,
)
from pgbench.exact.linear_quadratic import QuadraticTruth
from pgbench.policies import Gaussian, NotApplicable
from pgbench.problems import LinearQuadratic
from pgbench.process.batch import QuadraticBatch
from pgbench.rollout.simulator import Simulator


def estimate(simulator: Simulator, *, discounted: Discounted = True) -> FloatArray:
    """Differences of exact Q at two actions per step and coordinate, in place of scores.

    With u_i = μ_i + σ_i ξ_i, the derivative along μ_i is that of E over ξ_i = W and ξ_i = -W with
    Rayleigh W, over σ_i√(2π); along log σ_i that of a double-sided Maxwell and a normal ξ_i. Both
    sides share W, so nothing is divided by σ. Actions that are not taken are not charged.
    """
    truth, batch = simulator.truth, simulator.batch()
    require_diagonal(truth.policy)
    sigma = np.diagonal(truth.pi.factor, axis1=-2, axis2=-1)
    size = sigma[..., None, None, :]
    W, M = np.moveaxis(simulator.random_numbers("weak derivative", partial(drawn, batch)), 1, 0)
    # Q(u_i = μ_i + a) is a parabola in a, whose slope at a = 0 is this.
    curvature = np.diagonal(truth.q.action, axis1=-2, axis2=-1)[..., None, None, :]
    rows = 2 * np.swapaxes(truth.q.matrix[..., truth.mdp.n + 1 :, :], -1, -2)
    slope = batch.z[:, :, :-1] @ rows[..., None, :, :] - 2 * curvature * batch.noise
    along_mean = slope * W * np.sqrt(2 / np.pi)
    along_log = (slope + curvature * (size * M + batch.noise)) * (size * M - batch.noise)
    discounts = batch.discounts(step_discount(truth, discounted))[:, None]
    zero = np.zeros_like(batch.noise)
    gain = batch.moments(discounts * along_mean, zero)[:, :, : truth.mdp.n + 1]
    total = (discounts * along_log).sum(axis=2).mean(axis=1) / (2 * sigma**2)
    covariance = total[:, :, None] * np.eye(truth.mdp.m)
    g = truth.policy.from_slopes(truth.theta, gain, covariance)
    return np.asarray(g, np.float64)


def drawn(batch: QuadraticBatch, rng: np.random.Generator, m: int) -> FloatArray:
    """Rayleigh and double-sided Maxwell numbers of m replicates, (m, 2, n, T, m_u)."""
    shape = (m, *batch.noise.shape[1:])
    rayleigh = np.sqrt(-2 * np.log1p(-rng.random(shape)))
    maxwell = np.sqrt((rng.standard_normal((3, *shape)) ** 2).sum(axis=0))
    maxwell *= np.where(rng.random(shape) < 0.5, -1.0, 1.0)
    return np.stack([rayleigh, maxwell], axis=1)


def require_diagonal(policy: Gaussian) -> None:
    """NotApplicable where actions have correlated noise."""
    if policy.full:
        raise NotApplicable("weak derivatives are taken coordinate by coordinate: diagonal Σ only")


def bias(discounted: bool) -> tuple[str, ...]:
    """Causes of bias."""
    return ("discount",) * (not discounted) + ("tail",)


def moments(truth: QuadraticTruth, horizon: int, batch_size: float, *, discounted: bool) -> Exact:
    """The declared mean is all that is known."""
    require_diagonal(truth.policy)
    return Exact(None)


estimator = BatchEstimator(
    name="weak_derivative",
    estimate=estimate,
    moments=moments,
    bias=bias,
    formula=lambda discounted: (
        rf"\sum_t {step_power(discounted)}"
        + r"\frac{Q(x_t, \mu + \sigma W) - Q(x_t, \mu - \sigma W)}"
        r"{\sigma\sqrt{2\pi}}\, \partial_\theta\mu(x_t)"
    ),
    reference="Pflug 1989; Mohamed, Rosca, Figurnov & Mnih 2020, Section 6; Carvalho, Tateo,"
    " Muratore & Peters 2021",
    cures={"discount": {"discounted": True}},
    on=(LinearQuadratic,),
    alone="",
)
