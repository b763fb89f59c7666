"""Units of kernels are called by their address; several processes compile one each at a time."""

import fcntl
import os

import numpy as np
import pytest

from pgbench.kernels import jit, keeping
from pgbench.kernels.units import call


@jit.part
def fill(out, value):
    for i in range(out.size):
        out[i] = value + i


@jit.kernel
def through(unit, out, value):
    call(unit, (out, value))


@pytest.fixture
def unit():
    return jit.unit(fill, np.empty(0), 0.0)


def test_a_unit_does_what_its_function_does(unit):
    out = np.empty(4)
    through(unit, out, 2.0)
    assert out.tolist() == [2, 3, 4, 5]


def test_arguments_of_other_types_are_refused(unit):
    with pytest.raises(Exception, match=r"a unit takes .*float64.*, and not .*int64"):
        through(unit, np.empty(4, np.int64), 2.0)


def test_what_is_no_unit_is_not_called():
    with pytest.raises(Exception, match="int64 is not a unit"):
        through(3, np.empty(4), 2.0)


def test_what_a_unit_raises_while_it_is_compiled_is_raised():
    @jit.part
    def wrong(out, value):
        out.nothing(value)

    with pytest.raises(Exception, match="nothing"):
        through(jit.unit(wrong, np.empty(0), 0.0), np.empty(4), 2.0)


@pytest.fixture
def empty(monkeypatch, tmp_path):
    """A place for compiled code where there is none yet."""
    monkeypatch.setattr(keeping, "CACHE_DIRECTORY", tmp_path)
    return tmp_path


@pytest.mark.usefixtures("empty")
def test_what_another_process_compiles_is_left_to_it():
    units = [jit.unit(fill, np.empty(0), value) for value in (0.0, 0)]
    lock = units[0]._cache._open(units[0].own)
    fcntl.flock(lock, fcntl.LOCK_EX)
    jit.compile_units(units)
    assert [bool(unit.overloads) for unit in units] == [False, True]
    os.close(lock)
    jit.compile_units(units)
    assert all(unit.overloads for unit in units)


def test_what_is_kept_of_a_function_and_of_its_unit_is_kept_apart(empty):
    unit, whole = jit.unit(fill, np.empty(0), 0.0), jit.kernel(fill.py_func)
    whole(np.empty(2), 1.0)
    out = np.empty(2)
    through(unit, out, 1.0)
    assert out.tolist() == [1, 2]
    assert len(list(empty.glob("*fill*.nbi"))) == 2
