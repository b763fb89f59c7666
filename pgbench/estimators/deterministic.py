"""The deterministic policy gradient: the slope of Q along the action, at the policy's mean."""

from typing import Annotated

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
from pgbench.exact.linear_quadratic.moments import Chain, variance_of
from pgbench.exact.linear_quadratic.values import finite_visits
from pgbench.exact.remember import remembered
from pgbench.exact.table_moments import TooLarge
from pgbench.problems import LinearQuadratic
from pgbench.problems.quadratic import Quadratic
from pgbench.rollout.simulator import Simulator

SecondOrder = Annotated[
    bool, "whether ½∇²Q along the action moves the covariance; without it nothing does"
]


def estimate(
    simulator: Simulator, *, second_order: SecondOrder = False, discounted: Discounted = True
) -> FloatArray:
    """∇_u Q(x_t, u) at the mean action, times the mean's derivative; exact Q.

    States come from the policy itself, whose variance explores and is not differentiated: as it
    falls to zero this is the gradient of the deterministic policy u = Kx + b. With
    ``second_order`` the covariance follows ½∇²Q, which for quadratic Q makes it the expectation of
    Q times the score over actions: expected policy gradients.
    """
    truth, batch = simulator.truth, simulator.batch()
    slope = truth.q.action_slope(truth.pi.gain)
    discounts = batch.discounts(step_discount(truth, discounted))
    left = discounts[:, None] * (batch.lifted @ np.swapaxes(slope, -1, -2)[..., None, :, :])
    along_mean = batch.moments(left, np.zeros_like(batch.noise))[:, :, : slope.shape[-1]]
    curvature = truth.q.action * (discounts.sum() if second_order else 0.0)
    along_covariance = np.broadcast_to(curvature, (len(along_mean), *curvature.shape[-2:]))
    g = truth.policy.from_slopes(truth.theta, along_mean, along_covariance)
    return np.asarray(g, np.float64)


def bias(second_order: bool, discounted: bool) -> tuple[str, ...]:
    """Causes of bias."""
    return ("exploration",) * (not second_order) + ("discount",) * (not discounted) + ("tail",)


def moments(
    truth: QuadraticTruth, horizon: int, batch_size: float, *, second_order: bool, discounted: bool
) -> Exact:
    """The mean, and where it is not too large 1/n of the variance of one trajectory."""
    delta = step_discount(truth, discounted)
    visits = finite_visits(truth.mdp, truth.pi, horizon, delta)
    steps = (delta ** np.arange(horizon)).sum()
    curvature = truth.q.action * (steps if second_order else 0.0)
    along_mean = truth.q.action_slope(truth.pi.gain) @ visits
    mean = truth.policy.from_slopes(truth.theta, along_mean, curvature)
    try:
        return Exact(mean, one_trajectory(truth, horizon, delta) / batch_size)
    except TooLarge:
        return Exact(mean)


@remembered
def one_trajectory(truth: QuadraticTruth, horizon: int, delta: float) -> FloatArray:
    """Variance (d,) of one trajectory's estimate; the covariance's part has none."""
    n, m = truth.mdp.n, truth.mdp.m
    slope = truth.q.action_slope(truth.pi.gain)
    nothing = 0.0 * truth.mdp.reward
    variances = np.zeros((m, n + 1))
    states = np.zeros((n + 1, m + 1, n + 1 + m))
    states[:, m, : n + 1] = np.eye(n + 1)
    for i in range(m):
        pair = (Quadratic.linear(np.append(slope[i], np.zeros(m)), n), nothing)
        chain = Chain(sigma=(nothing, nothing), kappa=0.0, own=pair, own_kappa=0.0, delta=delta)
        variances[i] = variance_of(truth, chain, horizon, states)
    # Variances of the entries of K̃, in the order of θ.
    return truth.policy.from_slopes(truth.theta, variances, np.zeros((m, m)))


estimator = BatchEstimator(
    name="deterministic",
    estimate=estimate,
    moments=moments,
    bias=bias,
    formula=lambda second_order, discounted: (
        rf"\sum_t {step_power(discounted)}"
        + r"[(\partial_\theta \mu(x_t))^T\, \nabla_u Q(x_t, u)|_{u=\mu(x_t)}"
        r" + \frac{1}{2} tr(\partial_\theta \Sigma\,\nabla_u^2 Q)]"
        if second_order
        else rf"\sum_t {step_power(discounted)}"
        + r"(\partial_\theta \mu(x_t))^T\, \nabla_u Q(x_t, u)|_{u=\mu(x_t)}"
    ),
    reference="Silver, Lever, Heess, Degris, Wierstra & Riedmiller 2014, Theorem 1; Ciosek &"
    " Whiteson 2018 (second order)",
    cures={"exploration": {"second_order": True}, "discount": {"discounted": True}},
    on=(LinearQuadratic,),
    alone="",
)
