"""Three-armed bandit with sure rewards: what baselines do beyond variance."""

import numpy as np

from pgbench.problems.family import Family
from pgbench.problems.finite import FiniteMDP


def three_armed(best: float = 1.0, second: float = 0.7, worst: float = 0.0) -> FiniteMDP:
    """Three-armed bandit: arms pay 1, 0.7 and 0 for sure, once.

    Nothing is random but the choice of the arm, so whatever variance an estimate has comes from the
    policy. γ is 0: there is one decision.
    """
    return FiniteMDP(
        successor=np.ones((2, 3, 1), np.int32),
        probability=np.ones((2, 3, 1)),
        reward=np.array([[best, second, worst], [0.0, 0.0, 0.0]])[:, :, None],
        mu0=np.array([1.0, 0.0]),
        gamma=0.0,
        terminal=np.array([False, True]),
    )


family = Family(
    "three_armed",
    three_armed,
    size=None,
    reference="Chung, Thomas, Machado & Le Roux 2021, Section 3",
)
