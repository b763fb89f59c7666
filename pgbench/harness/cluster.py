"""Tasks performed by the workers of a Dask cluster: the only file that knows Dask.

Tasks go out as recipes and records come back; nothing is written but by the client. A worker that
dies loses its tasks to others. Whoever was on it is suspected and tried once more with nothing
else on the cluster, so that a cell that kills its workers is found and fails alone.
"""

import asyncio
import logging
import os
import re
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from math import inf
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, TypeVar

from pgbench.harness.measuring import RecordBatch, failed
from pgbench.harness.performing import Hands, Order, Performed
from pgbench.harness.progress import Progress
from pgbench.harness.provenance import versions
from pgbench.harness.signals import unheard
from pgbench.harness.tasks import ReadPortion, Task
from pgbench.kernels.blas import single_threaded_blas
from pgbench.memory import allow, in_words, require_memory
from pgbench.results.lines import JournalRecord

if TYPE_CHECKING:
    from distributed import Client, Future, Worker
    from tornado.ioloop import IOLoop

S = TypeVar("S")
T = TypeVar("T")

MOST_DEATHS = 3
"""A cell that was on so many workers when they died, the last time alone, has failed."""

AHEAD = 2
"""So many calls per worker are sent ahead."""

CALL_SECONDS, CALL_SECONDS_PER_WORKER = 1.0, 0.01
"""Tasks are put together to calls of about so long, and longer for many workers: one client and
one scheduler serve some hundred calls per second."""

MOST_LOST = 20
"""So many calls in a row, and those that were sent ahead, may end their workers before all of
them are taken to be unfit."""

LEAST_MEMORY, WORKER_MEMORY = 2**29, 2**28
"""Bytes that a worker must be allowed to hold, and those that it holds before there is work."""

SHARE = 0.9
"""So much of what a worker may hold is used; Dask ends those that come near to all of it."""

ADDRESS = re.compile(r"(?:(?:tcp|tls|ws|wss)://)?[^\s/]+:\d{1,5}")

PATIENCE = 20
"""Seconds in which a scheduler has answered."""

STARTING = 600
"""Seconds in which processes on this machine have started."""

KEPT = 8
"""Settings that a worker keeps ready."""

GONE = "the scheduler is gone"

NEEDED = ("pgbench", "numba", "numpy", "scipy")
"""Packages whose versions must be the client's, or numbers would not be."""


class ClusterError(ValueError):
    """The cluster cannot be used, or is gone; the message says why and what to do."""


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
        with _silent(), made as client:
            yield client


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
        # Freed memory is kept: arrays that come and go would fault on every page.
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 2**30,
        "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 2**25,
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


@dataclass(frozen=True)
class Answer:
    """What came of a call: per task batches of records and seconds, or why a worker refuses."""

    found: Sequence[tuple[Sequence[RecordBatch], float]] = ()
    refusal: str = ""
    worker: str = ""


_ALONE = threading.Lock()
"""One task at a time: a worker may have several threads, the kernels have theirs."""


