"""One thread for linear algebra, however many threads of Python ask for it."""

from threading import Event, Thread

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from pgbench.kernels.blas import single_threaded_blas


def threads_of_blas():
    np.linalg.inv(np.eye(2))
    (found,) = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    return found


def test_the_limit_holds_until_the_last_of_several_threads_has_left():
    """The second comes before the first leaves, and leaves after it."""
    entered, leave = Event(), Event()
    seen = []

    def second():
        with single_threaded_blas():
            entered.set()
            leave.wait(10)
            seen.append(threads_of_blas())

    other = Thread(target=second)
    with threadpool_limits(limits=2, user_api="blas"):
        with single_threaded_blas():
            other.start()
            entered.wait(10)
        leave.set()
        other.join()
    assert seen == [1]


def test_the_limit_is_lifted_at_the_end():
    with threadpool_limits(limits=2, user_api="blas"):
        with single_threaded_blas(), single_threaded_blas():
            assert threads_of_blas() == 1
        assert threads_of_blas() == 2
