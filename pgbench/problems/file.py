"""A problem from an ``.npz`` file."""

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any

from pgbench.declared.parameters import Range
from pgbench.problems.family import Family
from pgbench.problems.finite import FiniteMDP


def file(
    path: Annotated[
        str,
        "an .npz file with P, r, mu0 or with the arrays of FiniteMDP, relative to the grid's file",
    ],
    gamma: Annotated[float | None, Range(0, 1), "discount γ, default the file's own"] = None,
) -> FiniteMDP:
    """Problem from an ``.npz`` file as written by ``FiniteMDP.to_npz`` or with dense P, r, mu0."""
    return FiniteMDP.from_npz(path, gamma)


def content(values: Mapping[str, Any]) -> str:
    """Hash of the file's bytes, or nothing if it cannot be read, which building reports."""
    try:
        return blake2b(Path(values["path"]).read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return ""


family = Family(
    "file",
    file,
    size=None,
    reference="your own",
    content=content,
    paths=("path",),
    named_by="path",
)
