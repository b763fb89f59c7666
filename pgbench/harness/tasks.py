"""What is to do of a grid: tasks, each of which can be done by anybody, less what is finished.

A task is a recipe, names and numbers but no arrays, and gives records. Cells of one setting that
take little together are one task; a large cell is a task for every portion of its replicates, and
one that joins their sums.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, ClassVar

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.outcomes import Status
from pgbench.estimators import BatchEstimator, estimators, is_added
from pgbench.grid.grid import Grid
from pgbench.grid.plan import (
    AscentCell,
    Cell,
    Portion,
    Prepared,
    Setting,
    exact_work,
    likely_horizon,
    work,
)
from pgbench.measure.cost import setting_cost
from pgbench.measure.sums import joining_bytes
from pgbench.results.lines import JournalRecord

FINISHED = frozenset({Status.DONE.word, Status.SKIPPED.word})
"""Cells with such a record do not run again; failed ones do."""

ReadPortion = Callable[[str], JournalRecord | None]
"""The record of a portion by its key; None where there is none."""

TASK_STEPS = 2**24
"""Cells are put together to tasks of about so many environment steps at most."""

BATCHES_TOGETHER = 8
"""So many functions of batches at most share the trajectories of a large cell."""


@dataclass(frozen=True, eq=False)
class Task(ABC):
    """Something to do in a setting.

    Attributes
    ----------
    setting
        Where.
    cells
        The cells or ascents that it is about.
    unknown
        Whether the setting's exact quantities are asked for besides.
    """

    setting: Setting
    cells: Sequence[Any]
    unknown: bool = field(default=False, kw_only=True)
    finishes: ClassVar[bool] = True
    """Whether its cells are finished with it."""
    stage: ClassVar[int] = 0
    """It waits for tasks of earlier stages in its group; 0 waits for none."""

    @property
    @abstractmethod
    def work(self) -> float:
        """About how many environment steps it takes."""

    @property
    def effort(self) -> float:
        """What it takes, exact work with it, in environment steps."""
        return self.work

    @property
    def part(self) -> Grid:
        """The grid with nothing but what is done of the setting."""
        own = tuple({cell.estimator.label: cell.estimator for cell in self.cells}.values())
        sizes = tuple(sorted({cell.batch_size for cell in self.cells}))
        return replace(self.setting.grid, estimators=own, batch_sizes=sizes, ascent=None)

    def memory(self, prepared: Prepared) -> float:
        """Bytes that it takes about, beside the libraries."""
        return setting_cost(replace(self.setting, grid=self.part), prepared).memory

    @property
    def group(self) -> tuple[str, int]:
        """Setting and batch size, by which stages belong together."""
        return self.setting.key, self.cells[0].batch_size if self.stage else 0

    def needed(self, read: ReadPortion) -> dict[str, JournalRecord]:
        """Records of portions that it asks for, by key."""
        return {}

    @property
    def estimators(self) -> set[str]:
        """Names of the estimators whose code it runs."""
        return {cell.estimator.name for cell in self.cells}

    @property
    def foreign(self) -> bool:
        """Whether it runs code of a user's file."""
        return any(map(is_added, self.estimators))

    def alone(self) -> "list[Task]":
        """A task for each of its cells."""
        unknown = [self.unknown] + [False] * (len(self.cells) - 1)
        return [
            replace(self, cells=[cell], unknown=first)
            for cell, first in zip(self.cells, unknown, strict=True)
        ]

    def left(self, records: Mapping[str, JournalRecord], portions: Container[str]) -> "Task | None":
        """What records and portions say is left to do of it, or None."""
        cells = [cell for cell in self.cells if not is_finished(records.get(cell.key, {}))]
        return replace(self, cells=cells) if cells else None

    def to_send(self) -> "Task":
        """The task without what whoever does it need not know."""
        return replace(self, setting=self.setting.recipe)


class MeasureTask(Task):
    """Measure cells."""

    cells: Sequence[Cell]

    @property
    def work(self) -> float:
        """About how many environment steps it takes."""
        return work(self.setting, self.cells)

    @property
    def effort(self) -> float:
        """What it takes, exact work with it, in environment steps."""
        return self.work + exact_work(self.setting, self.cells)


