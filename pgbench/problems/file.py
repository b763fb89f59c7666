"""A problem from an ``.npz`` file."""

from typing import Annotated

from pgbench.parameters import Range
from pgbench.problems.family import Family
from pgbench.problems.finite import FiniteMDP


def file(
    path: Annotated[str, "an .npz file with P, r, mu0 or with the arrays of FiniteMDP"],
    gamma: Annotated[float | None, Range(0, 1), "discount γ, default the file's own"] = None,
) -> FiniteMDP:
    """Problem from an ``.npz`` file as written by ``FiniteMDP.to_npz`` or with dense P, r, mu0."""
    return FiniteMDP.from_npz(path, gamma)


family = Family("file", file, size=None, reference="your own")
