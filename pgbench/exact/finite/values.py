"""Exact values, visitation, objective and gradient of a policy on a finite MDP.

    V = (I - γP_π)⁻¹ r_π        Q(s,a) = r(s,a) + γ Σ_s' P(s'|s,a) V(s')        A = Q - V
    d = (I - γP_πᵀ)⁻¹ μ0        J = μ0·V        ∇J = Σ_{s,a} d(s) A(s,a) ∇π(s,a)

d is the unnormalised visitation Σ_t γ^t Pr(s_t = s); it is zero on terminal states, in which no
step is taken. (Sutton, McAllester, Singh & Mansour 2000, Theorem 1)
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import check_counts
from pgbench.exact.finite import bounds, divergence, fisher
from pgbench.exact.finite.horizon import (
    advantages,
    finite_values,
    finite_worth,
    truncated_visitation,
)
from pgbench.exact.finite.walk import Walk
from pgbench.exact.horizon import expected_steps, finite_objective, truncated_gradient
from pgbench.exact.penalty import penalised
from pgbench.exact.truth import Truth, evaluate
from pgbench.policies import Policy
from pgbench.problems import FiniteMDP
from pgbench.process.process import Process

_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class FiniteTruth(Truth):
    """Exact quantities of one policy on one finite problem.

    Attributes are those of every truth; these have shapes of their own:

    Attributes
    ----------
    pi
        (S, A) float64, π(s, a).
    v, q
        (S,) and (S, A) float64, unit reward; with a horizon the values with H steps to go.
    visitation
        (S,) float64, unnormalised d(s) = Σ_{t<H} γ^t Pr(s_t = s); zero on terminal states.
    worth
        (S, A) float64, d(s) A(s,a), with a horizon Σ_{t<H} γ^t Pr(s_t = s) A_{H-t}(s,a): the
        gradient is Σ_{s,a} of it times ∇π(s,a).
    error_bound
        Bound on the largest error of V, unit reward; of rows of P and π divided by their sums.
    """

    mdp: FiniteMDP
    policy: Policy
    pi: FloatArray
    v: FloatArray
    q: FloatArray
    worth: FloatArray

    @cached_property
    def advantage(self) -> FloatArray:
        """A = Q - V, shape (S, A), unit reward; zero on terminal states."""
        return advantages(self.q, self.v)

    @cached_property
    def gradient_bound(self) -> float:
        """Proven bound on the length of the gradient's error; see ``finite.bounds``."""
        return bounds.gradient_error(self, self.worth)

    def at(self, theta: Any) -> "FiniteTruth":
        """The truth of another θ (d,) on the same problem, under the same objective."""
        if self.penalty is None:
            return evaluate_finite(self.mdp, self.policy, theta, self.horizon)
        own = self.penalty
        return evaluate_penalised(
            own.plain, self.policy, theta, own.coefficient, own.reference, self.horizon
        )

    @cached_property
    def unseen(self) -> bool:
        """Whether actions that are never taken have a say in ∇J, in states that are visited."""
        pairs = self.policy.unseen(self.theta)
        return pairs is not None and bool(pairs[self.visitation > 0].any())

    def drawn_from(self, behaviour: FloatArray) -> "FiniteTruth":
        """This truth with data from other probabilities (S, A); ValueError if they are none."""
        return replace(self, behaviour=_checked(self.mdp, behaviour))

    @cached_property
    def kept_mass(self) -> float:
        """Least Σ_a π(s,a) 1[μ(s,a) > 0] over states that π visits, μ being the behaviour; or 1.

        Below it no ratio π/μ makes up for what is never drawn.
        """
        if self.behaviour is None:
            return 1.0
        lost = np.where(self.behaviour > 0, 0.0, self.pi).sum(axis=1)
        return 1.0 - float(lost[self.visitation > 0].max(initial=0.0))

    @property
    def seen_gradient(self) -> FloatArray:
        """∇J (d,) less what actions that are never taken have to say: the pull-back of π d A."""
        if not self.unseen:
            return self.gradient
        return self.policy.pull_back(self.theta, self.pi * self.worth)

    @cached_property
    def process(self) -> Process:
        """What data come from: the problem under the policy, or under the behaviour."""
        return Process(self.mdp, self.pi if self.behaviour is None else self.behaviour)

    def fisher(self) -> FloatArray:
        """Fisher information F (d, d); see ``finite.fisher``."""
        return fisher.matrix(self.policy, self.theta, self.state_weights)

    def natural(self, g: FloatArray) -> FloatArray:
        """F†g (d,), the pseudo-inverse solution; see ``finite.fisher``."""
        return fisher.solve(self.policy, self.theta, self.state_weights, g)

    def kl(self, theta: Any) -> float:
        """E_{s~ρ} KL(π(s,·) ‖ π_θ(s,·)) to another θ (d,); see ``finite.divergence``."""
        return divergence.expected_kl(self, theta)

    def kl_expansion(self, delta: Any) -> float:
        """½ δᵀF δ, the divergence of a small step δ (d,); see ``finite.divergence``."""
        return divergence.quadratic(self, delta)


