"""A problem from a file of arrays as MDPtoolbox has them."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np

from pgbench.declared.parameters import Range
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.family import Family, content_of
from pgbench.problems.finite import FiniteMDP
from pgbench.problems.formats.matlab import arrays_in_mat, shapes_in_mat
from pgbench.problems.npz import arrays_in, shapes_in
from pgbench.problems.problem import ProblemError

NAMES = {"P", "R", "discount", "mu0", "terminal"}
"""What a file may hold; the first two it must."""


def mdptoolbox(
    path: Annotated[str, "an .npz or .mat file with P and R, relative to the grid's file"],
    gamma: Annotated[
        float | None, Range(0, 1), "discount γ, default the file's own discount"
    ] = None,
) -> FiniteMDP:
    """Problem from a file with P and R of MDPtoolbox, ``.npz`` with actions first or ``.mat``.

    The file may also hold ``discount``, ``mu0`` and ``terminal``. Without ``mu0`` episodes start in
    any state that is not terminal, equally likely.
    """
    arrays = arrays_in_mat(Path(path)) if _is_of_matlab(path) else arrays_in(Path(path))
    missing, extra = sorted({"P", "R"} - arrays.keys()), sorted(arrays.keys() - NAMES)
    if missing or extra:
        raise ProblemError(
            f"{path}: missing {missing}, unknown {extra}; must hold P and R, and may hold discount,"
            " mu0 and terminal"
        )
    own = arrays.pop("discount", None)
    discount = own if gamma is None else gamma
    if discount is None:
        raise ProblemError(f"{path} holds no discount and no gamma was given")
    if np.size(discount) != 1 or np.asarray(discount).dtype.kind not in "fiu":
        raise ProblemError(f"{path}: discount is {discount!r}, must be one number in [0, 1]")
    return FiniteMDP.from_mdptoolbox(
        **arrays, gamma=float(np.ravel(discount)[0]), name=Path(path).stem
    )


def dimensions(path: str, **other: Any) -> FiniteDimensions | None:
    """How large a file's problem is; None if its shapes do not tell, or make no sense.

    Nor if it cannot be read, which building reports.
    """
    try:
        shapes = shapes_in_mat(Path(path)) if _is_of_matlab(path) else shapes_in(Path(path))
    except ProblemError:
        return None
    shape = shapes.get("P", ())
    return FiniteDimensions(shape[1], shape[0], shape[1]) if len(shape) == 3 else None


def _is_of_matlab(path: str) -> bool:
    return Path(path).suffix == ".mat"


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
