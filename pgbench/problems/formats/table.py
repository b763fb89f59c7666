"""Tables of numbers in text: a row a line, in which ``#`` begins a comment."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.messages import shown
from pgbench.problems.formats.text import number, wrong
from pgbench.problems.problem import ProblemError

Fields = tuple[int, list[str]]
"""The words of a line, and its number."""

BLOCK = 2**15
"""Lines that are held as text at a time."""

INTEGERS = 2.0**53
"""Larger ones are not exact."""


@dataclass(frozen=True)
class Table:
    """Columns of a file.

    Attributes
    ----------
    path
        The file.
    lines
        (n,) int64, where the rows stand.
    numbers
        (n, columns) float64, all finite.
    """

    path: Path
    lines: NDArray[np.int64]
    numbers: FloatArray

    def wrong(self, row: int, message: str) -> ProblemError:
        """An error about a row."""
        return wrong(self.path, int(self.lines[row]), message)

    def integers(self, column: int, name: str) -> NDArray[np.int64]:
        """A column of integers ≥ 0; ProblemError names one that is none."""
        values = self.numbers[:, column]
        good = (values >= 0) & (values == np.floor(values)) & (values < INTEGERS)
        self.require(good, values, name, "an integer ≥ 0")
        return values.astype(np.int64)

    def require(self, good: BoolArray, values: NDArray[Any], name: str, allowed: str) -> None:
        """ProblemError with the first row (n,) that is not good, its value and what is allowed."""
        bad = np.flatnonzero(~good)
        if bad.size:
            raise self.wrong(bad[0], f"{name} is {values[bad[0]]:.12g}, must be {allowed}")

    def taken(self, rows: NDArray[np.int64]) -> "Table":
        """These rows, in this order."""
        return Table(self.path, self.lines[rows], self.numbers[rows])


def fields_in(lines: Iterable[str]) -> Iterator[Fields]:
    """Words of the lines that have any."""
    for line, text in enumerate(lines, 1):
        if fields := (text.partition("#")[0] if "#" in text else text).split():
            yield line, fields


def read_table(path: Path, rows: Iterator[Fields], forms: Mapping[int, str], columns: int) -> Table:
    """The first columns of rows that have as many fields as one of the forms says.

    Parameters
    ----------
    path
        The file, for messages.
    rows
        The lines that are left of it.
    forms
        What a row may be, in words, by its number of fields.
    columns
        How many of them are numbers.

    Raises
    ------
    ProblemError
        With the line, what stands there and what is allowed.
    """
    lines, numbers = [np.zeros(0, np.int64)], [np.zeros((0, columns))]
    while block := list(islice(rows, BLOCK)):
        for line, fields in block:
            if len(fields) not in forms:
                raise wrong(
                    path,
                    line,
                    f"{shown(' '.join(fields))} has {len(fields)} fields, must be"
                    f" {' or '.join(forms.values())}",
                )
        lines.append(np.fromiter((line for line, _ in block), np.int64, len(block)))
        numbers.append(_numbers(path, block, columns))
    return Table(path, np.concatenate(lines), np.concatenate(numbers))


def _numbers(path: Path, block: list[Fields], columns: int) -> FloatArray:
    """The first columns of a block of lines; ProblemError names a word that is no number."""
    try:
        words = chain.from_iterable(fields[:columns] for _, fields in block)
        found = np.fromiter(map(float, words), np.float64).reshape(-1, columns)
    except ValueError:
        found = np.full((1, columns), np.nan)
    if np.isfinite(found).all():
        return found
    line, word = next(
        (line, word) for line, fields in block for word in fields[:columns] if number(word) is None
    )
    raise wrong(path, line, f"{shown(word)} is not a finite number")
