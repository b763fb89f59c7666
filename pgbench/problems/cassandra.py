"""A problem from a file in Cassandra's format of MDPs."""

from pathlib import Path
from typing import Annotated

from pgbench.declared.parameters import Range
from pgbench.problems.family import Family, content_of, said_by
from pgbench.problems.finite import FiniteMDP
from pgbench.problems.formats.cassandra import arguments_in, dimensions_of


def cassandra(
    path: Annotated[str, "a file .mdp or .pomdp, relative to the grid's file"],
    gamma: Annotated[float | None, Range(0, 1), "discount γ, default the file's own"] = None,
) -> FiniteMDP:
    """Problem from a file in Cassandra's format ``.mdp``, of states that are fully observed.

    States that nothing leaves, that pay nothing and in which no episode begins are terminal.
    """
    return FiniteMDP(**arguments_in(Path(path), gamma))


family = Family(
    "cassandra",
    cassandra,
    size=None,
    reference="your own; the format is that of pomdp-solve (Cassandra)",
    content=content_of("path"),
    paths=("path",),
    named_by="path",
    dimensions=said_by(dimensions_of),
)
