"""Units of kernels are called by their address; several processes compile one each at a time."""

import fcntl
import os
import pickle

import numpy as np
import pytest
from numba import typeof

from pgbench import make_policy, make_problem, sample_gradients
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


def test_what_another_process_compiles_is_left_to_it(empty):
    units = [jit.unit(fill, np.empty(0), value) for value in (0.0, 0)]
    lock = units[0]._cache._open(units[0].own.args)
    fcntl.flock(lock, fcntl.LOCK_EX)
    jit.compile_units(units)
    assert [bool(unit.overloads) for unit in units] == [False, True]
    os.close(lock)
    jit.compile_units(units)
    assert all(unit.overloads for unit in units)
    assert len(list(empty.glob("*.lock"))) == 2  # what is looked at is what is locked


def test_what_is_kept_of_a_function_and_of_its_unit_is_kept_apart(empty):
    unit, whole = jit.unit(fill, np.empty(0), 0.0), jit.kernel(fill.py_func)
    whole(np.empty(2), 1.0)
    out = np.empty(2)
    through(unit, out, 1.0)
    assert out.tolist() == [1, 2]
    assert len(list(empty.glob("*fill*.nbi"))) == 2


@pytest.mark.usefixtures("empty")
def test_what_cannot_be_compiled_keeps_nobody_waiting():
    @jit.kernel
    def wrong(x):
        return x.nothing()

    for _ in range(2):
        with pytest.raises(Exception, match="nothing"):
            wrong(1.0)
    assert not keeping.taken(wrong, (typeof(1.0),))


@pytest.mark.usefixtures("empty")
def test_what_cannot_be_kept_is_compiled_all_the_same(monkeypatch):
    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._save_data", no_room)

    @jit.kernel
    def doubled(x):
        return 2 * x

    assert doubled(3.0) == 6.0
    assert not keeping.taken(doubled, (typeof(3.0),))


@pytest.mark.usefixtures("empty")
def test_a_forked_child_holds_no_lock_of_its_parents():
    kernel = jit.kernel(fill.py_func)
    kinds = typeof(np.empty(0)), typeof(0.0)
    kernel._cache._lock(kinds)
    if (child := os.fork()) == 0:
        os._exit(int(bool(keeping._HELD)))
    assert os.waitpid(child, 0)[1] == 0
    assert keeping.taken(jit.kernel(fill.py_func), kinds)
    keeping.release(kernel)
    assert not keeping.taken(jit.kernel(fill.py_func), kinds)


def test_copies_of_a_problem_are_simulated_by_the_same_units():
    mdp = make_problem("corridor", length=4, gamma=0.9)
    policy = make_policy("softmax", mdp)
    found = [
        sample_gradients(
            own, policy, policy.initial(), "reward_to_go", horizon=5, replicates=8, seed=1
        )
        for own in (mdp, pickle.loads(pickle.dumps(mdp)))
    ]
    assert (found[0] == found[1]).all()
