"""What is proven of exact ascent, and where it is valid.

Theorems are stated for rewards in [0, 1]. Shifted and scaled rewards give the same ascent with a
scaled step size, so with rewards in an interval of length R (which holds 0 where episodes end, for
nothing is paid afterwards) they hold with η R in place of η, and R times the bound.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.ascent.climb import Trace
from pgbench.ascent.goal import ALL, FiniteGoal, Goal, SoftGoal
from pgbench.ascent.smoothness import reward_range
from pgbench.declared.ascents import CHECKS
from pgbench.objectives import Objective
from pgbench.policies import Direct, Parameterised, Softmax
from pgbench.problems import FiniteMDP, Problem

ROUNDING = 1e-9
"""Relative slack of every check."""


@dataclass(frozen=True, eq=False)
class Theory:
    """What is proven of a run.

    name
        Of the bound, with its source, or nothing.
    bound
        (L,) upper bound on J* - J(θ_k), NaN where none is known.
    violations
        Per key of ``CHECKS`` the number of logged iterates that violate it, NaN where it is not
        valid.
    """

    name: str
    bound: FloatArray
    violations: dict[str, float]


NATURAL = "natural gradient: KL(π*, π_0)/(ηT) + R/((1-γ)²T) (Agarwal et al. 2021, Section 5.3)"
SOFTMAX = "softmax: 16 S R ‖d*/μ‖² ‖1/μ‖/(c²(1-γ)⁶ t) (Mei et al. 2020, Theorem 4)"
SOFT = "natural gradient under a penalty: (2+γ) C (1-ηc)^(k-1) (Cen et al. 2022, Theorem 1)"
PROJECTED = "projected: √(64 γ S A/((1-γ)⁶ T)) R ‖d*/μ‖ (Agarwal et al. 2021, Section 4.1)"


def theory(
    mdp: Problem,
    policy: Parameterised,
    goal: Goal,
    trace: Trace,
    ascent: str,
    rule: str,
    step: float,
    objective: Objective | None = None,
) -> Theory:
    """What holds for a run.

    Parameters
    ----------
    mdp, policy, goal, trace
        The problem, the parameterisation, what is aimed at, and the run.
    ascent
        ``gradient`` or ``natural`` where the exact gradient without entropy is followed by that
        algorithm; anything else has no bound.
    rule, step
        Name of the rule for step sizes, and its constant.
    objective
        What is maximised, J where it is not given.
    """
    L = trace.steps.size
    if objective is not None and isinstance(goal, SoftGoal):
        natural = ascent == "natural" and rule == "constant"
        return _under_a_penalty(objective, goal, trace, step if natural else 0.0)
    if not isinstance(mdp, FiniteMDP) or not isinstance(goal, FiniteGoal):
        return Theory("", np.full(L, np.nan), dict.fromkeys(CHECKS, np.nan))
    name, bound = "", np.full(L, np.nan)
    discounted = mdp.gamma < 1 and goal.kind == ALL
    R = reward_range(mdp)
    softmax, direct = isinstance(policy, Softmax), isinstance(policy, Direct)
    natural = ascent == "natural" and softmax and rule == "constant" and step > 0
    smooth = ascent == "gradient" and rule == "smoothness"
    T = np.maximum(trace.steps, 1).astype(float)
    if discounted and natural:
        name = NATURAL
        bound = _divergence(mdp, policy, goal, trace) / (step * T) + R / ((1 - mdp.gamma) ** 2 * T)
    elif discounted and smooth and mdp.mu0.min() > 0:
        mismatch = float(((1 - mdp.gamma) * goal.visitation / mdp.mu0).max())
        if softmax:
            name = SOFTMAX
            c = trace.optimal_probability
            scale = 16 * mdp.n_states * R * mismatch**2 / mdp.mu0.min()
            bound = scale / (c**2 * (1 - mdp.gamma) ** 6 * T)
        elif direct:
            name = PROJECTED
            square = 64 * mdp.gamma * mdp.n_states * mdp.n_actions
            bound = np.sqrt(square / ((1 - mdp.gamma) ** 6 * T)) * R * mismatch
    bound = np.where(trace.steps > 0, bound, np.nan)
    violations = dict.fromkeys(CHECKS, np.nan)
    J, scale = trace.objective, 1 + abs(goal.objective)
    slack = ROUNDING * scale
    if name:
        violations["bound"] = _count((goal.objective - J) > bound * (1 + ROUNDING) + slack)
    if mdp.gamma < 1 and (natural or smooth):
        violations["monotone"] = _count(np.diff(J, axis=1) < -slack)
    if softmax and mdp.gamma < 1:
        limit = 2 * R / (1 - mdp.gamma) ** 2
        violations["gradient_bound"] = _count(trace.gradient_norm > limit * (1 + ROUNDING))
    if softmax and goal.optimum is not None:
        floor = trace.gradient_floor * (1 - 1e-6) - slack
        violations["gradient_domination"] = _count(trace.gradient_norm < floor)
    return Theory(name, bound, violations)


def _under_a_penalty(objective: Objective, goal: SoftGoal, trace: Trace, step: float) -> Theory:
    """The linear rate of exact natural gradients of a tabular softmax, and that J never falls.

    With C = ‖Q* - Q_0‖ + 2c(1 - ηc/(1-γ)) ‖log π* - log π_0‖ in the largest norm,
    ‖Q* - Q_k‖ ≤ γC(1-ηc)^(k-1) and ‖log π* - log π_k‖ ≤ 2C(1-ηc)^(k-1)/c for 0 < η ≤ (1-γ)/c.
    V* - V_k is the mean of Q* - Q_k, and c times a divergence of π_k from π*, which is no more than
    the latter.
    """
    none, checks = np.full(trace.steps.size, np.nan), dict.fromkeys(CHECKS, np.nan)
    mdp, policy, c = objective.mdp, objective.policy, objective.coefficient
    able = 0 < step * c <= (1 - mdp.gamma) * (1 + ROUNDING)
    if not able or goal.optimum is None or not isinstance(policy, Softmax):
        return Theory("", none, checks)
    start = objective.truth(trace.start)
    assert start.penalty is not None
    pairs = mdp.choices & (mdp.reachable & ~mdp.terminal)[:, None]
    q = np.abs(goal.optimum.q - start.q - start.penalty.table)[pairs].max()
    logs = np.abs(np.log(goal.optimum.pi[pairs]) - np.log(start.pi[pairs])).max()
    C = q + 2 * c * max(1 - step * c / (1 - mdp.gamma), 0.0) * logs
    k = np.maximum(trace.steps, 1)
    bound = np.where(trace.steps > 0, (2 + mdp.gamma) * C * (1 - step * c) ** (k - 1.0), np.nan)
    slack = ROUNDING * (1 + abs(goal.objective))
    gap = goal.objective - trace.objective
    checks["bound"] = _count(gap > bound * (1 + ROUNDING) + slack)
    checks["monotone"] = _count(np.diff(trace.objective, axis=1) < -slack)
    return Theory(SOFT, bound, checks)


def _divergence(mdp: FiniteMDP, policy: Any, goal: FiniteGoal, trace: Trace) -> float:
    """E_{s~ρ*} KL(π*(s,·) ‖ π_0(s,·)) of one optimal policy, in nats; log A from θ = 0."""
    assert goal.optimum is not None
    pi = policy.probabilities(trace.start)
    states = np.flatnonzero(goal.visitation)
    share = (1 - mdp.gamma) * goal.visitation[states]
    return float(-(share * np.log(pi[states, goal.optimum.action[states]])).sum())


def _count(violated: BoolArray) -> float:
    return float(violated.sum())
