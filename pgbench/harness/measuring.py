"""Tasks performed: every one gives batches of records.

Records are plain data and arrays, so that whoever makes them need not be who writes them. Those
that are to be written together, or not at all, come in one batch.
"""

import traceback
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod
from typing import Any, Generic, TypeVar

from pgbench.arrays import FloatArray
from pgbench.ascent.goal import Goal, find_goal
from pgbench.declared.outcomes import Status
from pgbench.estimators import estimators
from pgbench.grid.grid import Chosen
from pgbench.grid.plan import AscentCell, Cell, Prepared, Setting, make_problem
from pgbench.harness.ascents import run_ascent
from pgbench.harness.tasks import (
    AscentTask,
    CentredTask,
    JoinTask,
    MeasureTask,
    PortionTask,
    ReadPortion,
    Task,
)
from pgbench.measure.cells import join, measure, measure_portion
from pgbench.measure.measurement import Measurement, exact_values
from pgbench.measure.subject import Subject, make_subject
from pgbench.memory import explained, keep_freed
from pgbench.policies import NotApplicable
from pgbench.problems import Problem
from pgbench.results.lines import JournalRecord
from pgbench.rollout.device import Device
from pgbench.rollout.simulator import Draws

RecordBatch = list[JournalRecord]

ESTIMATORS = 1000
"""Estimators of a setting that are kept ready."""

KEPT_NUMBERS = 2**26
"""Settings are kept ready up to so many entries of their problems' tables together."""


@dataclass(frozen=True)
class Conditions:
    """With how many threads (None: all), in how much memory and where a run is measured."""

    threads: int | None
    memory_bytes: int | None
    device: Device


T = TypeVar("T")


class Kept(Generic[T]):
    """The last things made, by key; what failed to be made fails again at once.

    Parameters
    ----------
    most
        Number of things kept, as long as they are at most ``KEPT_NUMBERS`` large together.
    size
        How large a thing is.
    """

    def __init__(self, most: int, size: Callable[[T], int]) -> None:
        self._most, self._size = most, size
        self._things: OrderedDict[str, T] = OrderedDict()
        self._failures: dict[str, Exception] = {}

    def get(self, key: str, make: Callable[[], T]) -> T:
        """The thing of that key, made if need be; room is made for it first."""
        if key in self._failures:
            raise self._failures[key]
        if key in self._things:
            self._things.move_to_end(key)
            return self._things[key]
        while self._things and not self._fits():
            self._things.popitem(last=False)
        try:
            self._things[key] = make()
        except Exception as error:
            self._failures[key] = error
            traceback.clear_frames(error.__traceback__)
            raise
        return self._things[key]

    def _fits(self) -> bool:
        """Whether there is room for one more."""
        sizes = [self._size(thing) for thing in self._things.values()]
        return len(sizes) < self._most and sum(sizes) <= KEPT_NUMBERS


@dataclass(eq=False)
class _Place:
    """A setting made ready: its truth, and what was made of its estimators and its goal so far."""

    prepared: Prepared
    subjects: Kept[Subject] = field(default_factory=lambda: Kept(ESTIMATORS, lambda subject: 0))
    goal: Goal | None = None


