"""States or actions of a text file: how many there are, and what they are called."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pgbench.declared.messages import shown
from pgbench.declared.parameters import did_you_mean
from pgbench.memory import require_memory
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.formats.text import wrong
from pgbench.problems.formats.words import Words

COUNT = r"[0-9]{0,17}[1-9][0-9]{0,17}"
"""An integer ≥ 1 that is no accident."""


@dataclass(frozen=True)
class Axis:
    """States or actions.

    Attributes
    ----------
    what
        ``states`` or ``actions``.
    names
        What messages call them: their names, or their numbers where they have none.
    numbers
        Their numbers by name; nothing where they have none.
    """

    what: str
    names: list[str]
    numbers: dict[str, int]

    def number(self, path: Path, line: int, word: str) -> int:
        """The number of one that is given by name or by number; ProblemError if it is none."""
        i = int(word) if re.fullmatch("[0-9]{1,18}", word) else self.numbers.get(word, -1)
        if not 0 <= i < len(self.names):
            raise wrong(
                path,
                line,
                f"{shown(word)}{did_you_mean(word, self.numbers)} is none of the {self.what}, must"
                f" be {'a name or ' if self.numbers else ''}a number in [0, {len(self.names) - 1}]",
            )
        return i


def axis_in(words: Words, what: str, ends: Collection[str]) -> Axis:
    """What the next words say, a count, or names up to one of the words that end a list."""
    if re.fullmatch(COUNT, words.word):
        size = FiniteDimensions(int(words.word), 1)
        require_memory(f"{words.path}:{words.line}: {what}", size.memory)
        return Axis(what, [str(i) for i in range(int(words.take()))], {})
    numbers: dict[str, int] = {}
    while not numbers or (words.word and words.word not in ends):
        if words.word in ends or not words.word[:1].isalpha():
            raise words.misplaced(f"{what}, a count ≥ 1 or names that begin with a letter,")
        if words.word in numbers:
            raise words.wrong(words.line, f"{what} holds {shown(words.word)} twice")
        numbers[words.take()] = len(numbers)
    return Axis(what, list(numbers), numbers)
