"""Bernoulli bandit: one decision, then the end."""

from typing import Annotated, Any

import numpy as np

from pgbench.declared.parameters import Range
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.family import Discount, Family, Seed
from pgbench.problems.finite import FiniteMDP


def bandit(
    n_actions: Annotated[int, Range(1), "number of arms"] = 10,
    gamma: Discount = 1.0,
    seed: Seed = 0,
) -> FiniteMDP:
    """Bernoulli bandit: arm a pays 1 with probability p_a ~ U[0, 1], else 0, once."""
    p = np.random.default_rng(seed).random(n_actions)
    probability = np.zeros((2, n_actions, 2))
    probability[0] = np.stack([p, 1 - p], axis=1)
    probability[1, :, 0] = 1
    reward = np.zeros((2, n_actions, 2))
    reward[0, :, 0] = 1
    return FiniteMDP(
        successor=np.ones((2, n_actions, 2), np.int32),
        probability=probability,
        reward=reward,
        mu0=np.array([1.0, 0.0]),
        gamma=gamma,
        terminal=np.array([False, True]),
    )


def dimensions(n_actions: int, **other: Any) -> FiniteDimensions:
    """How large a bandit is: one decision, and the end."""
    return FiniteDimensions(2, n_actions, branching=2)


family = Family(
    "bandit",
    bandit,
    size="n_actions",
    reference="Sutton & Barto 2018, Chapter 2",
    dimensions=dimensions,
)
