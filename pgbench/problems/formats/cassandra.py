"""Cassandra's text format, of files ``.mdp`` and ``.pomdp``, for states that are fully observed.

A preamble gives the discount, the states and the actions. Then statements give the start, T(s'|s,a)
and R(s,a,s'), an entry, a row or a matrix at a time; they count in their order, and a later one
replaces what it names again. Line ends are spaces, and ``#`` begins a comment.

Source: A. R. Cassandra, POMDP file format and grammar of pomdp-solve. An MDP has neither
observations nor the field of R that names them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pgbench.declared.messages import shown
from pgbench.declared.parameters import did_you_mean
from pgbench.memory import require_memory
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.distribution import normalise
from pgbench.problems.formats.absorbing import absorbing
from pgbench.problems.formats.axis import Axis, axis_in
from pgbench.problems.formats.statements import Payment, Row, Rows
from pgbench.problems.formats.text import number, once, opened
from pgbench.problems.formats.words import Words
from pgbench.problems.problem import ProblemError
from pgbench.problems.slots import Slots

KEYWORDS = ("discount", "values", "states", "actions", "start", "T", "R")
OBSERVED = ("observations", "O")
ENDS = (*KEYWORDS, *OBSERVED)
"""Words that end a list."""


def arguments_in(path: Path, gamma: float | None = None) -> dict[str, Any]:
    """Arguments of ``FiniteMDP`` as the file says them; a discount given here wins.

    States that nothing leaves, that pay nothing and in which no episode begins are terminal.

    Raises
    ------
    ProblemError
        With the file, the line, the value and what is allowed.
    """
    model = _read(path)
    discount = model.discount if gamma is None else gamma
    if discount is None:
        raise ProblemError(f"{path} gives no discount and no gamma was given")
    successor, probability, reward = model.slots()
    return {
        "successor": successor,
        "probability": probability,
        "reward": reward,
        "mu0": model.start,
        "gamma": discount,
        "terminal": absorbing(successor, probability, reward, model.start),
        "name": path.stem,
    }


@once
def dimensions_of(path: Path) -> FiniteDimensions:
    """How large the problem of the file is, for which all of it is read; ProblemError as there."""
    return _read(path).dimensions


def _read(path: Path) -> "_Model":
    with opened(path) as file:
        return _Model(Words(path, file))


class _Model:
    """What a file says; whether probabilities sum to 1 is seen when they become slots."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self.discount: float | None = None
        self.sign = 1.0
        self.start = np.zeros(0)
        self.rows = Rows(0, 0)
        self.payments: list[Payment] = []
        self.axes: dict[str, Axis] = {}
        self._lines: dict[str, int] = {}
        while words.word:
            self._statement()
        self._need("states", "actions", "T")

    @property
    def dimensions(self) -> FiniteDimensions:
        """How large it is."""
        S, A = len(self.axes["states"].names), len(self.axes["actions"].names)
        return FiniteDimensions(S, A, max(1, self.rows.branching))

    def slots(self) -> Slots:
        """Slots, successors in order, and costs as negative rewards."""
        size = self.dimensions
        require_memory(str(self.words.path), size.memory)
        successor, probability, exact = self.rows.arrays(size.branching)
        normalise(f"{self.words.path}: T", probability, probability[~exact], self._named)
        reward = np.zeros(probability.shape)
        for payment in self.payments:
            payment.pay(reward, successor)
        # No 0 is negative, for bytes are what tells problems apart.
        return successor, probability, np.where(probability > 0, self.sign * reward, 0.0) + 0.0

    def _named(self, place: tuple[int, ...]) -> str:
        """What messages call a pair."""
        s, a = place[:2]
        row = self.rows.by_action[a][s]
        where = f"{self.words.path}:{row.line}" if row else str(self.words.path)
        action, state = self.axes["actions"].names[a], self.axes["states"].names[s]
        return f"{where}: T of action {action} in state {state}"

    def _statement(self) -> None:
        """One statement, from its first word on."""
        line, word = self.words.line, self.words.word
        if word in OBSERVED:
            raise self._observed(line, word)
        if word not in KEYWORDS:
            hint = did_you_mean(word, KEYWORDS)
            raise self.words.misplaced(f"one of {', '.join(KEYWORDS)}", hint)
        if word in ("start", "T", "R"):
            self._need("states", "actions")
        if word not in ("T", "R") and word in self._lines:
            raise self.words.wrong(line, f"{word} is given again, after line {self._lines[word]}")
        if word == "start" and "T" in self._lines:
            raise self.words.wrong(line, f"start comes after T, of line {self._lines['T']}")
        self._lines[word] = line
        self.words.take()
        STATEMENTS[word](self)

    def _observed(self, line: int, what: str) -> ProblemError:
        return self.words.wrong(
            line,
            f"{shown(what)} is about observations, which are not supported, for policies see the"
            " state itself; without observations, O and the field of R that names them, this is the"
            " MDP below the POMDP",
        )

    def _need(self, *words: str) -> None:
        """An error where what is next, or the end of the file, needs one of these before it."""
        for word in words:
            if word not in self._lines:
                raise self.words.misplaced(word)

    def _discount(self) -> None:
        self.words.colon()
        self.discount = self.words.value("a discount in [0, 1]", 0, 1)

    def _values(self) -> None:
        self.words.colon()
        if self.words.word not in ("reward", "cost"):
            raise self.words.misplaced("reward or cost")
        self.sign = -1.0 if self.words.take() == "cost" else 1.0

    def _states(self) -> None:
        self._name("states")

    def _actions(self) -> None:
        self._name("actions")

    def _name(self, axis: str) -> None:
        """How many there are, or what they are called."""
        self.words.colon()
        self.axes[axis] = axis_in(self.words, axis, ENDS)
        if len(self.axes) == 2:
            require_memory(str(self.words.path), self.dimensions.memory)
            S, A = len(self.axes["states"].names), len(self.axes["actions"].names)
            self.rows, self.start = Rows(S, A), np.full(S, 1 / S)

    def _start(self) -> None:
        """A distribution, a state, or the states that are equally likely or are left out."""
        how = self.words.take() if self.words.word in ("include", "exclude") else ""
        self.words.colon()
        line, S = self.words.line, self.start.size
        if self.words.word == "uniform" and not how:
            self.words.take()
            return
        given = self.words.until(ENDS)
        numbers = [number(word) for _, word in given]
        if not how and len(given) == S and None not in numbers and (S > 1 or any(numbers)):
            start = np.array(numbers, float)
            normalise(f"{self.words.path}:{line}: start", start, start.copy())
        elif len(given) == 1 or (given and how):
            chosen = [self.axes["states"].number(self.words.path, *word) for word in given]
            among = np.full(S, how == "exclude")
            among[chosen] = how != "exclude"
            start = among / max(1, among.sum())
        else:
            allowed = "states" if how else f"a state or {S} numbers"
            raise self.words.wrong(line, f"start has {len(given)} entries, must be {allowed}")
        if not start.any():
            raise self.words.wrong(line, "start excludes every state, must leave one")
        self.start = start

    def _transitions(self) -> None:
        """Probabilities T, of an entry, a row or a matrix."""
        line = self.words.line
        actions, *more = self._indices("actions", "states", "states")
        if len(more) == 2:
            p = self.words.value("a probability in [0, 1]", 0, 1)
            self.rows.put_entries(actions, more[0], more[1], p, line)
        elif len(more) == 1 or self.words.word == "uniform":
            self.rows.put(actions, more[0] if more else range(self.start.size), self._row())
        else:
            identity = self.words.word == "identity"
            if identity:
                self.words.take()
            for s in range(self.start.size):
                row = Row(line, {s: 1.0}, exact=True) if identity else self._row()
                self.rows.put(actions, range(s, s + 1), row)

    def _row(self) -> Row:
        """Probabilities of all successors, in numbers or in a word."""
        line, S = self.words.line, self.start.size
        exact = self.words.word in ("uniform", "reset")
        if exact:
            row = self.start if self.words.take() == "reset" else np.full(S, 1 / S)
        else:
            row = self.words.values(S, "a probability in [0, 1]", 0, 1)
        found = np.flatnonzero(row)
        return Row(line, dict(zip(found.tolist(), row[found].tolist(), strict=True)), exact)

    def _rewards(self) -> None:
        """Rewards R, of an entry, a row or a matrix."""
        S = self.start.size
        actions, *more = self._indices("actions", "states", "states", "observations")
        shape = [(S, S), (S,), ()][len(more)]
        value = self.words.values(int(np.prod(shape)), "a reward").reshape(shape)
        state, successor = [*more, range(S), range(S)][:2]
        self.payments.append(Payment(actions, state, successor, value))

    def _indices(self, *axes: str) -> list[range]:
        """What a statement names, all of an axis for ``*``: as many as colons follow."""
        found: list[range] = []
        for axis in axes:
            if found and self.words.word != ":":
                break
            self.words.colon()
            line, word = self.words.line, self.words.take()
            if axis == "observations":
                if word != "*":
                    raise self._observed(line, word)
            elif word == "*":
                found.append(range(len(self.axes[axis].names)))
            else:
                i = self.axes[axis].number(self.words.path, line, word)
                found.append(range(i, i + 1))
        return found


STATEMENTS: dict[str, Callable[[_Model], None]] = {
    "discount": _Model._discount,
    "values": _Model._values,
    "states": _Model._states,
    "actions": _Model._actions,
    "start": _Model._start,
    "T": _Model._transitions,
    "R": _Model._rewards,
}
