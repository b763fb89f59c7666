"""Tasks of a run performed by workers.

A worker that dies loses its tasks to others. Whoever was on it is suspected and tried once more
with nothing else on the cluster, so that a cell that kills its workers is found and fails alone.
"""

import math
import os
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pgbench.harness.cluster.on_worker import Answer, ClusterError, answered
from pgbench.harness.cluster.workers import (
    GONE,
    MOST_DEATHS,
    Workers,
    assembled,
    deaths,
    is_lost,
)
from pgbench.harness.measuring import failed
from pgbench.harness.performing import MakePerformer, Order, Performed
from pgbench.harness.progress import Progress
from pgbench.harness.provenance import versions
from pgbench.harness.tasks import ReadPortion, Task

if TYPE_CHECKING:
    from distributed import Client, Future

AHEAD = 2
"""So many calls per worker are sent ahead."""

OVERHEAD = 0.005
"""Seconds that client and scheduler take for a call, measured; one after another."""

CALL_SECONDS = 1.0
"""Tasks are put together to calls of about so long, and longer for many workers."""

MOST_LOST = 10
"""So many calls, and those that were sent ahead, may end their workers before any call has come
back, or all workers are taken to be unfit."""


@dataclass(eq=False)
class _Sent:
    """Tasks on their way, how many workers died with them, and whether nothing else was sent."""

    tasks: Sequence[Task]
    deaths: int = 0
    alone: bool = False


def by_workers(workers: Workers) -> MakePerformer:
    """What makes a run's performer of workers."""

    @contextmanager
    def make(order: Order, tasks: Sequence[Task]) -> Iterator[Cluster]:
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
    _fit: bool = False
    _lost: int = 0
    _ready: deque[Task] = field(default_factory=deque)
    _pace: float = CALL_SECONDS
    _suspects: deque[_Sent] = field(default_factory=deque)
    _waiting: dict[tuple[str, int], list[Task]] = field(default_factory=lambda: defaultdict(list))
    _open: Counter[tuple[str, int, int]] = field(default_factory=Counter)

    def prepare(self, tasks: Sequence[Task], progress: Progress) -> None:
        """Wait for a worker, and see that all have the client's versions; else ClusterError."""
        threads = assembled(self.client, progress.note)
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
            number = tasks_per_call(len(self._ready), self._pace, workers)
            sent = _Sent([self._ready.popleft() for _ in range(number)])
            yield self._submit(sent, read), sent
        if self._suspects and not outstanding and not self._ready:
            sent = replace(self._suspects.popleft(), alone=True)
            yield self._submit(sent, read), sent

    def _submit(self, sent: _Sent, read: ReadPortion) -> "Future":
        portions: Any = {}
        for task in sent.tasks:
            portions |= task.needed(read)
        # Portions go with the call: what a worker is given to keep for it is lost with the worker.
        tasks = [task.to_send() for task in sent.tasks]
        name = _name(sent.tasks[0])
        return self.client.submit(
            answered, self.order, versions(), tasks, portions, pure=False, key=name
        )

    def _written(
        self, ended: Sequence[tuple["Future", _Sent]], progress: Progress
    ) -> Iterator[Performed]:
        """What is to be written of tasks that ended; others that waited for it are let go."""
        lost = [future for future, _ in ended if is_lost(future)]
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
        if died := deaths(future):
            sent.deaths += died
            self._count_lost()
            return self._suspected(sent)
        self._fit = True
        if (error := future.exception()) is not None:
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
        """Count calls that ended their workers; ClusterError if none other comes back."""
        self._lost += 1
        if not self._fit and self._lost >= MOST_LOST + AHEAD * len(self.client.nthreads()):
            raise ClusterError(
                f"{self._lost} calls ended their workers and none came back; have workers enough"
                " memory?"
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


def tasks_per_call(ready: int, seconds: float, workers: int) -> int:
    """How many of so many tasks, of so many seconds each, make one call.

    Calls are long enough that the client can serve all workers in turns, and towards the end so
    short that all have their share; but with s tasks in each, the client takes ready/s times its
    overhead, and the last call s times the seconds: both are equal at the root below.
    """
    long = max(CALL_SECONDS, 2 * OVERHEAD * workers) / seconds
    share = max(ready / workers, math.sqrt(ready * OVERHEAD / seconds))
    return max(1, int(min(long, share)))


def _failed(sent: _Sent, message: str) -> list[Performed]:
    return [Performed(task, iter([failed(task.cells, message)])) for task in sent.tasks]


_numbers = iter(range(2**62))


def _name(task: Task) -> str:
    """A key that a dashboard shows: what is done, where, and a number that makes it unique."""
    kind = type(task).__name__.removesuffix("Task").lower()
    return f"{kind} {task.setting.label}-{os.getpid()}-{next(_numbers)}"
