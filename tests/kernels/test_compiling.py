"""What compiling took is known, and is no part of what is timed."""

import time

from numba import njit

from pgbench.kernels.compiling import Stopwatch, compiled_seconds, loading


def test_compiling_and_loading_count_once_and_nothing_else_does():
    before = compiled_seconds()
    time.sleep(0.01)
    assert compiled_seconds() == before
    with loading():
        time.sleep(0.02)
        with loading():
            time.sleep(0.02)
    assert 0.04 <= compiled_seconds() - before < 0.4


def test_a_stopwatch_leaves_compiling_out():
    watch, begin = Stopwatch(), time.perf_counter()

    @njit
    def added(x, y):
        return x + y

    added(1, 2)
    time.sleep(0.05)
    assert 0.05 <= watch.seconds < time.perf_counter() - begin - 0.5 * compiled(added)


def compiled(function):
    """Seconds that compiling a function took, at least."""
    (metadata,) = function.get_metadata().values()
    return metadata["timers"]["compiler_lock"]
