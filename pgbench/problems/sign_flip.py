"""A problem on which the update without γ^t climbs to the worst policy."""

import numpy as np

from pgbench.problems.family import Family
from pgbench.problems.finite import FiniteMDP


def sign_flip() -> FiniteMDP:
    """Leaving out γ^t turns the gradient round: it climbs to the policy that is worst by any count.

    Actions: 0 no, 1 yes; γ = 1/2. State 0: yes pays 1, both lead to state 1. State 1: yes costs 4
    and leads to state 2, no ends the episode. State 2: both pay 5 and end it. Own features: 1 for
    yes in every state, so a log-linear policy has one parameter and says yes with the same
    probability p everywhere. Then J = p/4 and the undiscounted return is 2p, so p = 1 is best by
    both; dJ/dθ = p(1-p)/4. Without γ^t the second decision, worth γ·5 - 4 = -3/2, weighs as much as
    the first, worth 1, and what is followed is -p(1-p)/2.
    """
    S = 4
    successor = np.array([[1, 1], [3, 2], [3, 3], [3, 3]])[:, :, None]
    reward = np.array([[0.0, 1.0], [0.0, -4.0], [5.0, 5.0], [0.0, 0.0]])[:, :, None]
    yes = np.array([0.0, 1.0])[:, None]
    return FiniteMDP(
        successor=successor,
        probability=np.ones((S, 2, 1)),
        reward=reward,
        mu0=np.array([1.0, 0, 0, 0]),
        gamma=0.5,
        terminal=np.array([False, False, False, True]),
        features=np.broadcast_to(yes, (S, 2, 1)),
    )


family = Family(
    "sign_flip",
    sign_flip,
    size=None,
    reference="constructed after Nota & Thomas 2020, Section 5",
)
