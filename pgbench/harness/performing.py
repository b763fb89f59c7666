"""Who performs the tasks of a run, and in what way; here, one after another in this process."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

from pgbench.harness.child import Child, ChildError, doing
from pgbench.harness.measuring import Conditions, RecordBatch, Workshop, failed
from pgbench.harness.progress import Progress
from pgbench.harness.tasks import ReadPortion, Task
from pgbench.kernels.blas import single_threaded_blas
from pgbench.results.lines import JournalRecord

PATIENCE, PATIENCE_PER_STEP = 600.0, 20e-6
"""Seconds that a task of users' code may take, and besides per environment step."""


@dataclass(frozen=True)
class Order:
    """What whoever performs tasks needs beside them.

    conditions
        How it is measured; threads are at most those that there are.
    set_up
        Called once in every process but the first, so that users' estimators are known there; None
        where there are none.
    """

    conditions: Conditions
    set_up: Callable[[], Any] | None = None


class Hands:
    """Performs tasks: users' code in a child, which it may end as it likes, all else here."""

    def __init__(self, order: Order, kept: int = 1) -> None:
        self._order, self._child = order, Child(order.set_up)
        self.workshop = Workshop(order.conditions, kept)

    def perform(self, task: Task, read: ReadPortion) -> Iterator[RecordBatch]:
        """Batches of the records of a task."""
        if self._order.set_up is None or not task.foreign:
            yield from self.workshop.perform(task, read)
            return
        sent, portions = task.to_send(), task.needed(read)
        try:
            batches = self._child.perform(
                perform_apart, self._order.conditions, sent, portions, seconds=patience(task)
            )
        except ChildError as error:
            if len(task.cells) > 1:
                for own in task.alone():
                    yield from self.perform(own, read)
            else:
                yield failed(task.cells, str(error))
            return
        yield from batches

    def close(self) -> None:
        """End the child, if there is one."""
        self._child.close()


def patience(task: Task) -> float:
    """Seconds that a task of users' code may take."""
    return PATIENCE + PATIENCE_PER_STEP * task.work


def perform_apart(
    conditions: Conditions, task: Task, portions: Mapping[str, JournalRecord]
) -> list[RecordBatch]:
    """Batches of the records of a task, in a child."""
    workshop = _workshop(conditions)
    what = f"{', '.join(sorted(task.estimators))} in {task.setting.label}"
    with single_threaded_blas(), doing(what):
        return list(workshop.perform(task, portions.get))


@cache
def _workshop(conditions: Conditions) -> Workshop:
    from pgbench.kernels.partition import limit_threads

    return Workshop(replace(conditions, threads=limit_threads(conditions.threads)))


@dataclass
class Performed:
    """A task with the batches of its records.

    seconds
        What it took; known once the batches are exhausted.
    more
        Whether another task has ended already, so that both may be written together.
    """

    task: Task
    batches: Iterator[RecordBatch]
    seconds: float = 0.0
    more: bool = False


class Performer(Protocol):
    """Performs tasks."""

    @property
    def threads(self) -> int:
        """Number of threads in all."""

    def prepare(self, tasks: Sequence[Task], progress: Progress) -> None:
        """Make ready for these tasks, and tell of what takes long or is unusual."""

    def performed(
        self, tasks: Sequence[Task], read: ReadPortion, progress: Progress
    ) -> Iterator[Performed]:
        """Every task, in whatever order; records are written before the next one is asked for.

        ``read`` gives what was written of portions.
        """


def tell_of_compiling(progress: Progress) -> None:
    """Say that kernels will be compiled, where none are kept."""
    from pgbench.kernels.keeping import CACHE_DIRECTORY, has_compiled

    if CACHE_DIRECTORY is None:
        progress.note(
            "compiled kernels are not kept: neither NUMBA_CACHE_DIR nor the user's cache nor the"
            " temporary directory can be written to"
        )
    if not has_compiled():
        progress.phase("compiling kernels when they are first used")


MakePerformer = Callable[[Order, Sequence[Task]], AbstractContextManager[Performer]]
"""Makes what performs those tasks."""


class Here:
    """Performs tasks in this process, in their order.

    Attributes
    ----------
    threads
        Number of threads in use, once prepared.
    """

    def __init__(self, order: Order) -> None:
        self._order, self._hands, self.threads = order, Hands(order), 0

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *_: object) -> None:
        self._hands.close()

    def prepare(self, tasks: Sequence[Task], progress: Progress) -> None:
        """Settle the number of threads."""
        from pgbench.kernels.partition import use_threads

        self.threads = use_threads(self._order.conditions.threads)
        tell_of_compiling(progress)

    def performed(
        self, tasks: Sequence[Task], read: ReadPortion, progress: Progress
    ) -> Iterator[Performed]:
        """Every task, in order."""
        for task in tasks:
            progress.setting(task.setting.label)
            done = Performed(task, iter(()))
            done.batches = _timed(done, self._hands.perform(task, read))
            yield done


def _timed(done: Performed, batches: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
    begin = time.perf_counter()
    yield from batches
    done.seconds = time.perf_counter() - begin
