"""Objectives: what is maximised, each a small file holding a record; see ``objective.py``."""

from typing import Any

from pgbench.declared.registry import discover, find
from pgbench.objectives.objective import Objective, ObjectiveKind
from pgbench.problems import Problem

__all__ = ["Objective", "ObjectiveKind", "make_objective", "objectives"]


def objectives() -> dict[str, ObjectiveKind]:
    """Every kind of objective by name."""
    return discover(__name__, ObjectiveKind)


def make_objective(name: str, mdp: Problem, policy: Any, **parameters: Any) -> Objective:
    """An objective by name, e.g. ``make_objective("kl", mdp, policy, beta=0.1)``.

    ``make_objective(...).truth(theta)`` is then everything exact about it at a θ.

    Raises ValueError for an unknown name or for parameters the objective does not accept, and
    NotApplicable on a problem that it is not for.
    """
    return find("objective", objectives(), name).make(mdp, policy, **parameters)
