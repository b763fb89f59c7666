"""A problem family: a name, a maker with declared parameters, and which of them is the size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pgbench.parameters import Range, bind, label
from pgbench.problems.problem import Problem
from pgbench.registry import Made

Count = Annotated[int, Range(1)]
Seed = Annotated[int, Range(0, 2**63 - 1), "seed of the random construction"]
Discount = Annotated[float, Range(0, 1), "discount γ"]
Probability = Annotated[float, Range(0, 1)]


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
    """

    name: str
    maker: Callable[..., Problem]
    size: str | None
    reference: str
    content: Callable[[Mapping[str, Any]], str] = lambda values: ""

    @property
    def random(self) -> bool:
        """Whether the family has instances, drawn by a seed."""
        return "seed" in self.parameters

    def make(self, **given: Any) -> Any:
        """The problem with these parameters; ValueError lists all that is wrong with them."""
        values = bind(self.name, self.parameters, given)
        return self.maker(**values).named(label(self.name, self.parameters, values))
