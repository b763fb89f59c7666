"""Small continuous problems on which a wrong loss shows, each for a reason of its own."""

import json
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import inf
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.parameters import ParameterError
from pgbench.functions import ContinuousBatch, ContinuousBatches
from pgbench.trials.case import CONTINUOUS, Case, Laboratory
from pgbench.trials.continuous.policy import LINEAR, GaussianPolicy, own_gaussian
from pgbench.trials.continuous.simulation import Trajectories, simulate
from pgbench.trials.continuous.system import CLIPPED, GAUSSIAN, SQUASHED, System
from pgbench.trials.continuous.truth import GAE, ContinuousTruth
from pgbench.trials.continuous.values import QuickValues

SMOOTH = 1e-6
"""The gradient under a user's network must be known to so much of its length."""

CRITIC_ERROR = 0.1
"""Error of the stand-in for a learned critic, as a share of the size of V."""

FIRST_STREAM = 200
"""Number of the first case's random streams; those of other batteries are lower."""

OWN = Laboratory(CONTINUOUS)
"""What all are tried with: data of the policy itself, for J."""


@dataclass(frozen=True, eq=False)
class ContinuousCase(Case):
    """A system with a policy, a horizon and a batch size.

    Attributes
    ----------
    name, reason, laboratory
        As of every case.
    truth
        System, θ and horizon with everything exact about them.
    horizon, batch_size
        Steps of a rollout at most, trajectories of an estimate.
    stream
        Number of the case's random streams.
    """

    name: str
    reason: str
    truth: ContinuousTruth
    horizon: int
    batch_size: int
    stream: int
    laboratory: Laboratory = OWN

    group_size = None
    exact_fields = "batch.exact_next_values"
    critic_fields = "batch.next_values"
    shared = True

    @property
    def system(self) -> System:
        """What is to be controlled."""
        return self.truth.system

    @property
    def policy(self) -> GaussianPolicy:
        """Mean and deviation of actions."""
        return self.truth.policy

    @property
    def theta(self) -> FloatArray:
        """θ (d,)."""
        return self.truth.theta

    @property
    def gamma(self) -> float:
        """γ."""
        return self.system.gamma

    @property
    def finite(self) -> FloatArray:
        """∇J_H (d,)."""
        return self.truth.gradient

    @property
    def endless(self) -> FloatArray:
        """∇J (d,)."""
        return self.truth.endless_gradient

    @cached_property
    def without_tail(self) -> FloatArray:
        """Σ_{t<H} γ^t E[A ψ] (d,)."""
        return self.truth.without_tail

    @cached_property
    def undiscounted(self) -> FloatArray:
        """Σ_{t<H} E[Q_{H-t} ψ_t] (d,)."""
        return self.truth.undiscounted

    @cached_property
    def undiscounted_oracle(self) -> FloatArray:
        """Σ_{t<H} E[A ψ_t] (d,)."""
        return self.truth.mean(weight=GAE, decay=1.0)

    def natural(self, g: FloatArray) -> FloatArray:
        """F⁻¹g (..., d)."""
        return np.asarray(np.linalg.solve(self.fisher(False), g[..., None])[..., 0])

    def fisher(self, steps: bool) -> FloatArray:
        """F (d, d) over discounted visits of an endless horizon, or over the steps taken."""
        return self.truth.fisher_of_steps() if steps else self.truth.endless_fisher()

    @property
    def traits(self) -> frozenset[str]:
        """``applied`` where the system does not see actions as drawn."""
        return frozenset({"applied"} if self.system.law != GAUSSIAN else ())

    @property
    def ends(self) -> bool:
        """Whether there are terminal states."""
        return self.system.limit < inf

    def terminal(self, states: FloatArray) -> BoolArray:
        """Which of these states (..., 1) end an episode."""
        return self.system.terminal(states)[..., 0]

    def simulate(self, replicates: int, seed: int, batch_size: int | None = None) -> Trajectories:
        """Independent trajectories for every seed, (R, N, T)."""
        n = batch_size or self.batch_size
        own = self.system, self.theta, self.horizon
        return simulate(*own, replicates, n, seed, self.stream, self.policy)

    def drawn(self, replicates: int, seed: int, batch_size: int | None = None) -> ContinuousBatches:
        """The first batches."""
        n = batch_size or self.batch_size
        made = self.simulate(replicates, seed, n)
        x, u, after = (one[..., None] for one in (made.states, made.actions, made.next_states))
        return ContinuousBatches(self, n, seed, x, u, after, made.rewards, made.mask)

    def with_valued_ends(self, batch: ContinuousBatch) -> ContinuousBatch:
        """The batch with exact values of one in terminal states."""
        ahead = np.where(batch.terminated, 1.0, batch.exact_next_values)
        return batch.having(exact_next_values=ahead)

    def critic(self, x: FloatArray) -> FloatArray:
        """A critic (...) that errs by a tenth, and that goes on beyond limits as networks do.

        V(x) + 0.1 rms(V) √2 sin(3x + 1), with V at the limit for terminal states: nothing tells a
        network that these are worth nothing.
        """
        reach = self.truth.grid.reach
        own = self.values.v(np.clip(x, -reach, reach))
        return np.asarray(own + CRITIC_ERROR * self._size * np.sqrt(2) * np.sin(3 * x + 1))

    @cached_property
    def values(self) -> QuickValues:
        """V and Q over an endless horizon."""
        return QuickValues.of(self.truth.values)

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
    "long": _Plan(
        "rollouts are long enough for the discount, and the system sees actions as drawn",
        System(
            a=0.6, b=0.8, noise=0.4, state_cost=1.0, action_cost=0.2, target=0.5, bonus=2.0,
            gamma=0.6, start_mean=-0.6, start_scale=0.4,
        ),
        (-0.3, 0.2, np.log(0.5)), horizon=12, batch_size=3,
    ),
}  # fmt: skip


