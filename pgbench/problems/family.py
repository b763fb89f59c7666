"""A problem family: a name, a maker with declared parameters, and which of them is the size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pgbench.declared.parameters import Range, bind, label
from pgbench.declared.registry import Made
from pgbench.declared.sources import digest_of
from pgbench.problems.dimensions import Dimensions
from pgbench.problems.problem import Problem, ProblemError

Count = Annotated[int, Range(1)]
Seed = Annotated[int, Range(0, 2**63 - 1), "seed of the random construction"]
Discount = Annotated[float, Range(0, 1), "discount γ"]
Probability = Annotated[float, Range(0, 1)]


def said_by(read: Callable[[Path], Dimensions]) -> Callable[..., Dimensions | None]:
    """Dimensions as a file says them, for families with a ``path``.

    None where the file makes no sense, which building reports.
    """

    def dimensions(path: str, **other: Any) -> Dimensions | None:
        try:
            return read(Path(path))
        except ProblemError:
            return None

    return dimensions


@dataclass(frozen=True)
class Family(Made):
    """A named family of problems.

    Attributes
    ----------
    name
        Name in the API and in grids.
    maker
        Function from keyword parameters to a problem; the same parameters give the same arrays.
    size
        The parameter that scales the problem, or None if it has one size.
    reference
        Source of the problem.
    content
        What the problem depends on beside its parameters, such as a file's bytes; part of the
        identity of results.
    paths
        Parameters that name files; in a grid they are relative to the folder of the grid's file.
    named_by
        The parameter whose value a problem goes by in reports, or nothing: it goes by the family.
    dimensions
        Function of the maker's parameters: how large the problem is at most, said before it is
        built. It says None, and need not be given, where only building tells, or all are small.
    """

    name: str
    maker: Callable[..., Problem]
    size: str | None
    reference: str
    content: Callable[[Mapping[str, Any]], str] = lambda values: ""
    paths: tuple[str, ...] = ()
    named_by: str = ""
    dimensions: Callable[..., Dimensions | None] = lambda **values: None

    @property
    def random(self) -> bool:
        """Whether the family has instances, drawn by a seed."""
        return "seed" in self.parameters

    def make(self, **given: Any) -> Any:
        """The problem with these parameters; ValueError lists all that is wrong with them."""
        return self.made_in(Path(), given)

    def made_in(self, folder: Path, given: Mapping[str, Any]) -> Any:
        """The problem with these parameters, its files relative to a folder."""
        values = bind(self.name, self.parameters, given)
        made = self.maker(**self.located(folder, values))
        return made.named(label(self.name, self.parameters, values))

    def expected(self, folder: Path, given: Mapping[str, Any]) -> Dimensions | None:
        """How large the problem with these parameters will be, or None if nothing says."""
        values = bind(self.name, self.parameters, given)
        return self.dimensions(**self.located(folder, values))


def content_of(*paths: str) -> Callable[[Mapping[str, Any]], str]:
    """What a family depends on whose parameters name files: the hash of each that is given.

    It is nothing of a file that cannot be read, which building reports.
    """
    return lambda values: ",".join(digest_of(values[key]) for key in paths if values.get(key))
