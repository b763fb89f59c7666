"""Runs that are interrupted."""

from pgbench.harness.progress import Silent


class StopAfter(Silent):
    """Interrupts a run after some batches of cells, as ^C would."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def batch(self, n_cells: int, steps: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
