"""Start-up: imports in a fresh interpreter, and commands as a user sees them, cold and warm."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep

GRID = """
name: small
problems: [{problem: garnet, n_states: 20, gamma: 0.9}, {problem: gridworld, size: 4, gamma: 0.9}]
estimators: [reinforce, baseline_value, {estimator: gae, lam: 0.95}]
batch_sizes: [1, 16]
replicates: 100
"""

GRID_FILE = str(Path(__file__).parents[1] / "grid.yaml")
"""The shipped grid."""

# -P: the installed package, whatever the working directory holds.
PGBENCH = [sys.executable, "-P", "-m", "pgbench"]


class Imports:
    """Seconds in a fresh interpreter; what asv itself has imported does not count."""

    def timeraw_pgbench(self):
        """``import pgbench``, which loads nothing heavy."""
        return "import pgbench"

    def timeraw_sampling(self):
        """``pgbench.sample_gradients`` imported, with numpy and scipy but without numba."""
        return "from pgbench import sample_gradients"

    def timeraw_kernels(self):
        """``import pgbench.kernels.streams``, with numba; nothing is compiled yet."""
        return "import pgbench.kernels.streams"


class Help:
    """Wall time of the command line's help, start of the interpreter included."""

    number = 1

    def time_help(self):
        """Seconds for ``python -m pgbench --help``."""
        _pgbench("--help")


class Run:
    """Wall time of ``python -m pgbench`` on a grid of 12 cells, as processes.

    *Cold* is the first run of a user: no cache of any kind, so that kernels are compiled and fonts
    are looked up. *Warm* is every later run, with the caches of the cold one.
    """

    number = 1
    rounds = 1
    warmup_time = 0
    repeat = 2
    timeout = 120

    def setup_cache(self):
        """The cold run: its seconds, and the directory with its caches and results."""
        directory = Path.cwd() / "cold"
        directory.mkdir()
        (directory / "grid.yaml").write_text(GRID)
        begin = perf_counter()
        _run(directory, directory)
        return perf_counter() - begin, directory

    setup_cache.timeout = 600

    def setup(self, cold):
        self.results = tempfile.TemporaryDirectory()

    def teardown(self, cold):
        self.results.cleanup()

    def track_cold(self, cold):
        """Seconds for the first run, compiling and the report included."""
        return round(cold[0], 3)

    track_cold.unit = "s"

    def time_warm(self, cold):
        """Seconds for a later run, the report included."""
        _run(cold[1], Path(self.results.name))

    def time_warm_no_report(self, cold):
        """Seconds for a later run with ``--no-report``."""
        _run(cold[1], Path(self.results.name), "--no-report")


class FirstCell:
    """How long a user waits for the first number of the shipped grid, with no cache of any kind."""

    number = 1
    rounds = 1
    timeout = 600

    def track_first_cell(self):
        """Seconds until the first cell is in the journal, imports and compiling included.

        One that was measured: what cannot be, for want of Gymnasium, is there at once.
        """
        with tempfile.TemporaryDirectory() as directory:
            place, begin = Path(directory), perf_counter()
            run = subprocess.Popen(
                [*PGBENCH, "run", GRID_FILE, "--quiet", "--no-report", "--output", str(place)],
                env=os.environ | _caches(place / "caches"),
            )
            journal = place / "demo" / "journal.jsonl"
            while not (journal.exists() and _has_measured(journal)):
                assert run.poll() is None
                sleep(0.02)
            seconds = perf_counter() - begin
            run.terminate()
            run.wait()
        return round(seconds, 3)

    track_first_cell.unit = "s"


def _has_measured(journal):
    cells = (line for line in journal.read_bytes().splitlines() if b'"kind":"cell"' in line)
    return any(b'"status":"done"' in line for line in cells)


def _caches(directory):
    """Variables that let every cache lie in a directory."""
    return {name: str(directory) for name in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}


def _run(cold, output, *options):
    """Run the grid in ``cold``, with the caches there, and check that no cell failed."""
    places = ["--output", output / "results", "--reports", output / "reports"]
    caches = _caches(cold / "caches")
    _pgbench("run", cold / "grid.yaml", "--quiet", *places, *options, **caches)


def _pgbench(*arguments, **environment):
    """Run a command; CalledProcessError if it fails."""
    subprocess.run(
        [*PGBENCH, *map(str, arguments)],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | environment,
    )