@dataclass(frozen=True, eq=False)
class PortionTask(Task):
    """Add up the estimates of large cells of one batch size over a portion of the replicates.

    Where the exact mean is not known this gives the sum of the estimates alone.
    """

    cells: Sequence[Cell]
    portion: Portion = field(kw_only=True)
    finishes = False
    stage = 1

    @property
    def work(self) -> float:
        """About how many environment steps it takes."""
        each = likely_horizon(self.setting) * self.cells[0].batch_size
        return float(each * self.portion.replicates)

    @property
    def part(self) -> Grid:
        """The grid with nothing but what is done of the setting."""
        return replace(super().part, replicates=self.portion.replicates)

    def left(self, records: Mapping[str, JournalRecord], portions: Container[str]) -> Task | None:
        """What records and portions say is left to do of it, or None."""
        task = super().left(records, portions)
        cells = [c for c in task.cells if self.key(c) not in portions] if task else []
        return replace(self, cells=cells) if cells else None

    def key(self, cell: Cell) -> str:
        """Key of the record of a cell's portion."""
        return self.setting.portion_key(cell, self.portion)


@dataclass(frozen=True, eq=False)
class CentredTask(PortionTask):
    """Add up the same about the mean of all replicates, where the exact mean is not known."""

    portions: Sequence[Portion] = field(kw_only=True)
    stage = 2

    def key(self, cell: Cell) -> str:
        """Key of the record of a cell's portion."""
        return self.setting.portion_key(cell, self.portion, centred=True)

    def centre(self, cell: Cell, read: ReadPortion) -> FloatArray | None:
        """The mean of all replicates (d,); None where the exact one is known."""
        first = _portions(self, cell, self.portions, read)
        totals = [record["arrays"]["total"] for record in first if "total" in record["arrays"]]
        if not totals:
            return None
        mean: FloatArray = np.add.reduce(totals) / self.setting.grid.replicates
        return mean

    def needed(self, read: ReadPortion) -> dict[str, JournalRecord]:
        """The sums of the estimates of those cells whose exact mean is not known."""
        every = [r for cell in self.cells for r in _portions(self, cell, self.portions, read)]
        return {record["key"]: record for record in every if "total" in record["arrays"]}


@dataclass(frozen=True, eq=False)
class JoinTask(Task):
    """Make the record of a large cell from the sums of its portions."""

    cells: Sequence[Cell]
    portions: Sequence[Portion] = field(kw_only=True)
    stage = 3

    @property
    def work(self) -> float:
        """Next to nothing."""
        return 0.0

    def memory(self, prepared: Prepared) -> float:
        """Bytes that it takes about, beside the libraries."""
        d, replicates = prepared.truth.gradient.size, self.setting.grid.replicates
        sums = joining_bytes(d, replicates, len(self.portions))
        return 16.0 * prepared.truth.mdp.numbers + len(self.cells) * sums

    def sums(self, cell: Cell, read: ReadPortion) -> list[JournalRecord]:
        """Records of the sums of all portions of a cell, in order; none where one is missing."""
        first = _portions(self, cell, self.portions, read)
        if any("total" in record["arrays"] for record in first):
            return _portions(self, cell, self.portions, read, centred=True)
        return first

    def needed(self, read: ReadPortion) -> dict[str, JournalRecord]:
        """Records of portions that it asks for."""
        keys = [
            self.setting.portion_key(cell, portion, centred)
            for cell in self.cells
            for portion in self.portions
            for centred in (False, True)
        ]
        found = {key: read(key) for key in keys}
        return {key: record for key, record in found.items() if record is not None}


def _portions(
    task: Task, cell: Cell, portions: Sequence[Portion], read: ReadPortion, centred: bool = False
) -> list[JournalRecord]:
    """Records of all portions of a cell, in order; none where one is missing."""
    found = [read(task.setting.portion_key(cell, portion, centred)) for portion in portions]
    there = [record for record in found if record is not None]
    return there if len(there) == len(found) else []


class AscentTask(Task):
    """Run ascents."""

    cells: Sequence[AscentCell]

    @property
    def estimators(self) -> set[str]:
        """Names of the estimators whose code it runs."""
        followed = (cell.climber.estimator for cell in self.cells)
        return {chosen.name for chosen in followed if chosen is not None}

    @property
    def part(self) -> Grid:
        """The grid with nothing but what is done of the setting."""
        plan, own = self.setting.grid.ascent, {cell.climber.label for cell in self.cells}
        assert plan is not None
        climbers = tuple(climber for climber in plan.climbers if climber.label in own)
        ascent = replace(plan, climbers=climbers)
        return replace(self.setting.grid, estimators=(), batch_sizes=(), ascent=ascent)

    @property
    def work(self) -> float:
        """About how many environment steps it takes."""
        return work(self.setting, (), self.cells)

    @property
    def effort(self) -> float:
        """What it takes, exact work with it, in environment steps."""
        return self.work + exact_work(self.setting, (), self.cells)


