"""What a function for continuous actions is given: one batch of trajectories, as plain arrays.

    u ~ N(μ_θ(s), σ_θ(s)²),  e = u, clip(u, -L, L) or L tanh u

The policy draws u, the environment sees e. By default μ = k s + c and θ = (k, c, log σ).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.functions.batches import Batches
from pgbench.functions.fields import AnyBatch, Made
from pgbench.functions.libraries import exp, like

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


class ContinuousBatch(AnyBatch):
    """N independent trajectories of at most T steps from one Gaussian policy.

    Every field is made when it is first asked for. Arrays are read-only copies, floats in
    ``dtype``. Where ``mask`` is false no step was taken, and whatever belongs to a step is zero. N
    and T are the same for every batch of a problem; ``flat`` has the steps taken alone, as one
    stream. States and actions have one coordinate.

    Attributes
    ----------
    states, next_states
        (N, T, 1) float64, s_t and s_{t+1}.
    actions
        (N, T, 1) float64, u_t, as the policy drew it.
    env_actions
        (N, T, 1) float64, e_t, what the environment saw of it.
    law, bound
        How u becomes e: ``gaussian``, as it is; ``clipped`` to [-L, L]; ``squashed``, L tanh u. And
        L, infinite of the first.
    rewards
        (N, T) float64, r_t, the reward for e_t.
    mask
        (N, T) bool, whether step t was taken.
    terminated
        (N, T) bool, whether e_t led to a terminal state, behind which nothing is paid.
    truncated
        (N, T) bool, whether the horizon cut the trajectory after e_t.
    ended
        (N,) bool, whether the trajectory ended in a terminal state; it was cut at T otherwise.
    group, group_size
        (N,) int64, 0 for all, and N: trajectories are independent.
    means, scales, covariances
        (N, T, 1), (N, T, 1) and (N, T, 1, 1) float64, mean, standard deviation and variance of the
        law of u_t.
    log_probs
        (N, T) float64, log-density of u_t, whatever the environment saw of it. It is what a clipped
        action is given too, which has no density of its own.
    env_log_probs
        (N, T) float64, of the law ``squashed`` the log-density of e_t, which is log_probs less
        log_jacobians; of the others log_probs.
    log_jacobians
        (N, T) float64, log de/du at u_t of the law ``squashed``, zero of the others.
    scores
        (N, T, d) float64, ψ_t = ∇_θ log π(u_t|s_t); that of e_t is the same, as de/du does not
        depend on θ.
    gamma
        Discount, in [0, 1).
    theta
        (d,) float64, (k, c, log σ) or the parameters of the user's network.
    horizon
        T.
    exact_values, exact_next_values, exact_action_values
        (N, T) float64, V(s_t), V(s_{t+1}) and Q(s_t, u_t) over an endless horizon, zero in terminal
        states: for critics that are never wrong. No real problem tells them.
    values, next_values
        (N, T) float64, a critic at s_t and at s_{t+1} that errs as a learned one does, in terminal
        states as well: no network knows where an episode ends.
    flat
        The steps taken alone, one trajectory after another: see ``Stream``.
    dtype
        Of all floats, float64 unless the function declares float32.
    rng
        Random numbers of this batch alone; the same batch has the same ones.
    """

    padding = "scales are 0 where mask is false, and nothing can be divided by them"

    env_actions = Made(lambda b: b._steps(b._place.system.applied(b._u))[..., None])
    law = Made(lambda b: b._place.system.law)
    bound = Made(lambda b: float(b._place.system.bound))
    means = Made(lambda b: b.mean(b._place.theta))
    scales = Made(lambda b: b._steps(b._scale)[..., None])
    covariances = Made(lambda b: b._steps(b._scale**2)[..., None, None])
    log_probs = Made(lambda b: b.log_prob(b._place.theta))
    env_log_probs = Made(lambda b: b.log_prob(b._place.theta) - b._log_jacobians)
    log_jacobians = Made(lambda b: b._log_jacobians)
    scores = Made(lambda b: b._scores)
    exact_values = Made(lambda b: b._steps(b._place.values.v(b._x)))
    exact_next_values = Made(lambda b: b._steps(b._place.values.v(b._next)))
    exact_action_values = Made(lambda b: b._steps(b._place.values.q(b._x, b._u)))
    values = Made(lambda b: b._steps(b._place.critic(b._x)))
    next_values = Made(lambda b: b._steps(b._place.critic(b._next)))

    @property
    def _x(self) -> FloatArray:
        return np.asarray(self._of("states")[..., 0])

    @property
    def _u(self) -> FloatArray:
        return np.asarray(self._of("actions")[..., 0])

    @property
    def _next(self) -> FloatArray:
        return np.asarray(self._of("next_states")[..., 0])

    @property
    def _scale(self) -> FloatArray:
        place = self._place
        return np.asarray(place.policy.scale(place.theta, self._x))

    @property
    def _log_jacobians(self) -> FloatArray:
        return self._steps(self._place.system.log_jacobian(self._u))

    @property
    def _scores(self) -> FloatArray:
        return np.asarray(self._place.truth.score(self._x, self._u) * self.mask[..., None])

    def _steps(self, values: Any) -> FloatArray:
        """Values of steps, (N, T); 0 where none was taken."""
        return np.asarray(values * self.mask)

    def pull_back(self, weights: Any) -> FloatArray:
        """Σ_{n,t} w_{n,t} ψ_t of trajectory n, (d,), of weights (N, T)."""
        w = np.asarray(weights, np.float64)
        return np.asarray(np.einsum("...nt,...ntd->...d", w, self._scores), self.dtype)

    def mean(self, theta: Any) -> Any:
        """Mean of u_t under another θ (d,), (N, T, 1), to differentiate; 0 where no step was taken.

        θ may be an array of NumPy, a tensor of PyTorch or an array of JAX; means are of its kind.
        """
        middle, _ = self._place.policy.traced(theta, like(theta, self._x))
        return (middle * like(theta, self.mask))[..., None]

    def log_prob(self, theta: Any) -> Any:
        """log π_θ(u_t|s_t), (N, T), to differentiate; 0 where no step was taken.

        Of u_t as drawn. Less ``log_jacobians`` it is that of a squashed e_t, with the same
        gradient.
        """
        middle, log_scale = self._place.policy.traced(theta, like(theta, self._x))
        z = (like(theta, self._u) - middle) / exp(log_scale)
        return -(z * z / 2 + log_scale + _HALF_LOG_2PI) * like(theta, self.mask)

    def entropy(self, theta: Any) -> Any:
        """Entropy of the law of u_t in nats, (N, T), to differentiate; 0 where no step was taken.

        That of a squashed e_t is larger by the mean of log de/du, which has no closed form.
        """
        _, log_scale = self._place.policy.traced(theta, like(theta, self._x))
        return (log_scale + 0.5 + _HALF_LOG_2PI) * like(theta, self.mask)


@dataclass(frozen=True)
class ContinuousBatches(Batches):
    """Batches of a continuous problem; states and actions are (R, N, T, 1) float64."""

    kind = ContinuousBatch
