"""What is to do of a grid: tasks, each of which can be done by anybody, less what is finished.

A task is a recipe, names and numbers but no arrays, and gives records. Cells of one setting that
take little together are one task; a large cell is a task for every portion of its replicates, and
one that joins their sums.
"""

from abc import ABC, abstractmethod
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, ClassVar

from pgbench.declared.outcomes import Status
from pgbench.estimators import TableEstimator, estimators
from pgbench.grid.plan import AscentCell, Cell, Portion, Setting, work
from pgbench.results.journal import JournalRecord

FINISHED = frozenset({Status.DONE.word, Status.SKIPPED.word})
"""Cells with such a record do not run again; failed ones do."""

TASK_STEPS = 2**24
"""Cells are put together to tasks of about so many environment steps at most."""

BATCH_STEP = 20
"""A step of a function of batches takes as long as so many of the compiled kernels."""


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

    @property
    @abstractmethod
    def work(self) -> float:
        """About how many environment steps it takes."""

    @property
    def name(self) -> str:
        """What it is about, in words."""
        return self.setting.label

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


@dataclass(frozen=True, eq=False)
class PortionTask(Task):
    """Add up the estimates of large cells of one batch size over a portion of the replicates."""

    cells: Sequence[Cell]
    portion: Portion = field(kw_only=True)
    finishes = False

    @property
    def work(self) -> float:
        """About how many environment steps it takes."""
        each = self.setting.planned_horizon * self.cells[0].batch_size
        return float(each * self.portion.replicates)

    def left(self, records: Mapping[str, JournalRecord], portions: Container[str]) -> Task | None:
        """What records and portions say is left to do of it, or None."""
        task = super().left(records, portions)
        cells = [c for c in task.cells if self.key(c) not in portions] if task else []
        return replace(self, cells=cells) if cells else None

    def key(self, cell: Cell) -> str:
        """Key of the record of a cell's portion."""
        return self.setting.portion_key(cell, self.portion)


@dataclass(frozen=True, eq=False)
class JoinTask(Task):
    """Make the record of a large cell from the sums of its portions."""

    cells: Sequence[Cell]
    portions: Sequence[Portion] = field(kw_only=True)

    @property
    def work(self) -> float:
        """Next to nothing."""
        return 0.0

    @property
    def keys(self) -> list[str]:
        """Keys of the records of the portions, in order."""
        (cell,) = self.cells
        return [self.setting.portion_key(cell, portion) for portion in self.portions]


class AscentTask(Task):
    """Run ascents."""

    cells: Sequence[AscentCell]

    @property
    def work(self) -> float:
        """About how many environment steps it takes."""
        return work(self.setting, (), self.cells)


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


def _together(setting: Setting) -> list[list[str]]:
    """Labels of estimators whose cells may be in one task: functions of batches apart if slow."""
    every = setting.grid.estimators
    tables = [e.label for e in every if isinstance(estimators()[e.name], TableEstimator)]
    batches = [e.label for e in every if e.label not in set(tables)]
    largest = max(setting.grid.batch_sizes, default=1) * setting.planned_horizon
    fitting = TASK_STEPS // (BATCH_STEP * largest * setting.grid.replicates)
    if fitting >= len(batches):
        return [[e.label for e in every]] if every else []
    size = max(1, fitting)
    apart = [batches[i : i + size] for i in range(0, len(batches), size)]
    return [tables, *apart] if tables else apart


def _measuring(setting: Setting, cells: Sequence[Cell]) -> Iterator[Task]:
    """Tasks of cells, small batch sizes together, those of large cells cut."""
    cells = sorted(cells, key=lambda cell: cell.batch_size)
    whole = [cell for cell in cells if not setting.portions(cell.batch_size)]
    yield from _packed(MeasureTask, setting, whole)
    for batch_size, same in groupby(cells[len(whole) :], key=lambda cell: cell.batch_size):
        large, portions = list(same), setting.portions(batch_size)
        for portion in portions:
            yield PortionTask(setting, large, portion=portion)
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

    Joins are left out of the count: they are done wherever all portions are.
    """

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ValueError(f"shard {self.number}/{self.of}: must be between 1 and {self.of}")

    def chosen(self, every: Iterable[Task]) -> Iterator[Task]:
        """Its own tasks."""
        place = 0
        for task in every:
            if isinstance(task, JoinTask):
                yield task
                continue
            if place % self.of == self.number - 1:
                yield task
            place += 1
