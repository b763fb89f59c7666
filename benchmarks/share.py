"""Where the time of a run goes: ``python -m benchmarks.share [grid.yaml]``.

Runs the grid once, into a temporary directory, in this process and on one thread, and looks at the
Python stack every two milliseconds; what an earlier run has not compiled counts as well. The time
since the last look goes to the innermost part of the package on the stack; compiled code is looked
at when it returns.
"""

import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from time import perf_counter

import pgbench

INTERVAL = 0.002
PARTS = {
    "kernels": "kernels",
    "exact": "exact solves",
    "problems": "exact solves",
    "policies": "policies (pull-back)",
    "statistics": "statistics",
    "report": "report",
    "results": "dataset and journal",
}
PACKAGE = str(Path(pgbench.__file__).parent) + "/"


def part(frame):
    """The part of the package that is innermost on the stack."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(PACKAGE):
            head = name.removeprefix(PACKAGE).split("/")[0]
            if head in PARTS:
                return PARTS[head]
        frame = frame.f_back
    return "the rest"


class Watch:
    """Seconds per part while it is entered."""

    def __init__(self):
        self.seconds = Counter()

    def look(self, _signal, frame):
        """Give the time since the last look to what runs now."""
        now = perf_counter()
        self.seconds[part(frame)] += now - self._last
        self._last = now

    def __enter__(self):
        self._last = perf_counter()
        self._before = signal.signal(signal.SIGALRM, self.look)
        signal.setitimer(signal.ITIMER_REAL, INTERVAL, INTERVAL)
        return self

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)


def main():
    """Run the grid and print the table."""
    from pgbench.report import write_report

    grid = sys.argv[1] if len(sys.argv) > 1 else "grid.yaml"
    with tempfile.TemporaryDirectory() as directory, Watch() as watch:
        tree = pgbench.run(grid, output=directory, threads=1)
        measuring = Counter(watch.seconds)
        write_report(tree, Path(directory) / "report")
    for title, seconds in (("measuring", measuring), ("with the report", watch.seconds)):
        total = sum(seconds.values())
        print(f"{title}: {total:.1f} s")
        for name, own in seconds.most_common():
            print(f"  {name:24}{own:8.2f} s{100 * own / total:7.1f} %")


if __name__ == "__main__":
    main()
