"""Linear algebra on one thread, so that sums do not depend on the machine."""

from contextlib import AbstractContextManager
from typing import Any


def single_threaded_blas() -> AbstractContextManager[Any]:
    """Linear algebra on one thread: its sums must not depend on the machine's number of cores."""
    from threadpoolctl import threadpool_limits

    context: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return context
