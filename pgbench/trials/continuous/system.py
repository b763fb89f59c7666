"""Linear systems of one state and one action, and the laws by which actions reach them.

    x' = a x + b e + w,  w ~ N(0, τ²);   r = bonus - q (x - g)² - p e²;   x_0 ~ N(m, s²)
    e = u, clip(u, -L, L) or L tanh u

The policy draws u, the system sees e. An episode ends where |x| exceeds a limit, if there is one.
"""

from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from pgbench.arrays import BoolArray, FloatArray

GAUSSIAN, CLIPPED, SQUASHED = "gaussian", "clipped", "squashed"

LAWS = (GAUSSIAN, CLIPPED, SQUASHED)
"""What the system sees of an action: all of it; what lies within the limits, as PPO's code does;
its hyperbolic tangent, as that of soft actor-critic does (Haarnoja et al. 2018, Appendix C)."""


@dataclass(frozen=True)
class System:
    """A linear system with Gaussian noise, a quadratic reward and a law of actions.

    Attributes
    ----------
    a, b, noise
        Of x' = a x + b e + w, the last the standard deviation τ of w; noise > 0.
    state_cost, action_cost, target, bonus
        q, p, g and the constant of the reward bonus - q (x - g)² - p e².
    gamma
        Discount in [0, 1).
    start_mean, start_scale
        m and s of x_0 ~ N(m, s²); s > 0.
    law
        One of ``LAWS``.
    bound
        L, the largest |e|; infinite under the law ``gaussian``, finite under the others.
    limit
        States with |x| beyond it are terminal; infinite where none is.
    """

    a: float
    b: float
    noise: float
    state_cost: float
    action_cost: float
    gamma: float
    start_mean: float
    start_scale: float
    target: float = 0.0
    bonus: float = 0.0
    law: str = GAUSSIAN
    bound: float = inf
    limit: float = inf

    def __post_init__(self) -> None:
        if self.law not in LAWS:
            raise ValueError(f"law is {self.law!r}, must be one of {', '.join(LAWS)}")
        if not 0 <= self.gamma < 1:
            raise ValueError(f"gamma is {self.gamma!r}, must be in [0, 1)")
        for name in ("noise", "start_scale", "bound", "limit"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}, must be positive")
        if isfinite(self.bound) != (self.law != GAUSSIAN):
            allowed = "infinite" if self.law == GAUSSIAN else "finite"
            raise ValueError(f"bound is {self.bound!r}, must be {allowed} under the law {self.law}")

    @property
    def kinks(self) -> tuple[float, ...]:
        """Actions at which e as a function of u is not smooth."""
        return (-self.bound, self.bound) if self.law == CLIPPED else ()

    def applied(self, u: FloatArray) -> FloatArray:
        """What the system sees of actions (...) as drawn."""
        if self.law == SQUASHED:
            return self.bound * np.tanh(u)
        return np.clip(u, -self.bound, self.bound)

    def slope(self, u: FloatArray) -> FloatArray:
        """de/du (...), zero beyond the kinks of the clip."""
        if self.law == SQUASHED:
            return np.exp(self.log_jacobian(u))
        return np.asarray(np.abs(u) < self.bound, np.float64)

    def log_jacobian(self, u: FloatArray) -> FloatArray:
        """log de/du (...) under the law ``squashed``, zero under the others.

        log L + 2 (log 2 - u - log(1 + exp(-2u))). A clipped action has no density: its
        log-probability is, by convention, that of u.
        """
        if self.law != SQUASHED:
            return np.zeros_like(u)
        return np.asarray(np.log(self.bound) + 2 * (np.log(2) - u - np.logaddexp(0, -2 * u)))

    def log_jacobian_slope(self, u: FloatArray) -> FloatArray:
        """d/du log de/du (...): -2 tanh u under the law ``squashed``, zero under the others."""
        return -2 * np.tanh(u) if self.law == SQUASHED else np.zeros_like(u)

    def reward(self, x: FloatArray, e: FloatArray) -> FloatArray:
        """r (...) of states and of what the system sees of actions."""
        cost = self.state_cost * (x - self.target) ** 2 + self.action_cost * e**2
        return np.asarray(self.bonus - cost)

    def drift(self, x: FloatArray, e: FloatArray) -> FloatArray:
        """E[x' | x, e] (...)."""
        return self.a * x + self.b * e

    def terminal(self, x: FloatArray) -> BoolArray:
        """Which states (...) end an episode."""
        return np.asarray(np.abs(x) > self.limit)
