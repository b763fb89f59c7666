"""What is remembered: by value, the latest few, and no longer than what it is about lives."""

import gc
import weakref

import numpy as np
import pytest

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
