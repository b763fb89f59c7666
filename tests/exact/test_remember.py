"""What is remembered: by value, the latest few, and no longer than what it is about lives."""

import gc
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pgbench.exact import remember
from pgbench.exact.remember import latest, remembered


class Thing:
    """What questions are about."""


@pytest.fixture
def asked():
    """The questions that were worked out."""
    return []


def test_each_question_is_worked_out_once_for_each_thing(asked):
    @remembered
    def double(thing, x, *, plus=0):
        asked.append(x)
        return 2 * x + plus

    one, other = Thing(), Thing()
    assert [double(one, 1), double(one, 2), double(one, 1), double(other, 1)] == [2, 4, 2, 2]
    assert double(one, 1, plus=1) == 3
    assert double(one, 1, plus=1) == 3
    assert asked == [1, 2, 1, 1]


def test_the_latest_questions_are_known_and_arrays_compared_by_value(asked):
    @latest(2)
    def total(thing, x):
        asked.append(float(x[0]))
        return x.sum()

    thing = Thing()
    for value in (1, 2, 1, 3, 1, 2):
        assert total(thing, np.full(2, value)) == 2 * value
    assert asked == [1, 2, 3, 2]


def test_an_array_that_is_written_to_is_another_question(asked):
    @remembered
    def total(thing, x):
        return float(x.sum())

    thing, x = Thing(), np.ones(2)
    assert total(thing, x) == 2
    x[:] = 2
    assert total(thing, x) == 4


def test_what_is_remembered_does_not_keep_its_thing_alive():
    @remembered
    def answer(thing):
        return np.zeros(2)

    thing = Thing()
    known = weakref.ref(thing), weakref.ref(answer(thing))
    del thing
    gc.collect()
    assert [reference() for reference in known] == [None, None]


class Slow(list):
    """A list that lets another thread look at it while an entry is moved."""

    def pop(self, place):
        found = super().pop(place)
        time.sleep(0.05)
        return found


def test_threads_find_what_one_of_them_has_worked_out():
    answers = remember._Answers(1)
    asked = []

    def ask():
        asked.append(1)
        return 2

    answers.of((1,), ask)
    answers.known = Slow(answers.known)
    with ThreadPoolExecutor(4) as executor:
        assert [*executor.map(lambda _: answers.of((1,), ask), range(4))] == [2] * 4
    assert asked == [1]
