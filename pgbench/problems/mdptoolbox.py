"""A problem from a file of arrays as MDPtoolbox has them."""

from pathlib import Path
from typing import Annotated, Any

from pgbench.declared.parameters import Range
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.family import Family, content_of
from pgbench.problems.finite import FiniteMDP
from pgbench.problems.formats.mdptoolbox import arguments_in, dimensions_of
from pgbench.problems.problem import ProblemError


def mdptoolbox(
    path: Annotated[str, "an .npz or .mat file with P and R, relative to the grid's file"],
    gamma: Annotated[
        float | None, Range(0, 1), "discount γ, default the file's own discount"
    ] = None,
) -> FiniteMDP:
    """Problem from a file with P and R of MDPtoolbox, ``.npz`` with actions first or ``.mat``.

    Without mu0 in it episodes start in any state that is not terminal, equally likely.
    """
    return FiniteMDP.from_mdptoolbox(**arguments_in(Path(path), gamma))


def dimensions(path: str, **other: Any) -> FiniteDimensions | None:
    """How large a file's problem is; None if it does not tell, or makes no sense."""
    try:
        return dimensions_of(Path(path))
    except ProblemError:
        return None


family = Family(
    "mdptoolbox",
    mdptoolbox,
    size=None,
    reference="your own; the arrays are those of MDPtoolbox (Chadès et al. 2014)",
    content=content_of("path"),
    paths=("path",),
    named_by="path",
    dimensions=dimensions,
)
