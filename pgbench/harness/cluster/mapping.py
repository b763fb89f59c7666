"""A function like the builtin ``map``, for studies that are not runs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pgbench.harness.cluster.on_worker import ClusterError, called
from pgbench.harness.cluster.workers import (
    GONE,
    MOST_DEATHS,
    Workers,
    assembled,
    deaths,
    is_lost,
)
from pgbench.harness.provenance import versions

if TYPE_CHECKING:
    from distributed import Client, Future

S = TypeVar("S")
T = TypeVar("T")


@contextmanager
def mapping(
    workers: Workers | None,
    set_up: Callable[[], Any] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]]:
    """A function like the builtin ``map``, here or by workers, that gives results in order.

    Parameters
    ----------
    workers
        Who makes the results; None for this process. Functions are then those of modules, and
        items small and named by ``str``.
    set_up
        Called on each worker before, so that users' estimators are known there.
    say
        Called with a line if there are no workers yet.

    Raises
    ------
    ClusterError
        Where versions differ, workers die of an item, or the scheduler is gone.
    """
    if workers is None:
        yield map
        return
    with workers.client() as client:
        assembled(client, say)
        yield partial(_mapped, client, set_up)


def _mapped(
    client: "Client",
    set_up: Callable[[], Any] | None,
    function: Callable[[S], T],
    items: Sequence[S],
) -> Iterator[T]:
    call = partial(called, versions(), set_up, function)
    futures = client.map(call, items, pure=False)
    try:
        for item, future in zip(items, futures, strict=True):
            if died := _died(future):
                for other in futures:  # all others end first, so that it is alone from here on
                    other.exception()
                future = _again(client, call, item, died)
            yield future.result()
    finally:
        client.cancel(futures)


def _again(client: "Client", call: Callable[[S], T], item: S, died: int) -> "Future":
    """What came of an item with which workers died, sent until one lives; else ClusterError."""
    while died < MOST_DEATHS:
        future = client.submit(call, item, pure=False)
        if not (more := _died(future)):
            return future
        died += more
    raise ClusterError(
        f"workers died {died} times of {item}, at last with nothing else sent; is there enough"
        " memory?"
    )


def _died(future: "Future") -> int:
    """How many workers died with an item; ClusterError if nothing will ever be known of it."""
    died = deaths(future)
    if is_lost(future):
        raise ClusterError(GONE)
    return died
