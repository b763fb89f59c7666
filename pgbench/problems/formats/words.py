"""Words of a text file, one after another, and what must stand where."""

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.messages import shown
from pgbench.problems.formats.text import number, wrong
from pgbench.problems.problem import ProblemError

WORD = re.compile(r":|[^\s:]+")


class Words:
    """Words of lines in which ``#`` begins a comment; a colon is a word.

    Attributes
    ----------
    line, word
        The next word and its line; at the end of the file the word is empty.
    """

    def __init__(self, path: Path, lines: Iterable[str]) -> None:
        self.path = path
        self._rest = _words(lines)
        self.line, self.word = next(self._rest, (1, ""))

    def take(self) -> str:
        """The next word, which is passed."""
        taken = self.word
        self.line, self.word = next(self._rest, (self.line, ""))
        return taken

    def wrong(self, line: int, message: str) -> ProblemError:
        """An error about a line."""
        return wrong(self.path, line, message)

    def misplaced(self, allowed: str, hint: str = "") -> ProblemError:
        """An error about the next word, which says what must stand there."""
        found = shown(self.word) if self.word else "the end of the file"
        return self.wrong(self.line, f"{found} stands where {allowed} must be{hint}")

    def colon(self) -> None:
        """Pass a colon."""
        if self.word != ":":
            raise self.misplaced("':'")
        self.take()

    def value(self, allowed: str, low: float = -np.inf, high: float = np.inf) -> float:
        """The next word as a finite number within bounds, which is passed."""
        found = number(self.word)
        if found is None or not low <= found <= high:
            raise self.misplaced(allowed)
        self.take()
        return found

    def values(
        self, count: int, allowed: str, low: float = -np.inf, high: float = np.inf
    ) -> FloatArray:
        """So many numbers within bounds, (count,), which are passed."""
        if count == 1:
            return np.array([self.value(allowed, low, high)])
        return np.fromiter(
            (self.value(f"{allowed} ({i + 1} of {count})", low, high) for i in range(count)),
            float,
            count,
        )

    def until(self, ends: Collection[str]) -> list[tuple[int, str]]:
        """Words with their lines up to one of these, or to the end of the file."""
        found = []
        while self.word and self.word not in ends:
            found.append((self.line, self.take()))
        return found


def _words(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for line, text in enumerate(lines, 1):
        for word in WORD.findall(text.partition("#")[0]):
            yield line, word
