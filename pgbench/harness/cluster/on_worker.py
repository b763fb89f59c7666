"""What happens on a worker: calls of a client, if the worker is fit for them."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from pgbench.harness.measuring import RecordBatch
from pgbench.harness.performing import Hands, Order
from pgbench.harness.provenance import versions
from pgbench.harness.tasks import Task
from pgbench.kernels.blas import single_threaded_blas
from pgbench.memory import allow, in_words
from pgbench.results.lines import JournalRecord

if TYPE_CHECKING:
    from distributed import Worker

S = TypeVar("S")
T = TypeVar("T")

LEAST_MEMORY = 2**29
"""Bytes that a worker must be allowed to hold."""

SHARE = 0.9
"""So much of what a worker may hold is used; Dask ends those that come near to all of it."""

KEPT = 8
"""Settings that a worker keeps ready."""

NEEDED = ("pgbench", "numba", "numpy", "scipy")
"""Packages whose versions must be the client's, or numbers would not be."""


class ClusterError(ValueError):
    """The cluster cannot be used, or is gone; the message says why and what to do."""


@dataclass(frozen=True)
class Answer:
    """What came of a call: per task batches of records and seconds, or why a worker refuses."""

    found: Sequence[tuple[Sequence[RecordBatch], float]] = ()
    refusal: str = ""
    worker: str = ""


_ALONE = threading.Lock()
"""One task at a time: a worker may have several threads, the kernels have theirs."""


def answered(
    order: Order,
    needed: Mapping[str, str],
    tasks: Sequence[Task],
    portions: Mapping[str, JournalRecord],
) -> Answer:
    """Perform tasks, on a worker, if it is fit for them."""
    from distributed import get_worker

    worker = get_worker()
    if refusal := _refusal(needed, worker):
        return Answer(refusal=refusal, worker=worker.address)
    allow(SHARE * (worker.memory_manager.memory_limit or inf))
    found = []
    with _ALONE, single_threaded_blas():
        hands = _hands(order)
        for task in tasks:
            begin = time.perf_counter()
            batches = list(hands.perform(task, portions.get))
            found.append((batches, time.perf_counter() - begin))
    return Answer(found)


_held: dict[str, Hands] = {}


def _hands(order: Order) -> Hands:
    """The worker's hands for such orders, with its problems and exact solutions."""
    from pgbench.kernels.partition import limit_threads

    threads = limit_threads(order.conditions.threads)
    _plug_in(order.set_up)
    key = repr(order)
    if key not in _held:
        for old in _held.values():
            old.close()
        _held.clear()
        conditions = replace(order.conditions, threads=threads)
        _held[key] = Hands(replace(order, conditions=conditions), KEPT)
    return _held[key]


_plugged: list[str] = []


def _plug_in(set_up: Callable[[], Any] | None) -> None:
    """Let users' estimators be known on a worker; others may have been since they last were."""
    if set_up is not None and _plugged != [repr(set_up)]:
        _plugged.clear()
        set_up()
        _plugged.append(repr(set_up))


def _refusal(needed: Mapping[str, str], worker: "Worker") -> str:
    """Why this worker can do nothing for a client, or nothing."""
    name, limit = f"worker {worker.address}", worker.memory_manager.memory_limit
    if limit is not None and limit < LEAST_MEMORY:
        return (
            f"{name} may hold {in_words(limit)} of memory, must be at least"
            f" {in_words(LEAST_MEMORY)}"
        )
    return different(needed, versions(), name)


def different(client: Mapping[str, str], other: Mapping[str, str], name: str) -> str:
    """Which needed packages somebody has in other versions than the client, or nothing."""
    odd = [
        f"{package} {other.get(package, 'missing')} (the client has {client[package]})"
        for package in NEEDED
        if other.get(package) != client[package]
    ]
    return f"{name} has {', '.join(odd)}" if odd else ""


def threads_of(needed: Mapping[str, str], dask_worker: "Worker") -> int | str:
    """Number of threads of this worker, or why it is unfit."""
    from pgbench.kernels.partition import limit_threads

    return _refusal(needed, dask_worker) or limit_threads(None)


def called(
    needed: Mapping[str, str],
    set_up: Callable[[], Any] | None,
    function: Callable[[S], T],
    item: S,
) -> T:
    """What a function makes of an item, on a worker with the versions that are needed."""
    from distributed import get_worker

    from pgbench.kernels.partition import limit_threads

    if refusal := _refusal(needed, get_worker()):
        raise ClusterError(refusal)
    with _ALONE, single_threaded_blas():
        limit_threads(None)
        _plug_in(set_up)
        return function(item)
