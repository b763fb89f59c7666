"""Which replicates a thread takes, and how their trajectories are cut.

Replicates are taken a *unit* at a time: as many as fill the lanes with trajectories, once or
several times. Consecutive units make a *span*, which has scratch memory of its own and runs on one
thread. Trajectories that are longer than what is recorded at a time are cut into *segments*.

A replicate belongs to one unit, and its sums run in a fixed order: numbers depend neither on
threads nor on how replicates are cut into calls. Of linear-quadratic problems units begin at
multiples of ``LANES``, whatever calls begin with.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numba import config, get_num_threads, set_num_threads

from pgbench.kernels.jit import part
from pgbench.kernels.streams import LANES

_SPANS_PER_THREAD = 4
"""Spans are not equally long in time; several for each thread even that out."""


class Partition(NamedTuple):
    """Replicates of a unit, and where each of K spans begins and the last ends, (K + 1,) int64."""

    unit: int
    bounds: np.ndarray


def partition(
    n_replicates: int, batch_size: int, together: int = LANES, whole: int = LANES, *,
    apart: bool = False,
) -> Partition:  # fmt: skip
    """So many replicates in units and spans.

    A unit has as many replicates as fill ``together`` lanes, or fewer, that all threads have some,
    in multiples of those that fill ``whole``; with ``apart`` no lanes are shared by two of them.
    """
    most = _SPANS_PER_THREAD * get_num_threads()
    least = 1 if apart else max(1, whole // int(batch_size))
    unit = least if apart else max(1, min(together // int(batch_size), n_replicates // most))
    unit = max(least, unit // least * least)
    n_units = -(-n_replicates // unit)
    return Partition(unit, np.minimum(spans(n_units) * unit, n_replicates))


def spans(n: int, *, worth: bool = True) -> np.ndarray:
    """Bounds (K + 1,) int64 of the spans in which threads share n things that take alike.

    One span where threads are not ``worth`` it, or there is but one.
    """
    threads = get_num_threads() if worth else 1
    k = max(1, min(n, _SPANS_PER_THREAD * threads)) if threads > 1 else 1
    return np.arange(k + 1) * n // k


@part
def count_segments(steps, longest):
    """Into how many segments of at most ``longest`` steps so many steps are cut."""
    return (steps + longest - 1) // longest


def limit_threads(n: int | None) -> int:
    """Use n threads from here on, or as many as there may be; the number in use."""
    most = int(config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    return use_threads(min(n or most, most))


@contextmanager
def single_threaded() -> Iterator[None]:
    """One thread in parallel kernels and in all libraries that are loaded, PyTorch's among them.

    For many small things: threads would wait for each other longer than they work.
    """
    from threadpoolctl import threadpool_limits

    with threads(1), threadpool_limits(limits=1):
        yield


@contextmanager
def threads(n: int) -> Iterator[None]:
    """In parallel kernels so many threads while the body runs."""
    before = use_threads(None)
    use_threads(n)
    try:
        yield
    finally:
        use_threads(before)


def use_threads(n: int | None) -> int:
    """Use n threads in parallel kernels from here on (None: leave it); the number in use."""
    if n is not None:
        most = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        if not 1 <= n <= most:
            raise ValueError(f"threads is {n}, must be between 1 and {most}")
        set_num_threads(n)
    return int(get_num_threads())
