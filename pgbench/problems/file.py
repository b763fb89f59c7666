"""A problem from an ``.npz`` file."""

from pathlib import Path
from typing import Annotated, Any

from pgbench.declared.parameters import Range
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.family import Family, content_of
from pgbench.problems.finite import FiniteMDP
from pgbench.problems.npz import shapes_in
from pgbench.problems.problem import ProblemError


def file(
    path: Annotated[
        str,
        "an .npz file with P, r, mu0 or with the arrays of FiniteMDP, relative to the grid's file",
    ],
    gamma: Annotated[float | None, Range(0, 1), "discount γ, default the file's own"] = None,
) -> FiniteMDP:
    """Problem from an ``.npz`` file as written by ``FiniteMDP.to_npz`` or with dense P, r, mu0."""
    return FiniteMDP.from_npz(path, gamma)


def dimensions(path: str, **other: Any) -> FiniteDimensions | None:
    """How large a file's problem is, by the shapes that it declares; None if they make no sense.

    Nor if it cannot be read, which building reports.
    """
    try:
        shapes = shapes_in(Path(path))
    except ProblemError:
        return None
    shape = shapes.get("P", shapes.get("probability", ()))
    if len(shape) != 3:
        return None
    S, A, B = shape
    features, places = shapes.get("features", ()), shapes.get("coordinates", ())
    return FiniteDimensions(S, A, B, _last(features), _last(places))


def _last(shape: tuple[int, ...]) -> int:
    return shape[-1] if shape else 0


family = Family(
    "file",
    file,
    size=None,
    reference="your own",
    content=content_of("path"),
    paths=("path",),
    named_by="path",
    dimensions=dimensions,
)
