"""The short corridor with switched actions, whose states look alike."""

from typing import Annotated, Any

import numpy as np

from pgbench.declared.parameters import Range
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.family import Discount, Family
from pgbench.problems.finite import FiniteMDP


def corridor(
    length: Annotated[int, Range(2), "number of states that are not terminal"] = 3,
    gamma: Discount = 1.0,
) -> FiniteMDP:
    """Corridor: -1 per step, state 1 swaps the two actions, the last state exits to the right.

    Actions: 0 right, 1 left. Left in state 0 stays. Own features: x(s, right) = [1, 0] and
    x(s, left) = [0, 1] in every state, so a log-linear policy cannot tell the states apart. With
    length 3 this is the short corridor of the source. The reward is -1 on the last step too.
    """
    S = length + 1
    right = np.arange(length) + 1
    left = np.maximum(np.arange(length) - 1, 0)
    successor = np.zeros((S, 2, 1), np.int32)
    successor[:length, 0, 0], successor[:length, 1, 0] = right, left
    successor[1] = successor[1, ::-1].copy()
    mu0 = np.zeros(S)
    mu0[0] = 1
    return FiniteMDP(
        successor=successor,
        probability=np.ones((S, 2, 1)),
        reward=np.full((S, 2, 1), -1.0),
        mu0=mu0,
        gamma=gamma,
        terminal=np.arange(S) == length,
        features=np.broadcast_to(np.eye(2), (S, 2, 2)),
        coordinates=np.arange(S, dtype=float)[:, None],
    )


def dimensions(length: int, **other: Any) -> FiniteDimensions:
    """How large a corridor is."""
    return FiniteDimensions(length + 1, 2, n_features=2, n_coordinates=1)


family = Family(
    "corridor",
    corridor,
    size="length",
    reference="Sutton & Barto 2018, Example 13.1",
    dimensions=dimensions,
)
