"""Finite automata as tables: a verifier's, as far as responses can get, or those of a file."""

import json
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, IntArray
from pgbench.declared.messages import shown
from pgbench.problems.problem import ProblemError
from pgbench.problems.verifiers import Verifier


@dataclass(frozen=True, eq=False)
class Automaton:
    """A finite automaton that reads tokens.

    Attributes
    ----------
    transition
        (Q, K) int64, the state that follows a state and a token.
    accept
        (Q,) bool, whether a response that ends in a state is right.
    start
        (P,) int64, the state in which a response to each prompt begins.
    """

    transition: IntArray
    accept: BoolArray
    start: IntArray

    def wanted(self, length: int) -> IntArray:
        """What a shortest right response does next, (Q,): a token, K to end, K + 1 if none is left.

        Responses of more than ``length`` tokens do not count. Of several tokens it is the first.
        """
        K = self.transition.shape[1]
        away = np.where(self.accept, 0, length + 1)
        for _ in range(length):
            nearer = np.minimum(away, away[self.transition].min(axis=1) + 1)
            if (nearer == away).all():
                break
            away = nearer
        token = away[self.transition].argmin(axis=1)
        return np.where(self.accept, K, np.where(away <= length, token, K + 1))


def closed(
    verifier: Verifier, vocabulary: int, prompts: Iterable[Sequence[int]], length: int
) -> Automaton:
    """A verifier's states as numbers, as far as ``length`` tokens of responses lead.

    States that only longer responses leave lead back to themselves.
    """
    number: dict[Hashable, int] = {}
    states: list[Hashable] = []

    def numbered(state: Hashable) -> int:
        if state not in number:
            number[state] = len(states)
            states.append(state)
        return number[state]

    start = [numbered(verifier.start(prompt)) for prompt in prompts]
    rows: list[list[int]] = []
    for _ in range(length):
        for state in states[len(rows) :]:
            rows.append([numbered(verifier.step(state, token)) for token in range(vocabulary)])
        if len(rows) == len(states):
            break
    rows += [[q] * vocabulary for q in range(len(rows), len(states))]
    accept = [verifier.accept(state) for state in states]
    return Automaton(np.array(rows), np.array(accept), np.array(start))


def automaton_in(path: Path) -> Automaton:
    """The automaton of a JSON file with ``transition``, ``accept`` and ``start``.

    Raises
    ------
    ProblemError
        If the file cannot be read or holds something else; it names the place and the value.
    """
    tables = _content(path)
    transition = _rows(f"{path}: transition", tables["transition"])
    Q = len(transition)
    for q, row in enumerate(transition):
        _check_states(f"{path}: transition[{q}]", row, Q)
    accept = _list(f"{path}: accept", tables["accept"], Q)
    for q, value in enumerate(accept):
        if not isinstance(value, bool):
            raise ProblemError(f"{path}: accept[{q}] is {shown(value)}, must be true or false")
    start = _list(f"{path}: start", tables["start"])
    _check_states(f"{path}: start", start, Q)
    return Automaton(np.array(transition), np.array(accept), np.array(start))


_KEYS = ("transition", "accept", "start")


def _content(path: Path) -> dict[str, Any]:
    """The three tables of a file, whatever they hold."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProblemError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ProblemError(f"{path} is no JSON file: {error}") from error
    if not isinstance(found, dict):
        raise ProblemError(f"{path} must hold a mapping with {', '.join(_KEYS)}")
    missing, extra = sorted({*_KEYS} - found.keys()), sorted(found.keys() - {*_KEYS})
    if missing or extra:
        raise ProblemError(f"{path}: missing {missing}, unknown {extra}; needs {list(_KEYS)}")
    return found


def _rows(place: str, values: Any) -> list[list[Any]]:
    """A list of lists of one length."""
    rows = [_list(f"{place}[{q}]", row) for q, row in enumerate(_list(place, values))]
    for q, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ProblemError(
                f"{place}[{q}] has {len(row)} entries, must have {len(rows[0])} as the first row"
                " has, one per token"
            )
    return rows


def _list(place: str, values: Any, n: int = 0) -> list[Any]:
    """A list that is not empty, or has n entries, one per state."""
    if not isinstance(values, list) or not values:
        raise ProblemError(f"{place} must be a list that is not empty")
    if n and len(values) != n:
        raise ProblemError(f"{place} has {len(values)} entries, must have {n}, one per state")
    return values


def _check_states(place: str, values: Sequence[Any], Q: int) -> None:
    for i, value in enumerate(values):
        # In Python true is an integer too.
        if type(value) is not int or not 0 <= value < Q:
            raise ProblemError(
                f"{place}[{i}] is {shown(value)}, must be a state, an integer in [0, {Q - 1}]"
            )
