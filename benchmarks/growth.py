"""What publishing a large run takes: ``python -m benchmarks.growth --cells 100000``.

The journal of a large grid is made from a small one: a setting of every size of problem and every
policy is measured, and its records stand for those of all other instances, under their keys. Every
stage is done in a process of its own; *peak* is the largest resident memory of that process so far.
"""

import argparse
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.revisions import find

POLICIES = (
    "softmax",
    "direct",
    *(f"{{policy: loglinear, n_features: {n}}}" for n in (4, 8, 16)),
)
ESTIMATORS = (
    "reinforce",
    "{estimator: reinforce, baseline: objective}",
    "reward_to_go",
    "{estimator: reward_to_go, discounted: false}",
    "baseline_value",
    "q_oracle",
    "advantage_oracle",
    "td",
    "rloo",
    "{estimator: gae, lam: 0.9, critic_noise: 0.5}",
    "{estimator: gae, lam: [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.97, 0.98, 0.99, 1]}",
)
BATCH_SIZES = tuple(2**k for k in range(10))
SIZES = (4, 8, 12, 16)
"""Numbers of states, of 4 actions each."""

PER_POLICY = 20 * len(BATCH_SIZES)

Row = tuple[str, float, float, float]
"""A stage, its seconds by the clock and of the processor, and GiB at the peak so far."""


def grid_text(cells: int) -> str:
    """A grid of about so many cells, 200 at least: up to five policies, then problems.

    Problems are garnets of four sizes in as many instances as it takes.
    """
    policies = POLICIES if cells >= PER_POLICY * len(POLICIES) else POLICIES[:1]
    problems = max(cells // (PER_POLICY * len(policies)), 1)
    sizes = SIZES[:problems]
    return f"""
name: growth
problems: [{{problem: garnet, n_states: {list(sizes)}, gamma: 0.9,
             instances: {problems // len(sizes)}}}]
policies: [{", ".join(policies)}]
estimators: [{", ".join(ESTIMATORS)}]
batch_sizes: {list(BATCH_SIZES)}
replicates: 100
"""


def make_run(cells: int, output: Path) -> Path:
    """The directory of a run of ``grid_text``, finished but for its dataset."""
    parse_grid = find("grid.reader.parse_grid")
    grid = parse_grid(grid_text(cells))
    small = parse_grid(_single_instances(grid.text))
    measured = find("harness.runner.execute")(small, output / "measured")
    journal = find("results.journal.Journal").read(measured.directory)
    directory = output / grid.name
    directory.mkdir()
    large = find("harness.directory.open_journal")(grid, directory)
    for records in copies(grid, small, journal.records):
        large.append(records)
    large.append(journal.executions)
    return directory


def _single_instances(text: str) -> str:
    line = next(line for line in text.splitlines() if "instances:" in line)
    return text.replace(line, "             instances: 1}]")


def copies(grid, small, records) -> Iterator[list[dict]]:
    """The records of every setting of a grid: those of its first instance, under its own keys."""
    settings = find("grid.plan.settings")
    known = {_kind(setting): setting for setting in settings(small)}
    for setting in settings(grid):
        source = known[_kind(setting)]
        pairs = [(setting.key, source.key)]
        pairs += [
            (own.key, cell.key) for own, cell in zip(setting.cells, source.cells, strict=True)
        ]
        yield [{**records[old], "key": new} for new, old in pairs]


def _kind(setting) -> tuple:
    return setting.problem.values["n_states"], setting.policy.label


class Clock:
    """Rows of stages as they end."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def __call__(self, stage: str, function: Callable, *arguments):
        """What the function returns; its time and the memory so far become a row."""
        wall, cpu = perf_counter(), process_time()
        result = function(*arguments)
        self.rows.append((stage, perf_counter() - wall, process_time() - cpu, peak_gib()))
        return result


def peak_gib() -> float:
    """Largest resident memory of this process so far, GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30


def publish(directory: Path) -> list[Row]:
    """From the text of the grid and the journal to the dataset on disk."""
    parse_grid, settings = find("grid.reader.parse_grid"), find("grid.plan.settings")
    clock = Clock()
    journal = clock("read the journal", find("results.journal.Journal").read, directory)
    grid = clock("read the grid", parse_grid, journal.grids[-1]["text"])
    clock("plan", lambda: [cell.key for s in settings(grid) for cell in s.cells])
    tree = clock("build", find("results.build.build"), grid, journal)
    clock("write", find("results.dataset.write"), tree, directory)
    return clock.rows


READ = find("results.dataset.read_noted", "results.dataset.read")
"""Reads the dataset, with notes."""


def look_at(directory: Path) -> list[Row]:
    """The dataset read back, and printed as ``show`` prints it."""
    clock = Clock()
    tree, _ = clock("read back", READ, directory)
    of_results, show = find("cli.results_table.of_results"), find("cli.tables.show")
    with redirect_stdout(StringIO()):
        clock("show", lambda: show(of_results(tree.to_dataset())[0], None))
    return clock.rows


def report(directory: Path) -> list[Row]:
    """The report drawn from the dataset."""
    tree, _ = READ(directory)
    clock = Clock()
    clock("report", find("report.write_report"), tree, directory / "report")
    return clock.rows


STAGES = (publish, look_at, report)


def alone(function: Callable, *arguments):
    """What a function returns in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    """Make the run, measure every stage, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100_000, help="default: 100 000")
    parser.add_argument("--keep", type=Path, help="a directory for the run; default: none is kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        output = options.keep or Path(temporary)
        output.mkdir(parents=True, exist_ok=True)
        directory = output / "growth"
        if not directory.exists():
            alone(make_run, options.cells, output)
        print(f"{'stage':20}{'s':>10}{'CPU s':>10}{'GiB':>10}")
        for stage in STAGES:
            for name, wall, cpu, gib in alone(stage, directory):
                print(f"{name:20}{wall:10.1f}{cpu:10.1f}{gib:10.2f}", flush=True)
        for file in sorted(directory.rglob("*")):
            if file.is_file() and file.suffix in (".jsonl", ".nc", ".html"):
                print(f"{file.name:20}{file.stat().st_size / 2**20:10.1f} MiB")


if __name__ == "__main__":
    main()