@evaluate.register
def evaluate_finite(
    mdp: FiniteMDP, policy: Any, theta: Any, horizon: int | None = None
) -> FiniteTruth:
    """Values, visits and gradient of a policy on a finite problem."""
    require_policy(mdp, policy)
    theta = policy.check(theta)
    with np.errstate(over="ignore", invalid="ignore"):
        pi = policy.probabilities(theta)
    if not np.isfinite(pi).all():
        largest = float(np.abs(theta).max(initial=0.0))
        raise ValueError(
            "the policy's probabilities are not numbers: theta has entries of"
            f" {largest:g} in size, too extreme for it"
        )
    never = np.argwhere((pi > 0) & ~mdp.choices)
    if never.size:
        s, a = never[0]
        raise ValueError(
            f"the policy takes action {a} in state {s}, which does not have it; make it by"
            " make_policy, or give it the problem's mask: allowed"
        )
    if horizon is None:
        v, bound = state_values(mdp, pi)
        visitation, _ = Walk.of(mdp, pi).solve(mdp.gamma, mdp.mu0, transposed=True)
        q = action_values(mdp, v)
        advantage = advantages(q, v)
        worth = visitation[:, None] * advantage
        gradient = policy.derivative(theta, advantage, visitation)
    else:
        check_counts(horizon=horizon)
        v, q = finite_values(mdp, pi, horizon)
        visitation, worth = finite_worth(mdp, pi, horizon)
        gradient = policy.derivative(theta, worth)
        bound = bounds.finite_value_error(Walk.of(mdp, pi), mdp.reward_size, mdp.gamma, horizon)
    return FiniteTruth(
        mdp=mdp,
        policy=policy,
        theta=theta,
        horizon=horizon,
        pi=pi,
        v=v,
        q=q,
        visitation=visitation,
        objective=float(mdp.mu0 @ v),
        worth=worth,
        gradient=gradient,
        error_bound=bound,
    ).finite()


def evaluate_penalised(
    mdp: FiniteMDP,
    policy: Policy,
    theta: Any,
    coefficient: float,
    reference: FloatArray,
    horizon: int | None = None,
) -> FiniteTruth:
    """Values and gradient where leaving a reference (S, A) costs; its ``penalty`` says what."""
    theta = policy.check(theta)
    penalty = penalised(mdp, policy.probabilities(theta), coefficient, reference)
    return replace(evaluate_finite(penalty.paying, policy, theta, horizon), penalty=penalty)


def require_policy(mdp: FiniteMDP, policy: Any) -> None:
    """ValueError if a policy is none for finite problems, or one of another size."""
    if not isinstance(policy, Policy):
        raise ValueError(f"policy is {policy!r}, must be made by make_policy for a finite problem")
    if policy.shape != (mdp.n_states, mdp.n_actions):
        raise ValueError(
            f"the policy has (S, A) = {policy.shape}, the problem {(mdp.n_states, mdp.n_actions)}"
        )


def _checked(mdp: FiniteMDP, behaviour: FloatArray) -> FloatArray:
    """Probabilities (S, A) of the actions that there are; ValueError says what is wrong."""
    found = np.asarray(behaviour, np.float64)
    if found.shape != (mdp.n_states, mdp.n_actions):
        needed = (mdp.n_states, mdp.n_actions)
        raise ValueError(f"the behaviour has shape {found.shape}, must be {needed}")
    wrong = ~(found >= 0) | (found > 0) & ~mdp.choices
    if wrong.any():
        s, a = np.argwhere(wrong)[0]
        raise ValueError(
            f"the behaviour has probability {found[s, a]:g} at state {s}, action {a}, must be"
            " ≥ 0, and 0 where the state does not have the action"
        )
    total = found.sum(axis=1)
    off = np.flatnonzero(~(np.abs(total - 1) <= _TOLERANCE))
    if off.size:
        raise ValueError(f"the behaviour sums to {total[off[0]]:.12g} in state {off[0]}, must to 1")
    return found


@expected_steps.register
def steps_of_rollout(mdp: FiniteMDP, pi: Any, horizon: int) -> float:
    """Σ_{t<H} Pr(s_t is not terminal)."""
    if not mdp.terminal.any():
        return float(horizon)
    return float(Walk.of(mdp, pi).within(horizon).forward(1.0).sum(horizon).sum())


@finite_objective.register
def objective_of_steps(truth: FiniteTruth, horizon: int) -> tuple[float, FloatArray]:
    """J_H and ∇J_H (d,), from visits and worth."""
    visitation, worth = finite_worth(truth.mdp, truth.pi, horizon)
    rewards = (truth.pi * truth.mdp.expected_reward).sum(axis=1)
    return float((visitation * rewards).sum()), truth.policy.derivative(truth.theta, worth)


@truncated_gradient.register
def gradient_of_steps(truth: FiniteTruth, horizon: int) -> FloatArray:
    """Σ_{t<H} γ^t E[A(s_t,a_t) ψ_t], shape (d,)."""
    d = truncated_visitation(truth.mdp, truth.pi, horizon)
    return np.asarray(truth.policy.derivative(truth.theta, truth.advantage, d), np.float64)


def action_values(mdp: FiniteMDP, v: FloatArray) -> FloatArray:
    """r(s,a) + γ Σ_s' P(s'|s,a) v(s'), shape (S, A); zero on terminal states."""
    return mdp.expected_reward + mdp.gamma * (mdp.transitions @ v).reshape(mdp.n_states, -1)


def state_values(mdp: FiniteMDP, pi: FloatArray) -> tuple[FloatArray, float]:
    """V_π (S,) over the infinite horizon and a bound on its largest error."""
    walk = Walk.of(mdp, pi)
    reward, size = walk.mean(mdp.expected_reward), walk.mean(mdp.reward_size)
    return walk.solve(mdp.gamma, reward, magnitude=size)
