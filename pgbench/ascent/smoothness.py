"""Bounds on rewards and on the curvature of J."""

import numpy as np

from pgbench.policies import Direct, NotApplicable, Policy, Softmax
from pgbench.problems import FiniteMDP


def reward_range(mdp: FiniteMDP) -> float:
    """R, the length of the shortest interval that holds all rewards, and 0 if episodes end."""
    paid = mdp.reward[mdp.probability > 0]
    low, high = float(paid.min()), float(paid.max())
    if mdp.terminal.any():
        low, high = min(low, 0.0), max(high, 0.0)
    return high - low


def smoothness_constant(mdp: FiniteMDP, policy: Policy) -> float:
    """L with ‖∇J(θ) - ∇J(θ')‖ ≤ L‖θ - θ'‖; NotApplicable where none is known or it is 0 or ∞."""
    if mdp.gamma == 1:
        raise NotApplicable("for γ = 1 the curvature of J has no known bound")
    scale = reward_range(mdp) / (1 - mdp.gamma) ** 3
    if isinstance(policy, Softmax):
        factor = 8.0
    elif isinstance(policy, Direct):
        factor = 2 * mdp.gamma * mdp.n_actions
    else:
        raise NotApplicable(
            "a bound on the curvature of J is known for softmax and direct policies only"
        )
    if not factor * scale > 0:
        raise NotApplicable("J is linear or constant here, so there is no 1/L")
    return float(np.float64(factor * scale))
