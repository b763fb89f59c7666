"""The one consumer of a run's records: they go to the journal, what they say to the progress."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pgbench.declared.outcomes import Status
from pgbench.harness.progress import Progress
from pgbench.results.journal import Journal, JournalRecord


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
    progress: Progress
    replicates: int
    steps: float = 0.0

    def write(self, batch: Sequence[JournalRecord]) -> None:
        """Journal records of one kind and status; when this returns they are on disk."""
        self.journal.append(batch)
        first = batch[0]
        if first["kind"] == "setting":
            return
        status = Status.of(first["status"])
        if status is not Status.DONE:
            self.progress.problem(len(batch), status.word, first["message"])
            return
        steps = self._steps(first)
        self.steps += steps
        self.progress.batch(len(batch), steps)

    def _steps(self, record: JournalRecord) -> float:
        """Steps that a batch took, by its first record: cells of a batch share trajectories."""
        if record["kind"] == "ascent":
            taken = record["arrays"]["environment_steps"]
            return float(np.nansum(np.nanmax(taken, axis=1, initial=0.0)))
        return float(record["values"]["steps"] * self.replicates)
