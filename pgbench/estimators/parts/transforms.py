"""What estimators that look at success climb in large groups: a function F of its chance p.

That of a group of a given size is a polynomial: see ``pgbench.exact.finite.transform``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from pgbench.arrays import FloatArray


@dataclass(frozen=True)
class Climbed:
    """LaTeX of F(p), and its values, less F(0) if that is finite."""

    formula: str
    value: Callable[[FloatArray], FloatArray]


CHANCE = Climbed("p", lambda p: p)
LOG = Climbed(r"\log p", np.log)
ARCSINE = Climbed(r"2\arcsin\sqrt{p}", lambda p: 2 * np.arcsin(np.sqrt(p)))


@cache
def passed(k: int) -> Climbed:
    """1 - (1-p)^k, the chance that one of k responses succeeds."""
    return Climbed(rf"1 - (1-p)^{{{k}}}", lambda p: 1 - (1 - p) ** k)
