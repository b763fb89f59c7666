"""What every problem is: a discounted Markov decision process with a name."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy
from typing import Any, Self

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.problems.dimensions import Dimensions

REWARDS = 1e30
"""Rewards are this large at most.

The kurtosis of squared deviations is made of eighth powers of estimates, which are rewards times
powers of 1/(1-γ).
"""


class ProblemError(ValueError):
    """The arrays do not describe a Markov decision process."""


class NotApplicable(ValueError):
    """A policy, an estimator or an algorithm makes no sense on a problem; the message says why."""


class SolveError(ValueError):
    """A linear system of the problem could not be solved to the required accuracy."""


class Diverges(SolveError):
    """The sum over an infinite horizon has no finite value."""


def require_size(name: str, values: FloatArray, limit: float = REWARDS) -> None:
    """ProblemError where a number is so large that powers of estimates are lost."""
    if max(float(values.max(initial=0.0)), -float(values.min(initial=0.0))) <= limit:
        return
    place = tuple(int(i) for i in np.unravel_index(np.abs(values).argmax(), values.shape))
    raise ProblemError(
        f"{name}{list(place)} is {values[place]:g}, must be at most {limit:g} in size, or powers of"
        " estimates are not finite; choose another unit"
    )


class Problem(ABC):
    """A discounted Markov decision process.

    Attributes
    ----------
    gamma
        Discount in [0, 1].
    name
        Label in messages and results.
    kind
        What problems of this class are called in messages.
    """

    gamma: float
    name: str
    kind: str

    @property
    @abstractmethod
    def digest(self) -> str:
        """Hash of everything that defines the problem, for provenance."""

    @property
    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """Sizes and discount by the names of the dataset's coordinates."""

    @property
    @abstractmethod
    def numbers(self) -> int:
        """How many numbers make up the problem, for estimates of time and memory."""

    @property
    @abstractmethod
    def dimensions(self) -> Dimensions:
        """How large the problem is, for estimates of what policies take on it."""

    @property
    @abstractmethod
    def one_start(self) -> bool:
        """Whether all episodes begin in one state."""

    @property
    def visit_weight(self) -> float:
        """1-γ, with which discounted visits become a distribution; 1 for γ = 1."""
        return 1 - self.gamma if self.gamma < 1 else 1.0

    def named(self, name: str) -> Self:
        """A copy of the record, arrays and all, under another name."""
        other = copy(self)
        object.__setattr__(other, "name", name)
        return other
