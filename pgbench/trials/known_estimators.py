"""What the suite knows on the same trajectories that a user's estimator sees, of whichever kind."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.declared.claims import Needs
from pgbench.estimators import CAUSES
from pgbench.trials.candidate import Estimates
from pgbench.trials.case import Case

WITHOUT_DISCOUNT = "the factor γ^t of step t is left out"

Made = tuple[FloatArray, IntArray]
"""Estimates (R, d) and steps (R,)."""

AnyKnown = TypeVar("AnyKnown", bound="KnownEstimator")


@dataclass(eq=False, kw_only=True)
class KnownEstimator(ABC):
    """An estimator with given parameters, right or wrong on purpose.

    name, mistake
        Label such as ``gae[lam=0.95]``, and what is wrong with it: empty unless it is a mistake.
    default
        Whether it is an estimator with its default parameters.
    """

    name: str
    mistake: str = ""
    default: bool = False
    _made: dict[tuple[str, int, int, int], Made | None] = field(
        default_factory=dict, repr=False, init=False
    )
    _exact: dict[tuple[str, int], FloatArray | None] = field(
        default_factory=dict, repr=False, init=False
    )

    @property
    @abstractmethod
    def declared(self) -> tuple[str, ...]:
        """Causes of bias that it declares on these data, but for the horizon's."""

    @property
    @abstractmethod
    def natural(self) -> bool:
        """Whether it is meant for the natural gradient."""

    @abstractmethod
    def estimates(self, case: Case, batch_size: int, replicates: int, seed: int) -> Made | None:
        """Estimates (R, d) and steps (R,), or None where there are none, as if it refuses."""

    @abstractmethod
    def mean(self, case: Case, batch_size: int) -> FloatArray | None:
        """Its exact mean (d,), or None where it is not known."""

    def parts(self, case: Case, batch_size: int) -> dict[str, float]:
        """By cause the size of its part of the bias, over the target's; nothing where not known."""
        return {}

    @property
    def causes(self) -> str:
        """Why its mean is not ∇J, beside the horizon, in words."""
        return "; ".join(CAUSES[cause].sentence for cause in self.declared)

    @property
    def words(self) -> str:
        """Its name, and that it is a mistake if it is one."""
        return f"the known mistake {self.name}" if self.mistake else self.name

    @property
    def unbiased(self) -> bool:
        """Whether it is right for the gradient, up to the horizon."""
        return not (self.mistake or self.natural or self.declared)

    @property
    def needs(self) -> Needs | None:
        """What a function must claim for this mean to be right; None of a mistake.

        Leaving out γ^t alone is none for who claims that.
        """
        if self.mistake and self.mistake != WITHOUT_DISCOUNT:
            return None
        causes = set(self.declared)
        if self.mistake or "discount" in causes:
            target = "undiscounted_states"
        else:
            target = "natural" if self.natural else "discounted"
        scale = "per_token" if "length" in causes else "exact"
        return Needs(target, scale, frozenset(causes - {"discount", "length"}))

    def says(self, made: FloatArray) -> BoolArray:
        """Which of its estimates (R, d) say something.

        What is divided by a deviation says nothing where that is zero: code that adds a small
        number to it divides the rounding of equal numbers by that number.
        """
        silent = "normalisation" in self.declared
        return np.asarray(made.any(axis=1)) if silent else np.ones(len(made), bool)

    @property
    def critic_errs(self) -> bool:
        """Whether it is right but for its critic's error."""
        return not self.mistake and set(self.declared) == {"critic"}

    def sample(self, case: Case, batch_size: int, replicates: int, seed: int) -> Made | None:
        """Its estimates and steps, made once."""
        key = case.name, batch_size, replicates, seed
        if key not in self._made:
            self._made[key] = self.estimates(case, batch_size, replicates, seed)
        return self._made[key]

    def beside(self, own: Estimates, seed: int) -> Made | None:
        """Its estimates (R, d) and steps (R,) from the very batches of one's estimates."""
        made = self.sample(own.case, own.batch_size, own.replicates, seed)
        if made is None or own.rows is None:
            return made
        return made[0][own.rows], made[1][own.rows]

    def exact(self, case: Case, batch_size: int) -> FloatArray | None:
        """Its exact mean (d,), made once, or None where it is not known."""
        key = case.name, batch_size
        if key not in self._exact:
            self._exact[key] = self.mean(case, batch_size)
        return self._exact[key]


def in_order(every: Iterable[AnyKnown]) -> tuple[AnyKnown, ...]:
    """Estimators with their defaults first, then their variants, then what is wrong."""
    return tuple(sorted(every, key=lambda one: (bool(one.mistake), not one.default, one.name)))
