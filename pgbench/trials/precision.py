"""What rounding does to a user's estimates, by the format that they come in.

An estimate is a sum of T·N terms per coordinate. Rounding errors of n terms add up to about √n
units of Σ|terms| (Higham & Mary 2019, "A new approach to probabilistic rounding error analysis"),
which is κ = Σ|terms|/|Σ terms| units of the sum. κ is taken from the plainest estimator, whose
terms are R_n ψ_t; a user's terms are not known.
"""

from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.functions import Batches
from pgbench.trials.normalisers import returns

SINGLE = 2.0**-24
"""Unit roundoff of float32. Double precision counts as single: inside, much of it may be."""

HALF = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
"""Unit roundoffs of coarser formats (IEEE 754-2019, table 3.5; bfloat16 has 8 significant bits)."""

TERM = 16.0
"""A term is right to so many units at least: powers, softmax and differences make it."""

SUM = 4.0
"""Errors of a sum of n terms are √n units times this, with certainty in practice."""

SHIFT, SINGLE_SHIFT = 4.0, 16.0
"""So many units of Σ|terms| may rounding move a mean: θ and rewards are rounded once for all.

In single precision so many more as its terms are off, which hides nothing there.
"""


def unit_roundoff(result: Any) -> float:
    """Half the gap between 1 and the next number in the format that was returned."""
    name = str(getattr(result, "dtype", "")).rpartition(".")[2]
    return HALF.get(name, SINGLE)


def rounding(made: FloatArray, batches: Batches) -> float:
    """Differences between estimates (R, d) of single precision that mean nothing.

    In units of the estimates; of means so much, of single estimates ten times as much.
    """
    terms, sums = _plain(batches)
    size = float(np.abs(sums).max())
    condition = float(terms.max()) / size if size > 0 else 1.0
    n = batches.batch_size * batches.place.horizon
    units = max(TERM, SUM * float(np.sqrt(n)))
    return units * SINGLE * condition * float(np.abs(made).max())


def shift(unit: float, made: FloatArray, batches: Batches) -> float:
    """How far rounding in the format may move the mean of estimates (R, d)."""
    terms, sums = _plain(batches)
    size = float(np.abs(sums).mean(axis=0).max())
    condition = float(terms.mean(axis=0).max()) / size if size > 0 else 1.0
    units = SHIFT if unit > SINGLE else SINGLE_SHIFT
    return units * unit * condition * float(np.abs(made).mean(axis=0).max())


def _plain(batches: Batches) -> tuple[FloatArray, FloatArray]:
    """Σ|terms| and Σ terms of the plainest estimator, (R, d) each."""
    terms, sums = [], []
    for part in batches.parts():
        weights = returns(part)[..., None, None] / part.batch_size
        each = weights * part.at_once().scores
        terms.append(np.abs(each).sum(axis=(1, 2)))
        sums.append(each.sum(axis=(1, 2)))
    return np.concatenate(terms), np.concatenate(sums)
