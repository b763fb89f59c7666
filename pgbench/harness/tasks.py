"""What is to do of a grid: its plan less what is finished."""

from collections.abc import Mapping
from dataclasses import dataclass

from pgbench.declared.outcomes import Status
from pgbench.grid.plan import AscentCell, Cell, Setting, work
from pgbench.results.journal import JournalRecord

FINISHED = frozenset({Status.DONE.word, Status.SKIPPED.word})
"""Cells with such a record do not run again; failed ones do."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is to do in a setting: cells, ascents, and whether its exact quantities are missing."""

    setting: Setting
    cells: list[Cell]
    ascents: list[AscentCell]
    unknown: bool

    @property
    def pending(self) -> list[Cell | AscentCell]:
        """Cells and ascents."""
        return [*self.cells, *self.ascents]

    @property
    def work(self) -> float:
        """About how many environment steps it takes."""
        return work(self.setting, self.cells, ascents=self.ascents)


def unfinished(plan: list[Setting], records: Mapping[str, JournalRecord]) -> list[Task]:
    """A task for every setting of a plan in which records say that something is left to do."""
    finished = {key for key, record in records.items() if record.get("status") in FINISHED}
    tasks = [
        Task(
            setting,
            [cell for cell in setting.cells if cell.key not in finished],
            [cell for cell in setting.ascents if cell.key not in finished],
            setting.key not in records,
        )
        for setting in plan
    ]
    return [task for task in tasks if task.pending]
