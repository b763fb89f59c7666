"""Who performs the tasks of a run, and in what way; here, one after another in this process."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pgbench.harness.measuring import Conditions, RecordBatch, Workshop
from pgbench.harness.progress import Progress
from pgbench.harness.tasks import ReadPortion, Task


@dataclass
class Performed:
    """A task with the batches of its records.

    seconds
        What it took; known once the batches are exhausted.
    """

    task: Task
    batches: Iterator[RecordBatch]
    seconds: float = 0.0


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


@dataclass
class Here:
    """Performs tasks in this process, in their order.

    threads
        Number of threads in use, once prepared.
    """

    conditions: Conditions

    threads: int = 0

    def __post_init__(self) -> None:
        self._workshop = Workshop(self.conditions)

    def prepare(self, tasks: Sequence[Task], progress: Progress) -> None:
        """Compile or load the kernels that tasks use."""
        from pgbench.kernels.jit import CACHE_DIRECTORY
        from pgbench.kernels.partition import use_threads

        self.threads = use_threads(self.conditions.threads)

        if CACHE_DIRECTORY is None:
            progress.note(
                "compiled kernels are not kept: neither NUMBA_CACHE_DIR nor the user's cache nor"
                " the temporary directory can be written to"
            )
        progress.phase("compiling kernels")
        begin = time.perf_counter()
        self._workshop.compile(tasks)
        progress.compiled(time.perf_counter() - begin)

    def performed(
        self, tasks: Sequence[Task], read: ReadPortion, progress: Progress
    ) -> Iterator[Performed]:
        """Every task, in order."""
        for task in tasks:
            progress.setting(task.setting.label)
            done = Performed(task, iter(()))
            done.batches = _timed(done, self._workshop.perform(task, read))
            yield done


def _timed(done: Performed, batches: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
    begin = time.perf_counter()
    yield from batches
    done.seconds = time.perf_counter() - begin
