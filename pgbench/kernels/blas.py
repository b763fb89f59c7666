"""Linear algebra on one thread, so that sums do not depend on the machine."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock

_lock = Lock()
_limit = ExitStack()
_inside = 0


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Linear algebra on one thread: its sums must not depend on the machine's number of cores.

    The limit is the process's, so that the first of several threads sets it and the last lifts it.
    """
    global _inside
    from threadpoolctl import threadpool_limits

    with _lock:
        if _inside == 0:
            _limit.enter_context(threadpool_limits(limits=1, user_api="blas"))
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limit.close()
