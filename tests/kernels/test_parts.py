"""Parts of kernels: compiled once, without references to arrays, without arrays of their own."""

import numpy as np
import pytest

from pgbench.kernels import jit, keeping


@pytest.fixture
def unkept(monkeypatch):
    """Kernels are compiled anew."""
    monkeypatch.setattr(keeping, "CACHE_DIRECTORY", None)


@pytest.mark.usefixtures("unkept")
def test_a_known_number_is_as_any_other_and_what_kernels_are_made_of_is_called_from_python_too():
    @jit.part
    def successor(x):
        return x + 1

    @jit.kernel
    def first_and_next(x):
        return successor(0) + successor(x)

    assert first_and_next(5) == 7
    assert len(successor.part.overloads) == 1
    assert not successor.overloads
    assert successor(5) == 6


@pytest.mark.usefixtures("unkept")
def test_arrays_are_returned_among_kernels_that_count_references_alone():
    @jit.part
    def same(x):
        return x

    @jit.kernel
    def asks_a_part(x):
        return same(x)[0]

    @jit.kernel
    def rest(x):
        return x[1:]

    @jit.part
    def counts_not(x):
        return rest(x)[0]

    @jit.kernel
    def asks_a_kernel(x):
        return counts_not(x)

    for function, named in ((asks_a_part, "same"), (asks_a_kernel, "rest")):
        with pytest.raises(Exception, match=f"{named} returns array.* must be kernels, and not p"):
            function(np.arange(4.0))


@pytest.mark.usefixtures("unkept")
def test_a_part_makes_no_arrays():
    @jit.part
    def first_of_new(n):
        return np.zeros(n)[0]

    @jit.kernel
    def asks(n):
        return first_of_new(n)

    with pytest.raises(Exception, match="zeros"):
        asks(3)
