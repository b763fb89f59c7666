"""J and the entropy of the policy."""

from typing import Annotated

import numpy as np

from pgbench.declared.parameters import Range
from pgbench.objectives.objective import Objective, ObjectiveKind
from pgbench.policies import Policy
from pgbench.problems import FiniteMDP


def entropy(
    mdp: FiniteMDP,
    policy: Policy,
    alpha: Annotated[float, Range(0), "α, unit reward per nat"] = 0.1,
) -> Objective:
    """J and α times the entropy of π in every visited state, discounted as rewards.

    That is J less α times log π, the log ratio to a reference of ones.
    """
    return Objective(mdp, policy, alpha, np.ones((mdp.n_states, mdp.n_actions)))


kind = ObjectiveKind(
    "entropy",
    entropy,
    formula=r"J(\theta) + \alpha\,E\sum_t \gamma^t H(\pi(s_t,\cdot))",
    reference="Williams & Peng 1991; Ziebart 2010; Mei, Xiao, Szepesvári & Schuurmans 2020,"
    " Section 4",
)
