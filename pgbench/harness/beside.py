"""Tasks of a run performed side by side, in processes of this machine with a share of its cores.

What of a run is compiled may use all cores; most else runs on one, and in Python, so that two
processes get nearly twice as much done as one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import inf
from time import perf_counter

from pgbench.harness.child import SHARE, ChildError
from pgbench.harness.crew import MOST, Crew
from pgbench.harness.measuring import RecordBatch, failed
from pgbench.harness.performing import (
    Here,
    MakePerformer,
    Order,
    Performed,
    Performer,
    patience,
    perform_apart,
    tell_of_compiling,
)
from pgbench.harness.progress import Progress
from pgbench.harness.tasks import AscentTask, ReadPortion, Task
from pgbench.measure.ahead import compile_ahead
from pgbench.measure.forecast import Forecast, forecast
from pgbench.memory import available
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.rollout.device import CPU

WORTH = 4.0
"""Seconds that a run must be expected to take on one core for more processes to be worth it."""

PROCESS_MEMORY = 2**29
"""Bytes that a process holds before it has work."""

Batches = Sequence[RecordBatch]


def on_this_machine(
    crew: Crew | None = None, afterwards: Callable[[], object] | None = None
) -> MakePerformer:
    """What performs tasks here: as many processes as are worth it, or this one.

    Parameters
    ----------
    crew
        The processes; by default they are made and ended.
    afterwards
        What they do as soon as no task is left to them.
    """

    @contextmanager
    def make(order: Order, tasks: Sequence[Task]) -> Iterator[Performer]:
        number = worthwhile(tasks, order)
        if number == 1:
            with Here(order) as here:
                yield here
        elif crew is not None:
            yield Beside(order, crew, min(number, len(crew)), afterwards)
        else:
            with Crew(number, order.set_up) as own:
                yield Beside(order, own, number, afterwards)

    return make


def worthwhile(tasks: Sequence[Task], order: Order) -> int:
    """How many processes are worth it for tasks, and fit in memory side by side.

    One where another one would not know a user's estimator.
    """
    from pgbench.kernels.partition import limit_threads

    if order.set_up is None and any(task.foreign for task in tasks):
        return 1

    threads = limit_threads(order.conditions.threads)
    expected = [own for own in _forecasts(tasks).values() if own is not None]
    if order.conditions.device.kind != CPU.kind or sum(own.seconds for own in expected) < WORTH:
        return 1
    largest = max(own.memory for own in expected)
    fitting = int(SHARE * available() / (largest + PROCESS_MEMORY))
    return max(1, min(threads, len(set(map(_lot, tasks))), fitting, MOST))


def _forecasts(tasks: Sequence[Task]) -> dict[str, Forecast | None]:
    """What the settings of tasks may take, by their keys."""
    settings = {task.setting.key: task.setting for task in tasks}
    return {key: forecast(setting) for key, setting in settings.items()}


Lot = deque[Task]


def _lot(task: Task) -> tuple[bool, str]:
    """What a task shares with those of its lot: whether they are ascents, and their setting."""
    return isinstance(task, AscentTask), task.setting.key


def _samples_tables(task: Task) -> bool:
    """Whether a task measures cells of a problem of states and actions."""
    size = task.setting.dimensions
    return not isinstance(task, AscentTask) and (size is None or size.kind == FiniteDimensions.kind)


def lots(tasks: Sequence[Task]) -> deque[Lot]:
    """Tasks that share a setting's exact quantities, and so a process; ascents ask for others.

    Cells come before ascents, those that take little before those that take long, and last those
    of which only the problem, once it is made, tells how long.
    """
    expected = _forecasts(tasks)

    def place(task: Task) -> tuple[bool, bool, float, str]:
        ascends, setting = _lot(task)
        own = expected[setting]
        return ascends, own is None or own.least, own.seconds if own else 0.0, setting

    return deque(deque(own) for _, own in groupby(sorted(tasks, key=place), key=place))


class Beside:
    """Performs tasks in several processes.

    One takes small settings first, so that there soon are results, and the next one ascents, then
    large settings; where they meet little is left to wait for. Where nothing is compiled yet, the
    second one first compiles a part of what the first one begins to need.

    Parameters
    ----------
    order
        What whoever performs tasks needs beside them.
    crew, number
        The processes, and how many of them take part.
    afterwards
        What they do as soon as no task is left to them.

    Attributes
    ----------
    threads
        Number of threads of all processes together, once prepared.
    """

    def __init__(
        self,
        order: Order,
        crew: Crew,
        number: int,
        afterwards: Callable[[], object] | None = None,
    ) -> None:
        self._order, self._crew, self._number = order, crew, number
        self._afterwards, self.threads = afterwards, 0
        self._home: set[int] = set()
        self._anew = False

    def prepare(self, tasks: Sequence[Task], progress: Progress) -> None:
        """Settle the number of threads."""
        from pgbench.kernels.keeping import has_compiled
        from pgbench.kernels.partition import limit_threads

        self._anew = not has_compiled()
        conditions = self._order.conditions
        share = limit_threads(conditions.threads) // self._number
        self._conditions = replace(conditions, threads=share)
        self.threads = share * self._number
        progress.phase(f"working in {self._number} processes")
        tell_of_compiling(progress)

    def performed(
        self, tasks: Sequence[Task], read: ReadPortion, progress: Progress
    ) -> Iterator[Performed]:
        """Every task as it is finished; those that join when their portions are written."""
        self._read, self._progress = read, progress
        left, running = lots(tasks), dict[Future[Batches], _Sent]()
        own: list[Lot] = [deque() for _ in range(self._number)]
        suspects: list[Task] = []

        def go_on(place: int, *, written: bool) -> None:
            """Let a process perform its next task, if that needs nothing that is not written."""
            if not own[place] and left:
                own[place] = left.pop() if place % 2 else left.popleft()
            if own[place] and (written or own[place][0].stage < 2):
                sent = _Sent(own[place].popleft(), place)
                running[self._call(sent, self._crew)] = sent

        if self._anew and self._number > 1 and any(_samples_tables(task) for task in tasks):
            # What it cannot compile is compiled, or cannot be, where it is needed.
            self._crew.submit(1, compile_ahead)
        for place in range(self._number):
            go_on(place, written=True)
        while running:
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            found = []
            for call in ended:
                sent = running.pop(call)
                try:
                    found.append(sent.performed(call.result()))
                except ChildError:
                    suspects.append(sent.task)
                go_on(sent.place, written=False)
            yield from _together(found)
            for place in set(range(self._number)) - {sent.place for sent in running.values()}:
                go_on(place, written=True)
            self._send_home(place for place, lot in enumerate(own) if not (lot or left))
        if suspects:
            with Crew(1, self._order.set_up) as alone:
                for task in suspects:
                    yield from self._alone(task, alone)

    def _call(self, sent: "_Sent", crew: Crew) -> "Future[Batches]":
        task = sent.task
        self._progress.setting(task.setting.label)
        return crew.submit(
            sent.place,
            perform_apart,
            self._conditions,
            task.to_send(),
            task.needed(self._read),
            seconds=patience(task) if task.foreign else inf,
        )

    def _send_home(self, places: Iterable[int]) -> None:
        """Let processes to which no task is left do what is done afterwards, once."""
        for place in set(places) - self._home:
            self._home.add(place)
            if self._afterwards is not None:
                self._crew.submit(place, self._afterwards)

    def _alone(self, task: Task, crew: Crew) -> Iterator[Performed]:
        """A task with which a process ended, with all memory and nothing beside it.

        At last its cells apart.
        """
        sent = _Sent(task)
        try:
            yield sent.performed(self._call(sent, crew).result())
        except ChildError as error:
            if len(task.cells) > 1:
                for cell in task.alone():
                    yield from self._alone(cell, crew)
            else:
                yield sent.performed([failed(task.cells, str(error))])


@dataclass(frozen=True)
class _Sent:
    """A task that a process performs, and since when."""

    task: Task
    place: int = 0
    since: float = field(default_factory=perf_counter)

    def performed(self, batches: Batches) -> Performed:
        """The task with its records."""
        return Performed(self.task, iter(batches), perf_counter() - self.since)


def _together(found: Sequence[Performed]) -> Iterator[Performed]:
    """What has ended at the same time, so that it is written together."""
    for number, done in enumerate(found, 1):
        done.more = number < len(found)
        yield done