def cases() -> tuple[ContinuousCase, ...]:
    """All of them, with linear policies; made once."""
    return laboratory_cases(OWN)


@cache
def laboratory_cases(laboratory: Laboratory) -> tuple[ContinuousCase, ...]:
    """All of them; made once.

    ParameterError for other data than the policy's, another objective, or a network of the user's
    that is no Gaussian policy or not smooth enough for quadrature.
    """
    if laboratory != replace(OWN, policy=laboratory.policy):
        raise ParameterError(
            f"the battery {CONTINUOUS} has data of the policy itself alone, and J for its objective"
        )
    own = own_gaussian(**_given(laboratory.policy)) if laboratory.policy else None
    return tuple(
        _case(stream, name, plan, laboratory, own)
        for stream, (name, plan) in enumerate(PLANS.items(), FIRST_STREAM)
    )


def _given(text: str) -> dict[str, Any]:
    """What a policy's JSON says, or its name."""
    given: dict[str, Any] = json.loads(text) if text.startswith("{") else {"policy": text}
    known = {"policy", "module", "options"}
    if unknown := sorted(set(given) - known):
        raise ParameterError(f"policy has no {unknown[0]!r}, must be of {', '.join(sorted(known))}")
    if "module" not in given:
        raise ParameterError("policy needs a module, such as net.py:Gauss")
    return given


def _case(
    stream: int,
    name: str,
    plan: _Plan,
    laboratory: Laboratory,
    own: tuple[GaussianPolicy, FloatArray] | None,
) -> ContinuousCase:
    policy, theta = own or (LINEAR, np.array(plan.theta))
    truth = ContinuousTruth(plan.system, theta, plan.horizon, policy=policy)
    if own is not None:
        _check(name, truth)
    shape = plan.horizon, plan.batch_size, stream
    return ContinuousCase(name, plan.reason, truth, *shape, laboratory)


def _check(name: str, truth: ContinuousTruth) -> None:
    """ParameterError where more nodes have another gradient, as with kinks."""
    try:
        finer = replace(truth, resolution=truth.resolution.finer)
        off = float(np.linalg.norm(finer.gradient - truth.gradient))
        size = float(np.linalg.norm(finer.gradient))
    except ValueError as error:
        raise ParameterError(f"the problem {name!r} under this policy: {error}") from None
    if not off <= SMOOTH * size:
        raise ParameterError(
            f"the problem {name!r} under this policy: its gradient by quadrature is known to"
            f" {off / size:.1g} of its length, must be to {SMOOTH:g}; networks must be smooth, with"
            " tanh or softplus in place of rectifiers"
        )