def _answer(
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
        hands.workshop.compile(tasks)
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


@dataclass(eq=False)
class _Sent:
    """Tasks on their way, how many workers died with them, and whether nothing else was sent."""

    tasks: Sequence[Task]
    deaths: int = 0
    alone: bool = False


def by_workers(workers: Workers) -> Callable[[Order], AbstractContextManager["Cluster"]]:
    """What makes a run's performer of workers."""

    @contextmanager
    def make(order: Order) -> Iterator[Cluster]:
        with workers.client() as client:
            yield Cluster(client, order)

    return make


@dataclass
class Cluster:
    """Performs tasks by the workers of a client.

    threads
        Number of threads of the kernels of all workers, once prepared.
    """

    client: "Client"
    order: Order
    threads: int = 0
    _lost: int = 0
    _ready: deque[Task] = field(default_factory=deque)
    _pace: float = CALL_SECONDS
    _suspects: deque[_Sent] = field(default_factory=deque)
    _waiting: dict[tuple[str, int], list[Task]] = field(default_factory=lambda: defaultdict(list))
    _open: Counter[tuple[str, int, int]] = field(default_factory=Counter)

    def prepare(self, tasks: Sequence[Task], progress: Progress) -> None:
        """Wait for a worker, and see that all have the client's versions; else ClusterError."""
        threads = _assembled(self.client, progress.note)
        self.threads = sum(threads)
        progress.phase(f"working with {len(threads)} workers of {self.threads} threads in all")

    def performed(
        self, tasks: Sequence[Task], read: ReadPortion, progress: Progress
    ) -> Iterator[Performed]:
        """Every task as it is finished; those that join when their portions are."""
        from distributed import as_completed

        for task in tasks:
            self._waiting[task.group].append(task)
            self._open[(*task.group, task.stage)] += 1
        for group in list(self._waiting):
            self._release(group)
        sent: dict[Future, _Sent] = {}
        completed = as_completed(loop=self.client.loop)
        try:
            while True:
                for future, own in self._send(len(sent), read):
                    sent[future] = own
                    completed.add(future)
                if not sent:
                    return
                yield from self._written(
                    [(future, sent.pop(future)) for future in completed.next_batch()], progress
                )
        finally:
            self.client.cancel(list(sent))

    def _release(self, group: tuple[str, int]) -> None:
        """Let tasks of a group go that wait for nothing of an earlier stage any more."""
        waiting = self._waiting.pop(group, [])
        for task in waiting:
            if any(self._open[(*group, stage)] for stage in range(1, task.stage)):
                self._waiting[group].append(task)
            else:
                self._ready.append(task)

    def _send(self, outstanding: int, read: ReadPortion) -> Iterator[tuple["Future", _Sent]]:
        """Send tasks, a few ahead of the workers; suspects one by one when all else is done."""
        workers = max(1, len(self.client.nthreads())) if self._ready else 0
        while self._ready and outstanding < AHEAD * workers:
            outstanding += 1
            sent = _Sent([self._ready.popleft() for _ in range(self._together(workers))])
            yield self._submit(sent, read), sent
        if self._suspects and not outstanding and not self._ready:
            sent = replace(self._suspects.popleft(), alone=True)
            yield self._submit(sent, read), sent

    def _together(self, workers: int) -> int:
        """How many of the tasks that are ready make one call."""
        seconds = max(CALL_SECONDS, CALL_SECONDS_PER_WORKER * workers)
        fair = len(self._ready) // workers
        return max(1, min(int(seconds / self._pace), fair))

    def _submit(self, sent: _Sent, read: ReadPortion) -> "Future":
        portions: Any = {}
        for task in sent.tasks:
            portions |= task.needed(read)
        if portions:
            (portions,) = self.client.scatter([portions], hash=False)
        tasks = [task.to_send() for task in sent.tasks]
        name = _name(sent.tasks[0])
        return self.client.submit(
            _answer, self.order, versions(), tasks, portions, pure=False, key=name
        )

    def _written(
        self, ended: Sequence[tuple["Future", _Sent]], progress: Progress
    ) -> Iterator[Performed]:
        """What is to be written of tasks that ended; others that waited for it are let go."""
        lost = [future for future, _ in ended if _is_lost(future)]
        performed = [
            done
            for future, sent in ended
            if future not in lost
            for done in self._received(future, sent, progress)
        ]
        for number, done in enumerate(performed, 1):
            done.more = number < len(performed)
            yield done
        for done in performed:
            self._open[(*done.task.group, done.task.stage)] -= 1
            self._release(done.task.group)
        if lost:
            raise ClusterError(f"{GONE}; everything finished so far is kept")

    def _received(self, future: "Future", sent: _Sent, progress: Progress) -> list[Performed]:
        """What came of tasks; nothing of those that have to be sent once more."""
        from distributed import KilledWorker

        error = future.exception()
        if isinstance(error, KilledWorker):
            sent.deaths += 1 + int(error.args[2])
            self._count_lost()
            return self._suspected(sent)
        self._lost = 0
        if error is not None:
            return _failed(sent, f"{type(error).__name__}: {error}")
        answer: Answer = future.result()
        if answer.refusal:
            progress.note(f"{answer.refusal}; it is sent away")
            self.client.retire_workers([answer.worker])
            self._ready.extend(sent.tasks)
            return []
        for _, seconds in answer.found:
            self._pace += 0.1 * (max(seconds, 1e-3) - self._pace)
        return [
            Performed(task, iter(batches), seconds)
            for task, (batches, seconds) in zip(sent.tasks, answer.found, strict=True)
        ]

    def _count_lost(self) -> None:
        """Count calls in a row that ended their workers; ClusterError if they are too many."""
        self._lost += 1
        if self._lost >= MOST_LOST + AHEAD * len(self.client.nthreads()):
            raise ClusterError(
                f"{self._lost} calls in a row ended their workers, which may have too little"
                " memory; everything finished so far is kept"
            )

    def _suspected(self, sent: _Sent) -> list[Performed]:
        """Try tasks alone with which a worker died, and their cells apart; at last one failed."""
        if len(sent.tasks) > 1:
            self._suspects.extend(_Sent([task], sent.deaths) for task in sent.tasks)
            return []
        (task,) = sent.tasks
        if not sent.alone or sent.deaths < MOST_DEATHS:
            self._suspects.append(sent)
        elif len(task.cells) > 1:
            apart = [_Sent([own], sent.deaths) for own in task.alone()]
            self._suspects.extend(apart)
            self._open[(*task.group, task.stage)] += len(apart) - 1
        else:
            return _failed(
                sent,
                f"its worker died {sent.deaths} times, at last with nothing else on it: memory"
                " ran out, or it ended its process",
            )
        return []


def _is_lost(future: "Future") -> bool:
    """Whether nothing will ever be known of it."""
    return future.status not in ("finished", "error")


def _failed(sent: _Sent, message: str) -> list[Performed]:
    return [Performed(task, iter([failed(task.cells, message)])) for task in sent.tasks]


def _assembled(client: "Client", say: Callable[[str], None]) -> list[int]:
    """Threads of every worker, once there are any; ClusterError where some are unfit."""
    if not client.scheduler_info()["workers"]:
        say("the scheduler has no workers yet; waiting for the first")
        client.wait_for_workers(1)
    found = client.run(_description, versions(), on_error="return")
    refusals = [
        f"worker {address} cannot run pgbench: {words}" if isinstance(words, Exception) else words
        for address, words in sorted(found.items())
        if not isinstance(words, int)
    ]
    if refusals:
        raise ClusterError("; ".join(refusals))
    return list(found.values())


def _description(needed: Mapping[str, str], dask_worker: "Worker") -> int | str:
    """Number of threads of this worker, or why it is unfit."""
    from pgbench.kernels.partition import limit_threads

    return _refusal(needed, dask_worker) or limit_threads(None)


_numbers = iter(range(2**62))


def _name(task: Task) -> str:
    """A key that a dashboard shows: what is done, where, and a number that makes it unique."""
    kind = type(task).__name__.removesuffix("Task").lower()
    return f"{kind} {task.setting.label}-{os.getpid()}-{next(_numbers)}"


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
        _assembled(client, say)
        yield partial(_mapped, client, set_up)


def _mapped(
    client: "Client",
    set_up: Callable[[], Any] | None,
    function: Callable[[S], T],
    items: Sequence[S],
) -> Iterator[T]:
    call = partial(_called, versions(), set_up, function)
    futures = client.map(call, items, pure=False)
    try:
        for item, future in zip(items, futures, strict=True):
            if deaths := _deaths(future):
                for other in futures:  # all others end first, so that it is alone from here on
                    other.exception()
                future = _again(client, call, item, deaths)
            yield future.result()
    finally:
        client.cancel(futures)


def _again(client: "Client", call: Callable[[S], T], item: S, deaths: int) -> "Future":
    """What came of an item with which workers died, sent until one lives; else ClusterError."""
    while deaths < MOST_DEATHS:
        future = client.submit(call, item, pure=False)
        if not (more := _deaths(future)):
            return future
        deaths += more
    raise ClusterError(
        f"workers died {deaths} times of {item}, at last with nothing else sent; is there enough"
        " memory?"
    )


def _deaths(future: "Future") -> int:
    """How many workers died with what was sent, once it has ended."""
    from distributed import KilledWorker

    error = future.exception()
    if _is_lost(future):
        raise ClusterError(GONE)
    return 1 + int(error.args[2]) if isinstance(error, KilledWorker) else 0


def _called(
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
