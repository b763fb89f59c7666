"""The one consumer of a run's records: they go to the journal, what they say to the progress."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pgbench.declared.outcomes import Status
from pgbench.harness.measuring import RecordBatch
from pgbench.harness.performing import Performed
from pgbench.harness.progress import Progress
from pgbench.harness.tasks import Task
from pgbench.results.journal import Journal
from pgbench.results.lines import JournalRecord
from pgbench.results.portions import Portions


@dataclass
class _Tally:
    """What was seen of a setting so far: tasks left, seconds, steps, and cells lost by reason."""

    left: int = 0
    seconds: float = 0.0
    steps: float = 0.0
    lost: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))


@dataclass
class Writer:
    """Writes batches of records.

    Attributes
    ----------
    replicates
        Estimates per cell.
    steps
        Environment steps that everything written so far took.
    """

    journal: Journal
    portions: Portions
    progress: Progress
    replicates: int
    steps: float = 0.0
    _held: list[tuple[Task, RecordBatch]] = field(default_factory=list)
    _tallies: dict[str, _Tally] = field(default_factory=lambda: defaultdict(_Tally))

    def write_all(self, tasks: Sequence[Task], performed: Iterable[Performed]) -> None:
        """Write the records of tasks as they are made."""
        for task in tasks:
            self._tallies[task.setting.label].left += 1
        n_cells = sum(len(task.cells) for task in tasks if task.finishes)
        total = sum(task.effort for task in tasks)
        self.progress.start(len(self._tallies), n_cells, total)
        try:
            for done in performed:
                for batch in done.batches:
                    self._held.append((done.task, batch))
                    if not done.more:
                        self._flush()
                if not done.more:
                    self._flush()
                self._finish(done)
        finally:
            self._flush()

    def _flush(self) -> None:
        """Keep the batches that are held; when this returns they are on disk, and counted."""
        held, self._held = self._held, []
        records = [record for _, batch in held for record in batch]
        portions = [record for record in records if record["kind"] == "portion"]
        others = [record for record in records if record["kind"] != "portion"]
        if portions:
            self.portions.append(portions)
        if others:
            self.journal.append(others)
        for task, batch in held:
            self._take(task, batch)

    def _take(self, task: Task, batch: RecordBatch) -> None:
        """Count records of one kind and status."""
        first, tally = batch[0], self._tallies[task.setting.label]
        if first["kind"] == "portion":
            self._count(tally, 0, _steps(first))
            return
        if first["kind"] == "setting":
            return
        status = Status.of(first["status"])
        if status is not Status.DONE:
            for record in batch:
                tally.lost[status.word, record["message"]].add(record["key"])
            return
        steps = 0.0 if "portions" in first else _steps(first, self.replicates)
        self._count(tally, len(batch), steps)

    def _count(self, tally: _Tally, n_cells: int, steps: float) -> None:
        self.steps += steps
        tally.steps += steps
        self.progress.batch(n_cells, steps)

    def _finish(self, done: Performed) -> None:
        label = done.task.setting.label
        tally = self._tallies[label]
        tally.left -= 1
        tally.seconds += done.seconds
        self.progress.advance(done.task.effort)
        if tally.left == 0:
            for (status, message), keys in tally.lost.items():
                self.progress.problem(label, len(keys), status, message)
            self.progress.done(label, tally.seconds, tally.steps)


def _steps(record: JournalRecord, replicates: int = 0) -> float:
    """Steps that a batch took, by its first record: cells of a batch share trajectories."""
    if record["kind"] == "ascent":
        taken = record["arrays"]["environment_steps"]
        return float(np.nansum(np.nanmax(taken, axis=1, initial=0.0)))
    if record["kind"] == "portion":
        arrays = record["arrays"]
        return float(arrays["scalars"][:, 4].sum()) if "scalars" in arrays else 0.0
    return float(record["values"]["steps"] * replicates)
