"""The two-state problem on which the plain gradient sits on a plateau."""

from typing import Annotated

import numpy as np

from pgbench.problems.family import Discount, Family, Probability
from pgbench.problems.finite import FiniteMDP


def two_state(
    start: Annotated[Probability, "probability of starting in state 0"] = 0.8,
    gamma: Discount = 0.95,
) -> FiniteMDP:
    """Two states: staying pays 1 in state 0 and 2 in state 1, moving pays 0.

    Actions: 0 stay, 1 move; both are deterministic.
    """
    P = np.zeros((2, 2, 2))
    P[[0, 1], 0, [0, 1]] = 1
    P[[0, 1], 1, [1, 0]] = 1
    return FiniteMDP.from_arrays(P, np.array([[1.0, 0], [2, 0]]), [start, 1 - start], gamma)


family = Family(
    "two_state", two_state, size=None, reference="Kakade 2001, Section 4; Bagnell & Schneider 2003"
)
