"""What a contender is: a function that takes the steps, and what it needs to be there."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True)
class Contender:
    """One way to compute the workload.

    Attributes
    ----------
    name, title
        As in ``--only``, and as in the table.
    make
        Workload → (n, seed) → (S, A) float64, the sum over n trajectories. Tables are made and code
        is compiled before the first call returns.
    batch
        n is a multiple of this.
    check_batches
        Batches per call of the check; gradients need more than weights, which are less noisy.
    threads
        Numbers of threads it is timed with.
    gives
        "weights" (W) or "gradient" (its pull-back to θ).
    largest
        Number of states above which it is too slow to be worth the wait.
    packages
        What must be installed.
    missing
        A function that says what else is missing, or returns an empty text.
    """

    name: str
    title: str
    make: Callable
    batch: int
    check_batches: int = 1
    threads: tuple[int, ...] = (1,)
    gives: str = "weights"
    largest: int = 10**9
    packages: tuple[str, ...] = ()
    missing: Callable[[], str] = lambda: ""

    def absence(self):
        """Why it cannot run here and what to do about it, or an empty text."""
        absent = [package for package in self.packages if find_spec(package) is None]
        return (
            f"needs {', '.join(absent)}: pip install {' '.join(absent)}"
            if absent
            else self.missing()
        )
