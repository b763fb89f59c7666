"""The pathwise gradient: rewards differentiated through the dynamics, with the noise held fixed."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.estimator import BatchEstimator, Exact
from pgbench.exact.horizon import finite_gradient
from pgbench.exact.linear_quadratic import QuadraticTruth
from pgbench.exact.linear_quadratic.moments import Chain, variance_of
from pgbench.exact.remember import remembered
from pgbench.exact.table_moments import TooLarge
from pgbench.problems import LinearQuadratic
from pgbench.problems.quadratic import Quadratic
from pgbench.rollout.simulator import Simulator


def estimate(simulator: Simulator) -> FloatArray:
    """Derivative of the return along θ with u = Kx + b + Lξ and ξ held fixed.

    The adjoint λ_t, the slope of the reward-to-go along x_t, runs backwards through the known
    dynamics; no score is taken. Its variance does not grow as the policy's falls.
    """
    truth, batch = simulator.truth, simulator.batch()
    mdp, gain, gamma = truth.mdp, truth.pi.gain[..., :-1], truth.mdp.gamma
    slopes = -2 * batch.actions @ mdp.R
    states = -2 * batch.states @ mdp.Q
    later = np.zeros_like(states[:, :, 0])
    for t in range(batch.shape[2] - 1, -1, -1):
        slopes[:, :, t] += gamma * later @ mdp.B
        later = states[:, :, t] + slopes[:, :, t] @ gain + gamma * later @ mdp.A
    left = batch.discounts()[:, None] * slopes
    g = truth.policy.pathwise(truth.theta, batch.moments(left, batch.noise))
    return np.asarray(g, np.float64)


def moments(truth: QuadraticTruth, horizon: int, batch_size: float) -> Exact:
    """∇J_H, and for scalar problems 1/n of the variance of one trajectory."""
    mean = finite_gradient(truth, horizon)
    try:
        return Exact(mean, one_trajectory(truth, horizon) / batch_size)
    except TooLarge:
        return Exact(mean)


@remembered
def one_trajectory(truth: QuadraticTruth, horizon: int) -> FloatArray:
    """Variance (d,) of one trajectory's estimate: λ obeys the recursion that returns do."""
    mdp = truth.mdp
    if mdp.n > 1 or mdp.m > 1:
        raise TooLarge("the exact variance is known for scalar problems")
    k, gamma = float(truth.pi.gain[0, 0]), mdp.gamma
    # 2M's rows are the slopes of zᵀMz along z = (x, 1, u).
    along_x, along_u = (Quadratic.linear(2 * mdp.reward.matrix[row], mdp.n) for row in (0, 2))
    nothing = 0.0 * mdp.reward
    chain = Chain(
        sigma=(along_x + k * along_u, nothing),
        kappa=gamma * float(mdp.A[0, 0] + mdp.B[0, 0] * k),
        own=(along_u, nothing),
        own_kappa=gamma * float(mdp.B[0, 0]),
        delta=gamma,
    )
    # ∂u/∂θ as tables: pathwise of a single step with slope one is linear in (x, 1, e).
    units = np.eye(3)[:, None, :]
    tables = np.zeros((truth.gradient.size, 2, 3))
    moved = truth.policy.pathwise(truth.theta, units)
    tables[:, 1, :2], tables[:, 0, 1] = moved[:2].T, moved[2]
    return variance_of(truth, chain, horizon, tables)


estimator = BatchEstimator(
    name="pathwise",
    estimate=estimate,
    moments=moments,
    bias=lambda: ("truncation",),
    formula=r"\sum_t \gamma^t (\partial_\theta u_t)^T (\partial_u r_t + \gamma B^T \lambda_{t+1})",
    reference="Heess, Wayne, Silver, Lillicrap, Erez & Tassa 2015; Mohamed, Rosca, Figurnov & Mnih"
    " 2020, Section 5",
    on=(LinearQuadratic,),
    alone="",
)
