"""Small continuous problems on which a wrong loss shows, each for a reason of its own."""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.trials.continuous.simulation import Trajectories, simulate
from pgbench.trials.continuous.system import CLIPPED, SQUASHED, System
from pgbench.trials.continuous.truth import ContinuousTruth

CRITIC_ERROR = 0.1
"""Error of the stand-in for a learned critic, as a share of the size of V."""

FIRST_STREAM = 200
"""Number of the first case's random streams; those of other batteries are lower."""


@dataclass(frozen=True, eq=False)
class ContinuousCase:
    """A system with a policy, a horizon and a batch size.

    Attributes
    ----------
    name, reason
        A word for it, and what shows on it.
    truth
        System, θ and horizon with everything exact about them.
    batch_size
        Trajectories of an estimate.
    stream
        Number of the case's random streams.
    """

    name: str
    reason: str
    truth: ContinuousTruth
    batch_size: int
    stream: int

    def simulate(self, replicates: int, seed: int, batch_size: int | None = None) -> Trajectories:
        """Independent trajectories for every seed, (R, N, T)."""
        own, n = self.truth, batch_size or self.batch_size
        return simulate(own.system, own.theta, own.horizon, replicates, n, seed, self.stream)

    def critic(self, x: FloatArray) -> FloatArray:
        """A critic (...) that errs by a tenth, and that goes on beyond limits as networks do.

        V(x) + 0.1 rms(V) √2 sin(3x + 1), with V at the limit for terminal states: nothing tells a
        network that these are worth nothing.
        """
        reach = self.truth.grid.reach
        own = self.truth.values.v(np.clip(x, -reach, reach))
        return np.asarray(own + CRITIC_ERROR * self._size * np.sqrt(2) * np.sin(3 * x + 1))

    @cached_property
    def _size(self) -> float:
        """Root of the mean square of V over visited states."""
        visits, v = self.truth.visits.sum(axis=0), self.truth.values.v(self.truth.grid.x)
        return float(np.sqrt(visits @ v**2 / visits.sum()))


@dataclass(frozen=True)
class _Plan:
    reason: str
    system: System
    theta: tuple[float, float, float]
    horizon: int
    batch_size: int = 4


PLANS = {
    "one step": _Plan(
        "a bandit whose rewards have no mean of zero, without a discount to lose: only the baseline"
        " and the log-probability can be wrong",
        System(
            a=0.0, b=1.0, noise=0.5, state_cost=0.0, action_cost=1.0, bonus=3.0, gamma=0.0,
            start_mean=0.8, start_scale=0.5, law=CLIPPED, bound=1.0,
        ),
        (0.5, 0.1, np.log(0.7)), horizon=1, batch_size=3,
    ),
    "regulator": _Plan(
        "the system sees actions as drawn, and everything is quadratic",
        System(
            a=0.8, b=0.6, noise=0.3, state_cost=1.0, action_cost=0.3, target=1.0, bonus=2.0,
            gamma=0.9, start_mean=-0.5, start_scale=0.4,
        ),
        (-0.5, 0.3, np.log(0.5)), horizon=5,
    ),
    "clipped": _Plan(
        "a third of the actions is clipped before the system sees them",
        System(
            a=0.8, b=0.6, noise=0.3, state_cost=1.0, action_cost=0.3, target=1.0, bonus=2.0,
            gamma=0.9, start_mean=-0.5, start_scale=0.4, law=CLIPPED, bound=0.6,
        ),
        (-0.4, 0.3, np.log(0.5)), horizon=5,
    ),
    "squashed": _Plan(
        "the system sees the hyperbolic tangent of actions, up to a factor",
        System(
            a=0.7, b=0.6, noise=0.3, state_cost=1.0, action_cost=0.3, target=1.0, bonus=2.0,
            gamma=0.9, start_mean=-0.5, start_scale=0.4, law=SQUASHED, bound=1.5,
        ),
        (-0.4, 0.3, np.log(0.6)), horizon=5,
    ),
    "cut short": _Plan(
        "rollouts are cut long before the discount has worn off",
        System(
            a=0.8, b=0.6, noise=0.4, state_cost=0.5, action_cost=0.3, target=1.0, bonus=1.5,
            gamma=0.97, start_mean=-0.3, start_scale=0.4, law=CLIPPED, bound=0.8,
        ),
        (-0.5, 0.4, np.log(0.5)), horizon=3,
    ),
    "limit": _Plan(
        "episodes end where the state leaves an interval; three quarters of them do in time",
        System(
            a=1.0, b=0.6, noise=0.3, state_cost=0.5, action_cost=0.3, target=0.5, bonus=2.0,
            gamma=0.9, start_mean=0.2, start_scale=0.1, law=CLIPPED, bound=0.8, limit=1.0,
        ),
        (0.4, 0.2, np.log(0.5)), horizon=6,
    ),
}  # fmt: skip


@cache
def cases() -> tuple[ContinuousCase, ...]:
    """All of them; made once."""
    return tuple(
        ContinuousCase(
            name,
            plan.reason,
            ContinuousTruth(plan.system, np.array(plan.theta), plan.horizon),
            plan.batch_size,
            stream,
        )
        for stream, (name, plan) in enumerate(PLANS.items(), FIRST_STREAM)
    )
