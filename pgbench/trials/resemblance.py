"""Which known estimators one resembles, estimate by estimate on the same trajectories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pgbench.trials.accounts import FACTORS
from pgbench.trials.candidate import Estimates
from pgbench.trials.known import Known

FloatArray = NDArray[np.float64]

COMPARED = 256
"""Replicates that are compared."""


@dataclass(frozen=True, eq=False)
class Likeness:
    """An estimator next to a known one, on the cases where both say something.

    equal, multiple
        Names of the cases on which it is the same, or a multiple, up to rounding.
    factors
        The multiple (case name, batch size) → c on the latter.
    compared
        Number of cases compared.
    correlation, distance
        Means over the cases: correlation of the deviations from their means, and
        √(E‖ĝ - ĥ‖²/E‖ĥ - E ĥ‖²).
    """

    known: Known
    equal: tuple[str, ...]
    multiple: tuple[str, ...]
    factors: Mapping[tuple[str, int], float]
    compared: int
    correlation: float
    distance: float
    pattern: str

    @property
    def same(self) -> bool:
        """Whether it is the same wherever it was compared."""
        return len(self.equal) == self.compared > 0

    @property
    def proportional(self) -> bool:
        """Whether it is a multiple of one pattern wherever it was compared."""
        return len(self.multiple) == self.compared > 0 and bool(self.pattern)


def likeness(known: Known, every: Sequence[Estimates], seed: int, compared: int) -> Likeness | None:
    """How an estimator resembles a known one; None where there is nothing to compare."""
    equal, multiple, correlations, distances = [], [], [], []
    factors: dict[tuple[str, int], float] = {}
    cases = []
    for own in every:
        made = known.sample(own.case, own.batch_size, compared, seed)
        U = own.gradients[:compared]
        if made is None or not np.any(made[0]) or not np.any(U):
            continue
        C = made[0]
        cases.append(own.case)
        tolerance = 3 * own.rounding * np.sqrt(U.size)
        c = float(np.sum(U * C) / np.sum(C * C))
        if np.linalg.norm(U - C) <= tolerance:
            equal.append(own.case.name)
        if np.linalg.norm(U - c * C) <= tolerance:
            multiple.append(own.case.name)
            factors[own.case.name, own.batch_size] = c
        u, v = U - U.mean(axis=0), C - C.mean(axis=0)
        size = float(np.linalg.norm(u) * np.linalg.norm(v))
        correlations.append(float(np.sum(u * v)) / size if size > 0 else 0.0)
        distances.append(float(np.linalg.norm(U - C) / (np.linalg.norm(v) or np.inf)))
    if not cases:
        return None
    return Likeness(
        known, tuple(equal), tuple(multiple), factors, len(cases),
        float(np.mean(correlations)), float(np.mean(distances)),
        _pattern(every, factors),
    )  # fmt: skip


def _pattern(every: Sequence[Estimates], factors: Mapping[tuple[str, int], float]) -> str:
    """The factors in words such as ``(1 - 1/N) times``; empty where they have no pattern."""
    places = [
        (own.case, own.batch_size) for own in every if (own.case.name, own.batch_size) in factors
    ]
    values = np.array([factors[case.name, n] for case, n in places])
    if not len(places):
        return ""
    for words, factor, _ in FACTORS:
        expected = np.array([factor(case, n) or np.nan for case, n in places])
        if np.allclose(values, expected, rtol=1e-4, atol=0):
            return words
    if np.allclose(values, values[0], rtol=1e-4, atol=0):
        return f"{values[0]:.5g} times"
    return ""


def closest(every: Sequence[Likeness], number: int) -> list[Likeness]:
    """The most alike by correlation of their deviations, the largest first."""
    return sorted(every, key=lambda one: -abs(one.correlation))[:number]
