"""The expected return J, and nothing else."""

from typing import Any

from pgbench.objectives.objective import Objective, ObjectiveKind
from pgbench.problems import Problem


def plain(mdp: Problem, policy: Any) -> Objective:
    """The expected discounted return J."""
    return Objective(mdp, policy)


kind = ObjectiveKind(
    "J",
    plain,
    formula=r"J(\theta)",
    reference="Sutton & Barto 2018, Section 13.2",
    on=(Problem,),
)
