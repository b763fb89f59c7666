"""RiverSwim: swimming against the current pays late."""

from typing import Annotated

import numpy as np

from pgbench.parameters import Range
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
    P, r, mu0 = np.zeros((S, 2, S)), np.zeros((S, 2)), np.zeros(S)
    P[np.arange(S), 0, np.maximum(np.arange(S) - 1, 0)] = 1
    P[0, 1, :2] = 0.4, 0.6
    for s in range(1, S - 1):
        P[s, 1, s - 1 : s + 2] = 0.05, 0.6, 0.35
    P[S - 1, 1, -2:] = 0.4, 0.6
    r[0, 0], r[S - 1, 1] = 5 / 1000, 1.0
    mu0[0] = 1
    return FiniteMDP.from_arrays(P, r, mu0, gamma, coordinates=np.arange(S)[:, None])


family = Family(
    "riverswim", riverswim, size="n_states", reference="Strehl & Littman 2008, Figure 1"
)
