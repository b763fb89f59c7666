"""Standard normal numbers from 64-bit words, by the inverse distribution function.

A word gives a sign, its lowest bit, and a tail probability p = (k + ½) 2⁻⁵³ with k its highest 52
bits; the number is ±z with Φ(-z) = p. -Φ⁻¹ is a polynomial of degree seven on each sixteenth of
each octave of p, so tails are as exact as the middle: the largest |z| is 8.29, and the relative
error is below 10⁻¹³. Nothing but multiplications and additions is used, in one order, and their
coefficients, interpolated at Chebyshev's points, are read from ``normal.npy``: every machine draws
the same bits. One word makes one number: streams stay in step whatever is drawn.

Source of the segments, halved towards the tail: Lee, Luk, Villasenor & Cheung 2003 ("hierarchical
segmentation"); of inversion by polynomials: Hörmann & Leydold 2003.
"""

import math
from pathlib import Path

import numpy as np
from numba import int64, uint64

from pgbench.kernels.jit import kernel, part
from pgbench.kernels.streams import LANES, WORD

DEGREE = 7
PARTS = 16
"""Segments per octave: the four highest bits of the mantissa."""

OCTAVES = 53
"""Octaves of k + ½, from ½ to 2⁵²."""

_SHIFT = uint64(48)
_BASE = uint64(1022 * PARTS)
"""What the exponent and the four highest bits of the mantissa of ½ read."""

_WITHIN = uint64(2**48 - 1)
_DROPPED = uint64(12)
_ONE = uint64(1)


_TABLE = np.load(Path(__file__).with_name("normal.npy"))


@part
def normals(lanes, scratch, bits, table, out):
    """Standard normal numbers of the words in ``lanes``.

    lanes as in ``streams``; scratch (LANES,) float64 with ``bits`` its bytes as uint64; table
    (segments, DEGREE + 1); out (LANES,) receives the numbers.
    """
    for lane in range(LANES):
        scratch[lane] = np.float64(int64(lanes[WORD + lane] >> _DROPPED)) + 0.5
    for lane in range(LANES):
        pattern = bits[lane]
        c = table[(pattern >> _SHIFT) - _BASE]
        t = np.float64(int64(pattern & _WITHIN)) * 2.0**-47 - 1.0
        z = c[0]
        for k in range(1, DEGREE + 1):
            z = z * t + c[k]
        out[lane] = -z if lanes[WORD + lane] & _ONE else z


@part
def segment(word):
    """The row of the table that a word's number comes from, and its t, without looking at bits."""
    mantissa, octave = math.frexp(np.float64(int64(uint64(word) >> _DROPPED)) + 0.5)
    within = (2.0 * mantissa - 1.0) * PARTS
    part = np.int64(within)
    return octave * PARTS + part, (within - np.float64(part)) * 2.0 - 1.0


def table() -> np.ndarray:
    """The coefficients that ``normals`` takes, (segments, DEGREE + 1), highest power first."""
    return _TABLE


def from_words(words: np.ndarray) -> np.ndarray:
    """The numbers (n,) of words (n,) uint64."""
    out = np.empty(words.size)
    _from_words(np.ascontiguousarray(words), _TABLE, out)
    return out


@kernel
def _from_words(words, table, out):
    lanes = np.zeros(5 * LANES, np.uint64)
    scratch = np.empty(LANES)
    bits = scratch.view(np.uint64)
    numbers = np.empty(LANES)
    for first in range(0, words.size, LANES):
        n = min(LANES, words.size - first)
        for lane in range(n):
            lanes[WORD + lane] = words[first + lane]
        normals(lanes, scratch, bits, table, numbers)
        for lane in range(n):
            out[first + lane] = numbers[lane]