def is_finished(record: Mapping[str, Any]) -> bool:
    """Whether a cell with this record does not run again."""
    return record.get("status") in FINISHED


def tasks(plan: Iterable[Setting]) -> Iterator[Task]:
    """Every task of a plan, in its order; whoever joins comes after whoever adds up."""
    for setting in plan:
        for estimators_together in _together(setting):
            own = set(estimators_together)
            cells = [cell for cell in setting.cells if cell.estimator.label in own]
            yield from _measuring(setting, cells)
        yield from _packed(AscentTask, setting, setting.ascents)


def largest_memory(setting: Setting, prepared: Prepared) -> float:
    """Bytes that the largest task of a setting takes, about; first portions are whole."""
    largest = 0.0
    for task in tasks([setting]):
        if not (isinstance(task, PortionTask) and task.portion.first):
            largest = max(largest, task.memory(prepared))
    return largest


def _together(setting: Setting) -> list[list[str]]:
    """Labels of estimators whose cells are together.

    Users' ones are apart, and in large cells functions of batches, which are slow.
    """
    every = setting.grid.estimators
    own = [e.label for e in every if is_added(e.name)]
    cut = any(setting.portions(batch_size) for batch_size in setting.grid.batch_sizes)
    slow = [e.label for e in every if cut and _is_batch(e.name) and e.label not in set(own)]
    others = [e.label for e in every if e.label not in {*own, *slow}]
    starts = range(0, len(slow), BATCHES_TOGETHER)
    groups = [others, own, *(slow[i : i + BATCHES_TOGETHER] for i in starts)]
    return [group for group in groups if group]


def _is_batch(name: str) -> bool:
    return isinstance(estimators()[name], BatchEstimator)


def _measuring(setting: Setting, cells: Sequence[Cell]) -> Iterator[Task]:
    """Tasks of cells, small batch sizes together, those of large cells cut."""
    cells = sorted(cells, key=lambda cell: cell.batch_size)
    whole = [cell for cell in cells if not setting.portions(cell.batch_size)]
    yield from _packed(MeasureTask, setting, whole)
    for batch_size, same in groupby(cells[len(whole) :], key=lambda cell: cell.batch_size):
        large, portions = list(same), setting.portions(batch_size)
        for portion in portions:
            yield PortionTask(setting, large, portion=portion)
        if any(_is_batch(cell.estimator.name) for cell in large):
            for portion in portions:
                yield CentredTask(setting, large, portion=portion, portions=portions)
        for cell in large:
            yield JoinTask(setting, [cell], portions=portions)


def _packed(
    kind: type[MeasureTask] | type[AscentTask], setting: Setting, cells: Sequence[Any]
) -> Iterator[Task]:
    """Tasks of consecutive cells that take about ``TASK_STEPS``, or of one batch size."""
    held: list[Any] = []
    for _, same in groupby(cells, key=lambda cell: getattr(cell, "batch_size", cell.key)):
        more = list(same)
        if held and kind(setting, [*held, *more]).work > TASK_STEPS:
            yield kind(setting, held)
            held = []
        held += more
    if held:
        yield kind(setting, held)


def unfinished(
    every: Iterable[Task], records: Mapping[str, JournalRecord], portions: Container[str] = ()
) -> list[Task]:
    """What is left of tasks; the first of a setting asks for its exact quantities if missing."""
    left = [own for task in every if (own := task.left(records, portions)) is not None]
    known = set(records)
    for place, task in enumerate(left):
        if task.setting.key not in known:
            known.add(task.setting.key)
            left[place] = replace(task, unknown=True)
    return left


@dataclass(frozen=True)
class Shard:
    """Every n-th task, from the i-th on: what one machine of n does by hand.

    What waits for portions is left out of the count: it is done wherever those are.
    """

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ValueError(f"shard {self.number}/{self.of}: must be between 1 and {self.of}")

    @classmethod
    def of_text(cls, text: str) -> "Shard":
        """The shard of a text such as 2/5; ValueError for any other."""
        number, _, count = text.partition("/")
        if not all(part.isascii() and part.isdigit() for part in (number, count)):
            raise ValueError(f"shard {text!r}: must be I/N, such as 2/5")
        return cls(int(number), int(count))

    def chosen(self, every: Iterable[Task]) -> Iterator[Task]:
        """Its own tasks."""
        place = 0
        for task in every:
            if task.stage > 1:
                yield task
                continue
            if place % self.of == self.number - 1:
                yield task
            place += 1
