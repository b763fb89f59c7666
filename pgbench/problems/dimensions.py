"""How large a problem is, from which it follows what memory it takes to build and to solve."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FiniteDimensions:
    """Sizes of a finite problem, or of one that is yet to be built.

    Attributes
    ----------
    n_states, n_actions, branching
        S, A and the number of slots B per pair, at most. Products of them are floats, for what was
        asked for may be larger than any array.
    n_features, n_coordinates
        The problem's own features per pair and coordinates per state, 0 without any.
    building
        Bytes of what the maker holds while it builds, where that is more than solving takes.
    """

    n_states: float
    n_actions: int
    branching: int = 1
    n_features: int = 0
    n_coordinates: int = 0
    building: float = 0.0
    kind: ClassVar[str] = "finite"
    entries: ClassVar[float] = 1.0
    """A state with an action is one number."""

    @property
    def pairs(self) -> float:
        """S·A."""
        return float(self.n_states) * self.n_actions

    @property
    def numbers(self) -> float:
        """S·A·B."""
        return self.pairs * self.branching

    def weights(self, steps: float) -> float:
        """Most weights of an estimate of so many steps: rows of the states that are visited."""
        return min(float(self.n_states), steps) * self.n_actions

    @property
    def memory(self) -> float:
        """Bytes that building and evaluating a tabular policy hold at a time, about; measured."""
        per_pair = 100 * self.branching + 150 + 24 * self.n_features
        per_state = 250.0 + 24 * self.n_coordinates
        return max(per_pair * self.pairs + per_state * self.n_states, self.building)


@dataclass(frozen=True)
class QuadraticDimensions:
    """Sizes of a linear-quadratic problem: dimensions n of the state and m of the action."""

    n: float
    m: int
    kind: ClassVar[str] = "linear-quadratic"

    @property
    def entries(self) -> float:
        """Of a state with an action."""
        return self.n + self.m

    @property
    def numbers(self) -> float:
        """Entries of A and B."""
        return float(self.n) * (self.n + self.m)

    def weights(self, steps: float) -> float:
        """Weights of an estimate, however many steps it takes."""
        return float(self.m + 1) * (self.n + 1 + self.m)

    @property
    def memory(self) -> float:
        """Bytes that building and evaluating a policy hold at a time, about; measured."""
        return 480.0 * self.n * self.n + 160.0 * self.m * self.m


Dimensions = FiniteDimensions | QuadraticDimensions
