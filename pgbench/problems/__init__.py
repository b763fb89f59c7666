"""Problems: finite Markov decision processes and linear-quadratic ones, from arrays or by name."""

from typing import Any

from pgbench.declared.registry import discover, find
from pgbench.problems.family import Family
from pgbench.problems.finite import FiniteMDP
from pgbench.problems.linear_quadratic import LinearQuadratic
from pgbench.problems.problem import NotApplicable, Problem, ProblemError

__all__ = [
    "Family",
    "FiniteMDP",
    "LinearQuadratic",
    "NotApplicable",
    "Problem",
    "ProblemError",
    "families",
    "make_problem",
]


def families() -> dict[str, Family]:
    """Every problem family by name."""
    return discover(__name__, Family)


def make_problem(name: str, **parameters: Any) -> Any:
    """A problem by name, e.g. ``make_problem("garnet", n_states=100, seed=0)``.

    Raises ValueError for an unknown name or for parameters the family does not accept.
    """
    return find("problem", families(), name).make(**parameters)
