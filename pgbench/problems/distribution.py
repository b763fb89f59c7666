"""Rows that are distributions only as well as their source can hold them.

A row of a network is in single precision, one of a file has a few decimals, and neither sums to 1.
What is off by no more than the source rounds is renormalised, with a warning; the rest is refused.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.problems.checks import warn
from pgbench.problems.problem import ProblemError

DOUBLE = 1e-9
"""A sum may be off by so much in double precision, without a word."""

DECIMALS = range(3, 9)
"""Numbers of decimals that are taken for those of a file; a sum of fewer may be a mistake."""


class Renormalised(UserWarning):
    """Rows did not sum to 1 to double precision, and were divided by their sums."""


def rounding(source: Any) -> float:
    """What a number of an array may have been rounded by, as far as the array shows; else 0."""
    array = np.asarray(source)
    if array.dtype.kind != "f":
        return 0.0
    if array.dtype.itemsize < 8:
        return float(np.finfo(array.dtype).eps)
    for decimals in DECIMALS:
        if np.array_equal(np.round(array, decimals), array):
            return 0.5 * 10.0**-decimals
    return 0.0


def normalise(
    name: str,
    table: FloatArray,
    source: Any,
    named: Callable[[tuple[int, ...]], str] | None = None,
) -> None:
    """Check that rows along the last axis are distributions, and divide by their sums, in place.

    ``source`` is what the table was given as. A sum may be off by what that rounds, once for every
    entry of the row that is not zero, and once more for one that was rounded to zero; of n ≥ 9
    entries, whose errors cancel, by 3√n times it. ``named`` says what messages call an entry or a
    row, by its place in the table; by default ``name[place]``.

    Raises
    ------
    ProblemError
        With the row, its sum and what is allowed.
    """
    called = named or (lambda place: f"{name}{list(place)}" if place else name)
    if table.min() < 0:
        place = tuple(int(i) for i in np.argwhere(table < 0)[0])
        raise ProblemError(f"{called(place)} is {table[place]:g}, must not be negative")
    total = table.sum(axis=-1)
    error = np.abs(total - 1)
    if not error.max(initial=0.0) <= DOUBLE:
        unit = rounding(source)
        terms = np.count_nonzero(table, axis=-1)
        allowed = np.maximum(DOUBLE, unit * np.minimum(terms + 1, 3 * np.sqrt(terms) + 1))
        off = np.argwhere(~(error <= allowed))
        if len(off):
            place = tuple(int(i) for i in off[0])
            within = f" within {float(allowed[place]):.1g}" if unit else ""
            raise ProblemError(
                f"{called(place)} sums to {float(total[place]):.12g}, must sum to 1{within}"
            )
        warn(
            f"{name}: rows sum to 1 within {error.max():.1g}, as numbers that were rounded by"
            f" {unit:.1g} do; they are divided by their sums",
            Renormalised,
        )
    # Only where needed, so that a record written and read back is the same to the last bit.
    inexact = error > 1e-14
    table[inexact] /= total[inexact][..., None]
