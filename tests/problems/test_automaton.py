"""Automata as tables: verifiers closed, files read, and the way to the nearest right response."""

import json
import re
from itertools import product

import numpy as np
import pytest

from pgbench.problems import ProblemError
from pgbench.problems.automaton import Automaton, automaton_in, closed
from pgbench.problems.verifiers import VERIFIERS, Task

PARITY = {"transition": [[0, 1], [1, 0]], "accept": [True, False], "start": [0, 1, 1]}
TASK = Task(vocabulary=3, prompt_length=2, length=4, modulus=5, pattern="0.1")
PROMPTS = list(product(range(3), repeat=2))


def written(tmp_path, tables):
    path = tmp_path / "own.json"
    path.write_text(tables if isinstance(tables, str) else json.dumps(tables), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", VERIFIERS)
@pytest.mark.parametrize("length", [1, 4])
def test_tables_follow_the_verifier_as_far_as_responses_lead(name, length):
    verifier = VERIFIERS[name](TASK)
    machine = closed(verifier, 3, PROMPTS, length)
    for prompt, q0 in zip(PROMPTS, machine.start, strict=True):
        for response in product(range(3), repeat=length):
            state, q = verifier.start(prompt), q0
            for token in response:
                assert machine.accept[q] == verifier.accept(state)
                state, q = verifier.step(state, token), machine.transition[q, token]
            assert machine.accept[q] == verifier.accept(state)


def test_only_states_within_the_length_are_numbered():
    many = VERIFIERS["modulo"](Task(2, 1, 6, 10**9, "01"))
    assert len(closed(many, 2, [(0,), (1,)], 6).accept) == 8


@pytest.mark.parametrize("name", VERIFIERS)
def test_responses_of_one_length_are_in_no_more_states_than_is_said(name):
    verifier = VERIFIERS[name](TASK)
    machine = closed(verifier, 3, PROMPTS, 4)
    most = 0
    for q in machine.start:
        states = {int(q)}
        for _ in range(4):
            most = max(most, len(states))
            states = set(machine.transition[list(states)].ravel().tolist())
    assert most <= verifier.width <= 2 * most + 1


def test_what_is_wanted_is_the_first_step_of_a_shortest_right_response():
    """Three zeros in a row, then the end; a two is fatal."""
    machine = Automaton(
        np.array([[1, 0, 4], [2, 0, 4], [3, 0, 4], [4, 3, 4], [4, 4, 4]]),
        np.array([False, False, False, True, False]),
        np.array([0]),
    )
    np.testing.assert_array_equal(machine.wanted(3), [0, 0, 0, 3, 4])
    np.testing.assert_array_equal(machine.wanted(2), [4, 0, 0, 3, 4])


def test_a_file_is_read(tmp_path):
    machine = automaton_in(written(tmp_path, PARITY))
    for name, values in PARITY.items():
        np.testing.assert_array_equal(getattr(machine, name), values)
    assert machine.accept.dtype == bool


WRONG = [
    ("not JSON", "{path} is no JSON file: Expecting value: line 1 column 1"),
    ([1], "{path} must hold a mapping with transition, accept, start"),
    ({"accept": [], "begin": []}, "{path}: missing ['start', 'transition'], unknown ['begin']"),
    (PARITY | {"transition": []}, "{path}: transition must be a list that is not empty"),
    (PARITY | {"transition": [[0, 1], 1]}, "{path}: transition[1] must be a list that is not"),
    (PARITY | {"transition": [[0, 1], []]}, "{path}: transition[1] must be a list that is not"),
    (
        PARITY | {"transition": [[0, 1], [1]]},
        "{path}: transition[1] has 1 entries, must have 2 as the first row has, one per token",
    ),
    (
        PARITY | {"transition": [[0, 1], [2, 0]]},
        "{path}: transition[1][0] is 2, must be a state, an integer in [0, 1]",
    ),
    (PARITY | {"transition": [[0, -1], [1, 0]]}, "{path}: transition[0][1] is -1, must be a state"),
    (PARITY | {"transition": [[0, 1.0], [1, 0]]}, "{path}: transition[0][1] is 1.0, must be a st"),
    (PARITY | {"transition": [[0, True], [1, 0]]}, "{path}: transition[0][1] is True, must be a"),
    (PARITY | {"accept": [True]}, "{path}: accept has 1 entries, must have 2, one per state"),
    (PARITY | {"accept": [True, 0]}, "{path}: accept[1] is 0, must be true or false"),
    (PARITY | {"start": []}, "{path}: start must be a list that is not empty"),
    (PARITY | {"start": 0}, "{path}: start must be a list that is not empty"),
    (PARITY | {"start": [0, "1"]}, "{path}: start[1] is '1', must be a state, an integer in [0, 1"),
]


@pytest.mark.parametrize(("tables", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_wrong_with_a_file_is_said_with_its_place(tmp_path, tables, message):
    path = written(tmp_path, tables)
    with pytest.raises(ProblemError, match=re.escape(message.replace("{path}", str(path)))):
        automaton_in(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ProblemError, match=r"none\.json cannot be read: No such file"):
        automaton_in(tmp_path / "none.json")
    path = tmp_path / "own.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProblemError, match=r"own\.json is no JSON file: 'utf-8'"):
        automaton_in(path)
