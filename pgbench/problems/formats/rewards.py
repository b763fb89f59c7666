"""Rewards of explicit models: of states, ``state reward``, and of what follows a choice.

Those are lines ``source choice target reward``, or ``source choice reward`` of a choice whatever
follows. PRISM writes ``states rewards``, or ``states choices rewards``, above them; what begins
with the number of states is no state, and so that.
"""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import FloatArray
from pgbench.problems.formats.table import Table, fields_in, read_table
from pgbench.problems.formats.text import opened
from pgbench.problems.formats.transitions import Transitions

OF_STATES = {2: "state reward"}
OF_CHOICES = {3: "source choice reward", 4: "source choice target reward"}


def state_rewards_in(path: Path, n_states: int) -> FloatArray:
    """Rewards (S,) of states, 0 of those that the file leaves out."""
    table = _table(path, n_states, 2, OF_STATES)
    reward = np.zeros(n_states)
    if table is not None:
        state = table.integers(0, "state")
        table.require(state < n_states, state, "state", f"in [0, {n_states - 1}]")
        _require_once(table, state)
        reward[state] = table.numbers[:, 1]
    return reward


def transition_rewards_in(path: Path, moves: Transitions) -> FloatArray:
    """Rewards (n,) of transitions, 0 of those that the file leaves out."""
    reward = np.zeros(moves.source.size)
    table = _table(path, moves.n_states, 3, OF_CHOICES)
    if table is None:
        return reward
    S, A = moves.n_states, moves.dimensions.n_actions
    source, choice = table.integers(0, "source"), table.integers(1, "choice")
    known, asked = moves.source * A + moves.choice, source * A + choice
    exists, place = (source < S) & (choice < A), [source, choice]
    if table.numbers.shape[1] == 4:
        target = table.integers(2, "target")
        known, asked = known * S + moves.target, asked * S + target
        exists &= target < S
        place.append(target)
    else:
        known = known[moves.begins]
    at = np.minimum(np.searchsorted(known, asked), known.size - 1)
    absent = np.flatnonzero(~(exists & (known[at] == asked)))
    if absent.size:
        words = zip(("source is", "choice", "target"), place, strict=False)
        where = ", ".join(f"{word} {numbers[absent[0]]}" for word, numbers in words)
        raise table.wrong(absent[0], f"{where}, must be a transition of {moves.table.path}")
    _require_once(table, asked)
    value = np.zeros(known.size)
    value[at] = table.numbers[:, -1]
    return value if value.size == reward.size else value[moves.pair]


def _table(path: Path, n_states: int, header: int, forms: Mapping[int, str]) -> Table | None:
    """The rows of a file, all of the form of the first; None if there is none."""
    with opened(path) as file:
        rows = fields_in(file)
        line, fields = next(rows, (1, []))
        if len(fields) == header and fields[0] == str(n_states):
            line, fields = next(rows, (line, []))
        if not fields:
            return None
        width = len(fields)
        own = {width: forms[width]} if width in forms else forms
        return read_table(path, chain([(line, fields)], rows), own, width)


def _require_once(table: Table, keys: NDArray[np.int64]) -> None:
    """ProblemError where two rows are about the same."""
    order = np.argsort(keys, kind="stable")
    twice = np.flatnonzero(np.diff(keys[order]) == 0)
    if twice.size:
        first, again = order[twice[0]], order[twice[0] + 1]
        raise table.wrong(again, f"the reward of line {table.lines[first]} is given again")
