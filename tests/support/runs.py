"""Runs that are interrupted, and runs of which no dataset is written."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from pgbench.harness.progress import Silent


@contextmanager
def unpublished() -> Iterator[None]:
    """Runs keep a journal and give a dataset, but do not write it: that takes longer than they."""
    with pytest.MonkeyPatch.context() as patch:
        for place in ("pgbench.harness.runner", "pgbench.results.dataset"):
            patch.setattr(f"{place}.write", lambda tree, directory: directory / "results.nc")
        yield


class StopAfter(Silent):
    """Interrupts a run after some batches of cells, as ^C would."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def batch(self, n_cells: int, steps: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class Ordering(Silent):
    """Sends this process signals: after batches of cells by number, and as results are written."""

    def __init__(
        self, batches: Mapping[int, signal.Signals], writing: tuple[signal.Signals, ...] = ()
    ) -> None:
        self.batches, self.writing = batches, writing
        self.count = 0

    def batch(self, n_cells: int, steps: float) -> None:
        self.count += 1
        if self.count in self.batches:
            os.kill(os.getpid(), self.batches[self.count])

    def phase(self, name: str) -> None:
        if name == "writing results":
            for number in self.writing:
                os.kill(os.getpid(), number)
