"""T(s'|s,a) and R(s,a,s') as a file gives them: one entry, row or matrix after another."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import BoolArray, FloatArray


@dataclass
class Row:
    """P(·|s, a) so far.

    Attributes
    ----------
    line
        Where it was given last.
    entries
        Probabilities that are not 0, by successor.
    exact
        Whether a word such as ``uniform`` stands for its numbers, so that nothing rounded them.
    shared
        Whether other pairs have the same row, so that it must be copied to be changed.
    """

    line: int
    entries: dict[int, float]
    exact: bool = False
    shared: bool = False


class Rows:
    """Rows of all pairs; what is given later replaces what was there.

    Attributes
    ----------
    by_action
        By action and state; None where nothing was given.
    """

    def __init__(self, n_states: int, n_actions: int) -> None:
        self.by_action: list[list[Row | None]] = [[None] * n_states for _ in range(n_actions)]

    @property
    def branching(self) -> int:
        """Most successors of a pair."""
        return max((len(row.entries) for rows in self.by_action for row in rows if row), default=0)

    def arrays(self, branching: int) -> tuple[NDArray[np.int32], FloatArray, BoolArray]:
        """Successor and probability (S, A, B), and which rows are exact (S, A).

        Successors are in order; what was not given has the probability 0.
        """
        A, S = len(self.by_action), len(self.by_action[0])
        successor = np.zeros((S, A, branching), np.int32)
        probability, exact = np.zeros(successor.shape), np.zeros((S, A), bool)
        for a, rows in enumerate(self.by_action):
            for s, row in enumerate(rows):
                if row is not None and row.entries:
                    goals, chances = zip(*sorted(row.entries.items()), strict=True)
                    successor[s, a, : len(goals)] = goals
                    probability[s, a, : len(goals)] = chances
                    exact[s, a] = row.exact
        return successor, probability, exact

    def put(self, actions: range, states: range, row: Row) -> None:
        """Give pairs a row, which they share."""
        row.shared = len(actions) * len(states) > 1
        for a in actions:
            self.by_action[a][states.start : states.stop] = [row] * len(states)

    def put_entries(
        self, actions: range, states: range, successors: range, p: float, line: int
    ) -> None:
        """Give pairs the probability of successors."""
        for a in actions:
            for s in states:
                row = self._own(a, s)
                row.line, row.exact = line, False
                for successor in successors:
                    if p:
                        row.entries[successor] = p
                    else:
                        row.entries.pop(successor, None)

    def _own(self, a: int, s: int) -> Row:
        """The row of a pair, which no other has."""
        row = self.by_action[a][s]
        if row is None or row.shared:
            row = Row(0, dict(row.entries) if row else {})
            self.by_action[a][s] = row
        return row


@dataclass(frozen=True)
class Payment:
    """A reward of pairs and of what follows them.

    Attributes
    ----------
    actions, states, successors
        Those that it names.
    value
        () for all of them, (S,) by successor, or (S, S) by state and successor.
    """

    actions: range
    states: range
    successors: range
    value: FloatArray

    def pay(self, reward: FloatArray, successor: NDArray[np.int32]) -> None:
        """Write it into rewards (S, A, B) of slots."""
        place = _slice(self.states), _slice(self.actions)
        goals = successor[place]
        if self.value.ndim == 2:
            reward[place] = self.value[np.arange(len(self.value))[:, None, None], goals]
        elif self.value.ndim == 1:
            reward[place] = self.value[goals]
        elif len(self.successors) == 1:
            reward[place][goals == self.successors.start] = self.value
        else:
            reward[place] = self.value


def _slice(several: range) -> slice:
    return slice(several.start, several.stop)
