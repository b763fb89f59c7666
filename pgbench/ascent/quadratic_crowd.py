"""Many Gaussian policies on one linear-quadratic problem, and everything exact about them."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.ascent.crowd import Crowd, gather
from pgbench.exact.linear_quadratic import QuadraticTruth
from pgbench.exact.linear_quadratic.values import unending
from pgbench.policies import Gaussian, NotApplicable
from pgbench.problems import LinearQuadratic

DOUBLINGS = 60
"""Most squarings of a closed loop: 2⁶⁰ steps."""


@dataclass(frozen=True, eq=False)
class QuadraticCrowd(Crowd):
    """m Gaussian policies on one linear-quadratic problem.

    Values of all of them are sums over steps, doubled until nothing is added any more (Anderson
    1978); single truths solve Lyapunov's equation instead.
    """

    mdp: LinearQuadratic
    policy: Gaussian

    def __post_init__(self) -> None:
        if self.entropy:
            raise NotApplicable("entropy is part of the objective for finite problems only")
        if self.under is not None and not self.under.plain:
            raise NotApplicable("a penalty is part of the objective for finite problems only")

    @cached_property
    def stable(self) -> BoolArray:
        """Which gains are stable, (m,)."""
        return self.policy.stable(self.theta)

    @cached_property
    def good(self) -> BoolArray:
        """Which replicates have a finite J: those that are stable and have a variance, (m,)."""
        return self.policy.allowed(self.theta)

    @cached_property
    def together(self) -> QuadraticTruth:
        """The exact quantities of all that are good: every array has them as its first axis."""
        return self._truths(self.theta[self.good])

    @cached_property
    def stand_ins(self) -> QuadraticTruth:
        """The exact quantities of all m, where a good one stands in for each that is not."""
        if self.good.all():
            return self.together
        able = np.where(self.good, np.arange(self.m), self.good.argmax())
        return self._truths(self.theta[able])

    def _truths(self, theta: FloatArray) -> QuadraticTruth:
        return unending(self.mdp, self.policy, theta, doubling)

    def truth(self, r: int) -> QuadraticTruth:
        """The exact quantities of replicate r alone, which must be good."""
        return self.together.one(int(self.good[:r].sum()))

    def spread_out(self, values: FloatArray) -> FloatArray:
        """Values (k, ...) of the good replicates as (m, ...), NaN for the others."""
        out = np.full((self.m, *values.shape[1:]), np.nan)
        out[self.good] = values
        return out

    @cached_property
    def objective(self) -> FloatArray:
        """J (m,), unit reward; NaN where it is not finite."""
        return self.spread_out(np.asarray(self.together.objective))

    @cached_property
    def gradient(self) -> FloatArray:
        """∇J (m, d), reward per unit of θ; NaN where J is not finite."""
        return self.spread_out(self.together.gradient)

    @cached_property
    def natural_gradient(self) -> FloatArray:
        """F†∇J (m, d)."""
        return self.natural(self.gradient)

    def natural(self, g: FloatArray) -> FloatArray:
        """F†g (m, d) of vectors g (m, d)."""
        return self.spread_out(self.together.natural(g[self.good]))

    def squared_lengths(self, delta: FloatArray) -> FloatArray:
        """δᵀFδ (m,) of δ (m, d): twice the divergence of a small step."""
        lengths = [
            delta[r] @ self.truth(int(r)).fisher() @ delta[r] for r in np.flatnonzero(self.good)
        ]
        return self.spread_out(np.array(lengths))

    @cached_property
    def differential_entropy(self) -> FloatArray:
        """½ log det(2πeΣ) (m,), in nats."""
        own = self.together.pi.log_volume
        return self.spread_out(own + 0.5 * self.mdp.m * np.log(2 * np.pi * math.e))


def doubling(a: FloatArray, c: FloatArray, decay: float) -> FloatArray:
    """X = Σ_k decay^k (aᵀ)^k c a^k (m, n, n), to rounding; a ``Solver``."""
    X, step = np.broadcast_to(c, a.shape).copy(), np.sqrt(decay) * a
    for _ in range(DOUBLINGS if len(a) else 0):
        added = np.swapaxes(step, 1, 2) @ X @ step
        X = X + added
        if not (np.abs(added) > np.finfo(np.float64).eps * np.abs(X).max() / 4).any():
            break
        step = step @ step
    return np.asarray((X + np.swapaxes(X, 1, 2)) / 2, np.float64)


gather.register(LinearQuadratic)(QuadraticCrowd)
