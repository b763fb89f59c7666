"""RiverSwim: swimming against the current pays late."""

from typing import Annotated, Any

import numpy as np

from pgbench.declared.parameters import Range
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.family import Discount, Family
from pgbench.problems.finite import FiniteMDP


def riverswim(
    n_states: Annotated[int, Range(3), "number of states along the river"] = 6,
    gamma: Discount = 0.95,
) -> FiniteMDP:
    """RiverSwim: left is sure and pays a little at the bank, right is hard and pays 1 at the top.

    Right from the bottom: stay 0.4, up 0.6; from the middle: back 0.05, stay 0.6, up 0.35; at the
    top: back 0.4, stay 0.6. Rewards depend on (s, a): r(0, left) = 5/1000, r(S-1, right) = 1.
    Actions: 0 left, 1 right. Start in state 0.
    """
    S = n_states
    states = np.arange(S)
    successor = np.repeat(states[:, None, None], 2, axis=1) + np.array([-1, 0, 1])
    probability = np.zeros((S, 2, 3))
    probability[:, 0, 0] = 1.0
    probability[0, 0] = 0.0, 1.0, 0.0
    probability[:, 1] = 0.05, 0.6, 0.35
    probability[0, 1] = 0.0, 0.4, 0.6
    probability[-1, 1] = 0.4, 0.6, 0.0
    reward = np.zeros(probability.shape)
    reward[0, 0], reward[-1, 1] = 5 / 1000, 1.0
    return FiniteMDP(
        successor=np.clip(successor, 0, S - 1).astype(np.int32),
        probability=probability,
        reward=reward,
        mu0=(states == 0).astype(float),
        gamma=gamma,
        coordinates=states[:, None].astype(float),
    )


def dimensions(n_states: int, **other: Any) -> FiniteDimensions:
    """How large a river is."""
    return FiniteDimensions(n_states, 2, branching=3, n_coordinates=1)


family = Family(
    "riverswim",
    riverswim,
    size="n_states",
    reference="Strehl & Littman 2008, Figure 1",
    dimensions=dimensions,
)