class Workshop:
    """Performs tasks, and keeps problems and settings ready for the next ones.

    Parameters
    ----------
    conditions
        How it is measured; no number depends on threads or memory.
    kept
        So many settings are kept, as long as they are not too large together.
    """

    def __init__(self, conditions: Conditions, kept: int = 1) -> None:
        keep_freed()
        self.conditions = conditions
        self._problems: Kept[Problem] = Kept(1, lambda problem: problem.numbers)
        self._places: Kept[_Place] = Kept(kept, lambda place: place.prepared.truth.mdp.numbers)

    def perform(self, task: Task, read: ReadPortion = lambda key: None) -> Iterator[RecordBatch]:
        """Batches of the records of a task; failures are records as well."""
        with recorded(task.cells) as lost:
            place = self._place(task.setting)
            exact = [_exact(task.setting, place.prepared)] if task.unknown else []
        if lost:
            yield lost
            return
        if exact:
            yield exact
        yield from self._records(task, place, read)

    def _place(self, setting: Setting) -> _Place:
        return self._places.get(
            setting.key, lambda: _Place(setting.prepare(self._problem(setting.problem)))
        )

    def _problem(self, chosen: Chosen) -> Problem:
        key = repr((chosen.canonical, chosen.content, chosen.folder))
        return self._problems.get(key, lambda: make_problem(chosen))

    @singledispatchmethod
    def _records(self, task: Task, place: _Place, read: ReadPortion) -> Iterator[RecordBatch]:
        raise TypeError(f"nobody performs a {type(task).__name__}")

    @_records.register
    def _(self, task: MeasureTask, place: _Place, read: ReadPortion) -> Iterator[RecordBatch]:
        """Records of cells, one batch size at a time, all estimators together."""
        for batch_size in sorted({cell.batch_size for cell in task.cells}):
            same = [cell for cell in task.cells if cell.batch_size == batch_size]
            ready = yield from self._ready(place, same)
            if ready:
                yield self._measured(task, place.prepared, ready)

    @_records.register
    def _(self, task: PortionTask, place: _Place, read: ReadPortion) -> Iterator[RecordBatch]:
        """Records of the sums of cells over a portion."""
        ready = yield from self._ready(place, task.cells)
        if ready:
            yield self._added_up(task, place.prepared, ready)

    @_records.register
    def _(self, task: CentredTask, place: _Place, read: ReadPortion) -> Iterator[RecordBatch]:
        """Records of the sums of cells over a portion, about the mean of all replicates."""
        found = {cell.key: task.centre(cell, read) for cell in task.cells}
        centres = {key: centre for key, centre in found.items() if centre is not None}
        asking = [cell for cell in task.cells if cell.key in centres]
        ready = yield from self._ready(place, asking)
        if ready:
            own = [centres[cell.key] for cell, _ in ready]
            yield self._added_up(task, place.prepared, ready, own)

    @_records.register
    def _(self, task: JoinTask, place: _Place, read: ReadPortion) -> Iterator[RecordBatch]:
        """Records of cells whose portions are all there."""
        ready = yield from self._ready(place, task.cells)
        for cell, subject in ready:
            if portions := task.sums(cell, read):
                yield self._joined(cell, subject, portions)

    @_records.register
    def _(self, task: AscentTask, place: _Place, read: ReadPortion) -> Iterator[RecordBatch]:
        """Records of ascents, one after another."""
        with recorded(task.cells) as lost:
            own = place.prepared.maximised
            assert own is not None
            goal = place.goal = place.goal or find_goal(own.mdp, own.policy, objective=own)
        if lost:
            yield lost
            return
        for cell in task.cells:
            with recorded([cell]) as lost:
                found = run_ascent(task.setting, place.prepared, cell, goal)
            yield lost or [_record(cell, Status.DONE, **found)]

    def _ready(
        self, place: _Place, cells: Sequence[Cell]
    ) -> Generator[RecordBatch, None, list[tuple[Cell, Subject]]]:
        """The cells that can be measured, with their subjects; yields records of the others."""
        ready: list[tuple[Cell, Subject]] = []
        for cell in cells:
            with recorded([cell]) as lost:
                subject = self._subject(place, cell.estimator)
                if refusal := subject.refuses(cell.batch_size):
                    raise NotApplicable(refusal)
                ready.append((cell, subject))
            if lost:
                yield lost
        return ready

    def _subject(self, place: _Place, chosen: Chosen) -> Subject:
        return place.subjects.get(
            chosen.label,
            lambda: make_subject(
                place.prepared,
                estimators()[chosen.name],
                chosen.values,
                self.conditions.threads,
            ),
        )

    def _measured(
        self, task: Task, prepared: Prepared, ready: Sequence[tuple[Cell, Subject]]
    ) -> RecordBatch:
        """Records of cells of one batch size, which share trajectories where they can."""
        own, draws = [subject for _, subject in ready], _draws(task.setting, prepared, ready)
        with recorded([cell for cell, _ in ready]) as lost:
            found = measure(
                prepared, own, draws, self.conditions.memory_bytes, self.conditions.device
            )
        return lost or [
            _done(cell, subject, measurement)
            for (cell, subject), measurement in zip(ready, found, strict=True)
        ]

    def _added_up(
        self,
        task: PortionTask,
        prepared: Prepared,
        ready: Sequence[tuple[Cell, Subject]],
        centres: Sequence[FloatArray] | None = None,
    ) -> RecordBatch:
        """Records of the sums of cells over a portion."""
        portion, own = task.portion, [subject for _, subject in ready]
        draws = replace(
            _draws(task.setting, prepared, ready),
            first=portion.first,
            replicates=portion.replicates,
        )
        conditions = self.conditions
        with recorded([cell for cell, _ in ready]) as lost:
            found = measure_portion(
                prepared,
                own,
                draws,
                portion.room,
                centres,
                conditions.memory_bytes,
                conditions.device,
            )
        return lost or [
            {
                "kind": "portion",
                "key": task.key(cell),
                **cell.named,
                "device": sums.device,
                "arrays": dict(sums.arrays),
            }
            for (cell, _), sums in zip(ready, found, strict=True)
        ]

    def _joined(
        self, cell: Cell, subject: Subject, portions: Sequence[JournalRecord]
    ) -> RecordBatch:
        """The record of a large cell."""
        device = ", ".join(sorted({portion["device"] for portion in portions}))
        with recorded([cell]) as lost:
            sums = [portion["arrays"] for portion in portions]
            found = join(subject, sums, cell.batch_size, device)
        return lost or [_done(cell, subject, found, portions=len(portions))]


