"""Where workers are, how a client comes to them, and whether they are fit."""

import asyncio
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from pgbench.harness.cluster.on_worker import ClusterError, threads_of
from pgbench.harness.provenance import versions
from pgbench.harness.signals import unheard
from pgbench.memory import require_memory

if TYPE_CHECKING:
    from distributed import Client, Future
    from tornado.ioloop import IOLoop

ADDRESS = re.compile(r"(?:(?:tcp|tls|ws|wss)://)?[^\s/]+:\d{1,5}")

PATIENCE = 20
"""Seconds in which a scheduler has answered."""

STARTING = 600
"""Seconds in which processes on this machine have started."""

MOST_DEATHS = 3
"""What was on so many workers when they died, the last time alone, is given up."""

GONE = "the scheduler is gone"

WORKER_MEMORY = 2**28
"""Bytes that a worker holds before there is work."""


@dataclass(frozen=True)
class Workers:
    """Where workers are.

    number
        So many processes on this machine; None where there is a scheduler.
    scheduler
        Address of a scheduler, such as ``tcp://10.0.0.1:8786``.
    threads
        Threads of a worker here; by default its share of the cores.
    """

    number: int | None = None
    scheduler: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.number is not None and self.number < 1:
            raise ClusterError(f"--workers is {self.number}, must be at least 1")
        if self.scheduler is not None and not ADDRESS.fullmatch(self.scheduler):
            raise ClusterError(
                f"--scheduler is {self.scheduler!r}, must be an address such as tcp://10.0.0.1:8786"
            )
        if find_spec("distributed") is None:
            option = "--workers" if self.scheduler is None else "--scheduler"
            raise ClusterError(
                f"{option} needs Dask: python -m pip install 'pgbench[dask]'; without it, several"
                " processes or machines can share a grid by --shard i/n and `merge`"
            )

    @contextmanager
    def client(self) -> Iterator["Client"]:
        """A client of the cluster, which is started if need be and ended at last.

        ClusterError says that nobody answers at the address, NotEnoughMemory that so many workers
        do not fit. What Dask logs is not shown: all that matters is said.
        """
        if self.scheduler is None:
            made = _local(self.number or 1, self.threads)
        else:
            made = _joined(self.scheduler)
        with _silent(), _large_calls(), made as client:
            yield client


def _large_calls() -> AbstractContextManager[object]:
    """Calls may be as large as what they join: Dask warns of more than 10 MB."""
    import dask

    return dask.config.set({"distributed.admin.large-graph-warning-threshold": 2**62})


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing is shown of what Dask logs; nor later, where an order to stop broke off its work."""
    import distributed  # noqa: F401 - which sets up its logging

    names = ("distributed", "distributed.client", "tornado.application", "asyncio")
    handlers = [h for name in names for h in logging.getLogger(name).handlers]
    levels = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.CRITICAL)
    yield
    for handler, level in zip(handlers, levels, strict=True):
        handler.setLevel(level)


# No client is everybody's default: xarray would ask it for locks to write its files.


@contextmanager
def _local(number: int, threads: int | None) -> Iterator["Client"]:
    """A client of so many new processes on this machine, each with its share of the cores."""
    import dask
    from distributed import Client, LocalCluster

    require_memory(f"--workers {number}", number * WORKER_MEMORY)
    share = threads or max(1, (os.cpu_count() or 1) // number)
    settings = {
        # The client counts deaths, and kernels may keep a worker from its heartbeat.
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.worker-ttl": None,
        # A machine under load takes long to start a worker anew; it is not given up.
        "distributed.deploy.lost-worker-timeout": "10 minutes",
        # A worker that is paused because of what it keeps would wait for ever.
        "distributed.worker.memory.pause": False,
        # Not before they are spawned, which would set it in this process as well.
        "distributed.nanny.environ.NUMBA_NUM_THREADS": share,
    }
    with dask.config.set(settings), _loop() as loop:
        with unheard():
            cluster = LocalCluster(
                loop=loop,
                n_workers=0,
                threads_per_worker=1,
                processes=True,
                memory_limit=1.0 / number,
                dashboard_address="127.0.0.1:0",
                silence_logs="CRITICAL",
            )
        with cluster, Client(cluster, set_as_default=False) as client:
            cluster.scale(number)
            _wait(client, number)
            yield client


def _wait(client: "Client", number: int) -> None:
    """Wait for new workers; ClusterError if they do not come."""
    try:
        client.wait_for_workers(number, timeout=STARTING)
    except TimeoutError:
        there = len(client.nthreads())
        raise ClusterError(
            f"--workers {number}: {there} of them have started after {STARTING} s"
        ) from None


@contextmanager
def _loop() -> Iterator["IOLoop"]:
    """A loop whose processes hear no orders: it is the client's to end them."""
    from distributed.utils import LoopRunner

    with unheard():
        resource_tracker.ensure_running()  # it lets some through again
    with unheard():
        runner = LoopRunner()
        runner.start()
    try:
        yield runner.loop
    finally:
        runner.stop()


@contextmanager
def _joined(address: str) -> Iterator["Client"]:
    """A client of somebody's scheduler."""
    from distributed import Client
    from distributed.utils import sync

    with _loop() as loop:
        try:
            sync(loop, _knock, address)
        except (OSError, TypeError) as error:
            why = str(error) or f"no word within {PATIENCE} s"
            raise ClusterError(f"--scheduler {address}: nobody answers there ({why})") from None
        with Client(address, loop=loop, timeout=PATIENCE, set_as_default=False) as client:
            yield client


async def _knock(address: str) -> None:
    """Fail unless a scheduler answers; a client that finds none is hard to get rid of.

    OSError, TimeoutError of somebody who never says a word, TypeError without certificates.
    """
    from distributed.comm.core import connect
    from distributed.security import Security

    credentials = Security().get_connection_args("client")
    answer = connect(address, timeout=PATIENCE, **credentials)
    await (await asyncio.wait_for(answer, PATIENCE + 1)).close()


def assembled(client: "Client", say: Callable[[str], None]) -> list[int]:
    """Threads of every worker, once there are any; ClusterError where some are unfit."""
    if not client.scheduler_info()["workers"]:
        say("the scheduler has no workers yet; waiting for the first")
        client.wait_for_workers(1)
    found = client.run(threads_of, versions(), on_error="return")
    refusals = [
        f"worker {address} cannot run pgbench: {words}" if isinstance(words, Exception) else words
        for address, words in sorted(found.items())
        if not isinstance(words, int)
    ]
    if refusals:
        raise ClusterError("; ".join(refusals))
    return list(found.values())


def deaths(future: "Future") -> int:
    """How many workers died with what was sent, once it has ended."""
    from distributed import KilledWorker

    error = future.exception()
    return 1 + int(error.args[2]) if isinstance(error, KilledWorker) else 0


def is_lost(future: "Future") -> bool:
    """Whether nothing will ever be known of it."""
    return future.status not in ("finished", "error")
