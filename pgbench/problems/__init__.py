"""Problems: finite Markov decision processes from arrays, files, by name, or from Gymnasium."""

from typing import Any

from pgbench.problems.family import Family
from pgbench.problems.finite import FiniteMDP, ProblemError
from pgbench.registry import discover, find

__all__ = ["Family", "FiniteMDP", "ProblemError", "families", "make_problem"]


def families() -> dict[str, Family]:
    """Every problem family by name."""
    return discover(__name__, Family)


def make_problem(name: str, **parameters: Any) -> FiniteMDP:
    """A problem by name, e.g. ``make_problem("garnet", n_states=100, seed=0)``.

    Raises ValueError for an unknown name or for parameters the family does not accept.
    """
    return find("problem", families(), name).make(**parameters)