def _draws(setting: Setting, prepared: Prepared, ready: Sequence[tuple[Cell, Subject]]) -> Draws:
    """All replicates of cells of one batch size."""
    return Draws(
        horizon=prepared.horizon,
        batch_size=ready[0][0].batch_size,
        replicates=setting.grid.replicates,
        seed=setting.random_seed,
        stream=setting.stream,
        group_size=setting.grid.group_size,
    )


def _done(cell: Cell, subject: Subject, measurement: Measurement, **details: Any) -> JournalRecord:
    return _record(
        cell,
        Status.DONE,
        values=dict(measurement.values),
        maps=dict(measurement.maps),
        exact_note=subject.exact_note(cell.batch_size),
        interval_note=measurement.note,
        device=measurement.device,
        **details,
    )


@contextmanager
def recorded(cells: Sequence[Cell | AscentCell]) -> Iterator[RecordBatch]:
    """A batch that is empty, or holds records of the cells if the block fails.

    They were skipped where the block says that they are not applicable. Any other failure is
    theirs alone, and the run goes on; an interruption is not a failure.
    """
    lost: RecordBatch = []
    try:
        with explained("measuring"):
            yield lost
    except NotApplicable as reason:
        lost += [_record(cell, Status.SKIPPED, message=str(reason)) for cell in cells]
    except Exception as error:
        trace = "".join(traceback.format_exception(error))
        lost += failed(cells, sentence(error), trace)


def failed(cells: Sequence[Cell | AscentCell], message: str, trace: str = "") -> RecordBatch:
    """Records of cells that failed."""
    return [_record(cell, Status.FAILED, message=message, traceback=trace) for cell in cells]


def sentence(error: Exception) -> str:
    """What is recorded and shown of a failure."""
    return f"{type(error).__name__}: {error}"


def _record(cell: Cell | AscentCell, status: Status, **details: Any) -> JournalRecord:
    head = {"kind": cell.kind, "key": cell.key, "status": status.word}
    return {**head, **cell.named, **details}


def _exact(setting: Setting, prepared: Prepared) -> JournalRecord:
    """What is known of a setting with no sampling."""
    exact, mdp = exact_values(prepared), prepared.truth.mdp
    return {
        "kind": "setting",
        "key": setting.key,
        "label": setting.label,
        "problem": {**mdp.facts, "digest": mdp.digest},
        "values": dict(exact.values),
        "maps": dict(exact.maps),
        "gradient_note": prepared.truth.unresolved_note,
    }
