"""What several responses look like together, to somebody who does not tell them all apart.

A tally says how many responses have each key, and what sums come to. Responses of a class are one
of D alternatives; tallies of more are built by adding one alternative after another, and what looks
the same is one tally. Probabilities follow the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import lcm
from typing import NamedTuple

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.exact.table_moments import Size, require_fitting
from pgbench.process.responses import Responses

FIELDS = ("returns", "lengths", "truncated", "outcomes")
"""What is known of a response, in the order of the columns of a table of classes."""

AT_A_TIME = 2**15
"""Probabilities that are added at a time: they stay in the cache."""

WORD = 2**62
"""Codes of tallies stay below."""

MULTIPLES = 10**6
"""Values that are so many times their common measure at most are added up as whole numbers."""


@dataclass(frozen=True)
class Looks:
    """What an outcome weight looks at in the other responses; in its own it may see everything.

    Attributes
    ----------
    key
        Fields of ``Responses``: others whose key is equal are interchangeable.
    sums
        Fields of which only the total over the others counts.
    apart
        Whether the others of each key have a total of their own.
    beyond
        What is looked at in the responses of other groups, all of them together; None where a
        weight looks at its own group alone.
    """

    key: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    apart: bool = False
    beyond: "Looks | None" = field(default=None)

    def __post_init__(self) -> None:
        for name in (*self.key, *self.sums):
            if name not in FIELDS:
                raise ValueError(f"weights look at {name!r}, must be one of {', '.join(FIELDS)}")
        if {*self.key} & {*self.sums} or "truncated" in self.sums:
            raise ValueError(
                f"weights look at sums of {', '.join(self.sums)}, must be of fields that are no"
                " key and not truncated"
            )


def table_of(classes: Responses) -> FloatArray:
    """Classes as a table (C, 3 + c): return, length, truncated, outcomes."""
    plain = [classes.returns, classes.lengths, classes.truncated.astype(np.float64)]
    said = np.zeros((len(plain[0]), 0)) if classes.outcomes is None else classes.outcomes
    return np.concatenate([np.stack(plain, axis=1), said], axis=1)


def columns_of(names: Sequence[str], width: int) -> list[int]:
    """Columns of fields in a table of classes of so many columns."""
    places = {name: [FIELDS.index(name)] for name in FIELDS[:3]} | {"outcomes": [*range(3, width)]}
    return [column for name in names for column in places[name]]


@dataclass(frozen=True, eq=False)
class View:
    """n tallies as one kind of looking sees them.

    Attributes
    ----------
    keys
        (K, k) float64, the distinct keys and their values in the k columns ``key``.
    key, sums
        Columns of a table of classes.
    counts
        (n, K) int64, how many responses have each key.
    totals
        (n, K or 1, s) float64, sums of the columns ``sums``, of each key apart or of all.
    words
        (n, w) int64: tallies are the same where all of these are; those of two add up.
    """

    keys: FloatArray
    key: list[int]
    sums: list[int]
    counts: IntArray
    totals: FloatArray
    words: IntArray

    @classmethod
    def of(cls, table: FloatArray, looks: Looks, most: int) -> "View":
        """Each class of a table as a tally of one response, for tallies of ``most`` at most."""
        width = table.shape[1]
        key, sums = columns_of(looks.key, width), columns_of(looks.sums, width)
        keys, which = np.unique(table[:, key], axis=0, return_inverse=True)
        counts = np.eye(len(keys), dtype=np.int64)[which.ravel()]
        apart = counts if looks.apart else np.ones((len(table), 1), np.int64)
        digits = [counts[:, 1:]]
        for column in sums:
            own = _digits(table[:, column])
            digits.append((apart[:, :, None] * own[:, None, :]).reshape(len(table), -1))
        totals = apart[:, :, None] * table[:, None, sums]
        return cls(keys, key, sums, counts, totals, _words(np.concatenate(digits, axis=1), most))

    @property
    def members(self) -> int:
        """How many responses a tally is of, the same for all."""
        return int(self.counts[0].sum())

    def at(self, rows: IntArray | slice) -> "View":
        """Some of the tallies."""
        return View(
            self.keys, self.key, self.sums, self.counts[rows], self.totals[rows], self.words[rows]
        )

    def plus(self, other: "View", rows: IntArray, others: IntArray) -> "View":
        """Sums of tallies of this (m,) and of the other (m,)."""
        return View(
            self.keys,
            self.key,
            self.sums,
            self.counts[rows] + other.counts[others],
            self.totals[rows] + other.totals[others],
            self.words[rows] + other.words[others],
        )

    def representatives(self, width: int) -> FloatArray:
        """Responses that look so, (n, members, width); NaN in columns that are not looked at.

        Those of a key have its values, and an even share of the totals.
        """
        n, K = self.counts.shape
        members = self.members
        found = np.full((n, members, width), np.nan)
        which = np.repeat(np.tile(np.arange(K), n), self.counts.ravel()).reshape(n, members)
        found[:, :, self.key] = self.keys[which]
        group = which if self.totals.shape[1] > 1 else np.zeros_like(which)
        number = self.counts if self.totals.shape[1] > 1 else np.full((n, 1), members)
        shares = self.totals / np.maximum(number, 1)[:, :, None]
        found[:, :, self.sums] = np.take_along_axis(shares, group[:, :, None], axis=1)
        return found


Tally = tuple[View, ...]
"""n tallies, seen in one way or in several at once."""


class Tallies(NamedTuple):
    """Tallies with their probabilities (K, n), and which of the next ones each sum (n, D) is."""

    tally: Tally
    chance: FloatArray
    which: IntArray


def nobody(one: Tally) -> Tally:
    """The one tally of no response."""
    return tuple(
        View(v.keys, v.key, v.sums, 0 * v.counts[:1], 0 * v.totals[:1], 0 * v.words[:1])
        for v in one
    )


def number(tally: Tally) -> int:
    """How many tallies there are."""
    return len(tally[0].counts)


def distinct(tally: Tally) -> tuple[Tally, IntArray]:
    """The tallies that differ, and which of them each (n,) is."""
    first, which = _ranks(np.concatenate([view.words for view in tally], axis=1))
    return tuple(view.at(first) for view in tally), which


def added(tally: Tally, one: Tally, limit: Size) -> tuple[Tally, IntArray]:
    """Tallies with one more of D alternatives, and which of them each sum (n, D) is.

    Raises TooLarge where there are too many sums.
    """
    n, D = number(tally), number(one)
    numbers = n * D * (2 + sum(view.words.shape[1] for view in one))
    require_fitting(Size(8.0 * numbers, 500.0 * numbers), limit)
    words = [a.words[:, None] + b.words for a, b in zip(tally, one, strict=True)]
    first, which = _ranks(np.concatenate(words, axis=2).reshape(n * D, -1))
    rows, others = np.divmod(first, D)
    width = sum(v.counts.shape[1] + v.totals[0].size for v in one)
    require_fitting(Size(16.0 * first.size * width, 0.0), limit)
    sums = tuple(a.plus(b, rows, others) for a, b in zip(tally, one, strict=True))
    return sums, which.reshape(n, D)


def spread(chance: FloatArray, one: FloatArray, which: IntArray) -> FloatArray:
    """Probabilities (K, n') of sums from those of tallies (K, n) and of alternatives (K, D)."""
    total = np.zeros((int(which.max()) + 1, len(chance)))
    size = max(1, AT_A_TIME // len(chance))
    for begin in range(0, len(which), size):
        own = np.ascontiguousarray(chance[:, begin : begin + size].T)
        for place, p in zip(which[begin : begin + size].T, one.T, strict=True):
            # Sums of one alternative with different tallies differ.
            total[place] += own * p
    return total.T


def repeated(one: Tally, chance: FloatArray, times: int, limit: Size) -> list[Tallies]:
    """Tallies of ``times`` - 1 and of ``times`` alternatives, which have probabilities (K, D).

    Raises TooLarge where one addition is too much, or all of them together.
    """
    tally, p = nobody(one), np.ones((len(chance), 1))
    fewer: list[Tallies] = []
    left = limit
    for _ in range(times):
        after, which = added(tally, one, left)
        left = replace(limit, operations=left.operations - 500.0 * which.size)
        fewer = [Tallies(tally, p, which)]
        tally, p = after, spread(p, chance, which)
    return [*fewer, Tallies(tally, p, np.zeros((number(tally), 0), np.int64))]


def _digits(values: FloatArray) -> IntArray:
    """Whole numbers (n, w) whose sums are equal where sums of values (n,) are.

    Multiples of the values' common measure; where there is none, how often each value occurs.
    """
    rest = values - values.min()
    if not rest.any():
        return np.zeros((values.size, 0), np.int64)
    ratios = rest / rest[rest > 0].min()
    parts = {Fraction(ratio).limit_denominator(1000).denominator for ratio in np.unique(ratios)}
    measure = lcm(*parts)
    if measure * ratios.max() <= MULTIPLES:
        whole = np.rint(ratios * measure)
        if np.abs(ratios * measure - whole).max() <= 1e-9:
            return whole.astype(np.int64)[:, None]
    _, which = np.unique(values, return_inverse=True)
    return np.eye(int(which.max()) + 1, dtype=np.int64)[which][:, 1:]


def _words(digits: IntArray, most: int) -> IntArray:
    """Digits (n, w) packed into words that can be added ``most`` times."""
    words = [np.zeros(len(digits), np.int64)]
    size = 1
    for column in digits.T:
        radix = most * int(column.max(initial=0)) + 1
        if size * radix >= WORD:
            words.append(np.zeros(len(digits), np.int64))
            size = 1
        words[-1] = words[-1] + size * column
        size *= radix
    return np.stack(words, axis=1)


def _ranks(words: IntArray) -> tuple[IntArray, IntArray]:
    """Where each distinct row of (n, w) is found, and which of them each row is."""
    place, code = _distinct(words[:, 0])
    for word in words.T[1:]:
        _, rank = _distinct(word)
        place, code = _distinct(code * (int(rank.max()) + 1) + rank)
    return place, code


def _distinct(code: IntArray) -> tuple[IntArray, IntArray]:
    """Where each distinct code is found, in order, and which of them each of (n,) is."""
    span = int(code.max()) + 1
    if span > 2**16 + 4 * code.size:
        _, place, which = np.unique(code, return_index=True, return_inverse=True)
        return place, which
    place = np.full(span, -1)
    place[code] = np.arange(code.size)
    found = place >= 0
    return place[found], (np.cumsum(found) - 1)[code]
