"""Transitions of explicit models, files ``.tra``: a choice of a state and what may follow, a line.

A line is ``source choice target probability [action]``. PRISM writes ``states choices transitions``
above them, Storm ``mdp``.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import BoolArray
from pgbench.declared.messages import shown
from pgbench.memory import require_memory
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.distribution import normalise
from pgbench.problems.formats.table import Table, fields_in, read_table
from pgbench.problems.formats.text import opened, wrong
from pgbench.problems.slots import Slots

Integers = NDArray[np.int64]

TRANSITION = "source choice target probability"
FORMS = {4: TRANSITION, 5: f"{TRANSITION} action"}


@dataclass(frozen=True)
class Transitions:
    """Transitions of a file in order of source, choice and target.

    Attributes
    ----------
    table
        Its rows in this order, with the columns source, choice, target and probability.
    n_states
        S.
    source, choice, target
        (n,) int64.
    """

    table: Table
    n_states: int
    source: Integers
    choice: Integers
    target: Integers

    @cached_property
    def begins(self) -> Integers:
        """Rows (pairs,) that are the first of their pair of source and choice."""
        same = (np.diff(self.source) == 0) & (np.diff(self.choice) == 0)
        return np.flatnonzero(np.append(True, ~same))

    @cached_property
    def pair(self) -> Integers:
        """Number (n,) of the pair that a row belongs to, in their order."""
        return np.repeat(np.arange(self.begins.size), self.lengths)

    @property
    def lengths(self) -> Integers:
        """How many rows a pair has, (pairs,)."""
        return np.diff(np.append(self.begins, self.source.size))

    @cached_property
    def choices(self) -> Integers:
        """How many choices a state has, (S,)."""
        return np.bincount(self.source[self.begins], minlength=self.n_states)

    @property
    def allowed(self) -> BoolArray:
        """Which actions a state has, (S, A): a deadlock has one, as all states have."""
        counts = np.maximum(self.choices, 1)
        return np.arange(counts.max()) < counts[:, None]

    @property
    def dimensions(self) -> FiniteDimensions:
        """How large the problem is."""
        return FiniteDimensions(self.n_states, int(self.choices.max()), int(self.lengths.max()))

    @property
    def place(self) -> tuple[Integers, Integers, Integers]:
        """Indices (n,) of the state, the action and the slot of every row."""
        return self.source, self.choice, np.arange(self.source.size) - self.begins[self.pair]

    def slots(self) -> Slots:
        """Slots that pay nothing, a deadlock's a loop; ProblemError where sums are not 1."""
        size = self.dimensions
        require_memory(str(self.table.path), size.memory)
        shape = (self.n_states, size.n_actions, size.branching)
        successor = np.zeros(shape, np.int32)
        probability, reward = np.zeros((2, *shape))
        successor[self.place], probability[self.place] = self.target, self.table.numbers[:, 3]
        stuck = np.flatnonzero(self.choices == 0)
        successor[stuck, 0, 0], probability[stuck, 0, 0] = stuck, 1.0
        exists = self.allowed
        rows = probability[exists]
        normalise(str(self.table.path), rows, self.table.numbers[:, 3], self._named)
        probability[exists] = rows
        return successor, probability, reward

    def _named(self, place: tuple[int, ...]) -> str:
        """What messages call a pair that is allowed, by its number among those."""
        s, a = (int(found[place[0]]) for found in np.nonzero(self.allowed))
        row = np.flatnonzero((self.source == s) & (self.choice == a))[0]
        return f"{self.table.path}:{self.table.lines[row]}: choice {a} of state {s}"


def transitions_in(path: Path) -> Transitions:
    """The transitions of a file.

    Raises
    ------
    ProblemError
        With the line, the value and what is allowed.
    """
    with opened(path) as file:
        rows = fields_in(file)
        line, fields = next(rows, (1, []))
        if len(fields) == 1:
            if fields != ["mdp"]:
                raise wrong(path, line, f"the model is {shown(fields[0])}, must be mdp")
            line, fields = next(rows, (line, []))
        head, counts = line, [int(n) for n in fields if n.isdecimal() and len(n) < 18]
        if len(fields) == len(counts) == 3:
            line, fields = next(rows, (line, []))
        else:
            counts = []
        if not fields:
            raise wrong(path, line, f"the file ends, must have lines {FORMS[4]}")
        table = read_table(path, chain([(line, fields)], rows), FORMS, 4)
    source, choice, target = (table.integers(i, TRANSITION.split()[i]) for i in range(3))
    n_states = counts[0] if counts else int(max(source.max(), target.max())) + 1
    require_memory(str(path), FiniteDimensions(n_states, 1).memory)
    table.require(source < n_states, source, "source", f"less than {n_states}, of line {head}")
    table.require(target < n_states, target, "target", f"less than {n_states}, of line {head}")
    chance = table.numbers[:, 3]
    table.require((chance >= 0) & (chance <= 1), chance, "probability", "in [0, 1]")
    order = np.lexsort((target, choice, source))
    found = Transitions(table.taken(order), n_states, source[order], choice[order], target[order])
    _require_order(found)
    said = (found.begins.size, found.source.size)
    if counts and said != (counts[1], counts[2]):
        raise wrong(
            path,
            head,
            f"{counts[1]} choices and {counts[2]} transitions are announced, {said[0]} and"
            f" {said[1]} follow",
        )
    return found


def _require_order(found: Transitions) -> None:
    """ProblemError where a transition comes twice, or numbers of choices are left out."""
    twice = np.flatnonzero((np.diff(found.pair) == 0) & (np.diff(found.target) == 0))
    if twice.size:
        first, again = sorted(int(line) for line in found.table.lines[twice[0] : twice[0] + 2])
        raise wrong(found.table.path, again, f"the transition of line {first} is given again")
    counts = found.choices[found.source]
    found.table.require(
        found.choice < counts,
        found.choice,
        "choice",
        "one of 0, 1, 2, ... in each state, none left out",
    )
