"""Run a grid: skip what is finished, measure the rest, keep every record, publish the dataset."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgbench.declared.outcomes import Status
from pgbench.grid.grid import Grid
from pgbench.grid.plan import settings
from pgbench.grid.reader import read_grid
from pgbench.harness.ascents import warm_up as warm_up_ascents
from pgbench.harness.directory import claimed, open_journal
from pgbench.harness.measuring import Conditions, measured
from pgbench.harness.progress import Progress, Silent
from pgbench.harness.provenance import provenance
from pgbench.harness.signals import stoppable
from pgbench.harness.tasks import Task, unfinished
from pgbench.harness.writer import Writer
from pgbench.kernels.blas import single_threaded_blas
from pgbench.measure.cells import warm_up
from pgbench.policies import kinds
from pgbench.problems import FiniteMDP, LinearQuadratic
from pgbench.results.journal import Journal
from pgbench.rollout.device import Device, find_device

if TYPE_CHECKING:
    from xarray import DataTree


class Interrupted(KeyboardInterrupt):
    """The run was told to stop; what was finished is kept and published."""


@dataclass(frozen=True)
class RunResult:
    """What a run left behind: the dataset, its directory, and how many cells did what."""

    tree: "DataTree"
    directory: Path
    measured: int
    reused: int
    failed: int
    skipped: int


def run(grid: "Grid | str | Path", output: str | Path = "results", **options: Any) -> "DataTree":
    """Run a grid and return its dataset; the same as ``python -m pgbench run``.

    Parameters
    ----------
    grid
        A file name or a Grid.
    output
        Directory for results; the run's own is ``output/<name>``.
    options
        ``threads``, ``memory_bytes`` and ``device`` as in ``execute``.

    Returns
    -------
    xarray.DataTree
        The summary at the root and maps below; variables as in ``declared.summary.SUMMARY``.

    Raises
    ------
    ValueError
        For a wrong grid, or an output directory or a device that cannot be used. Failed cells do
        not raise; they have status 2 and a message.
    """
    if not isinstance(grid, Grid):
        grid = read_grid(grid)
    return execute(grid, Path(output), **options).tree


def execute(
    grid: Grid,
    output: Path,
    *,
    threads: int | None = None,
    memory_bytes: int | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Run what is not finished yet of a grid in ``output/<name>``.

    Parameters
    ----------
    threads
        Number of threads of parallel kernels, default all cores; no result depends on it.
    memory_bytes
        Bound on weights held at a time; no result depends on it.
    device
        Where rollouts of table estimators run, ``cpu``, ``cuda`` or ``auto``, in place of what the
        grid says. Results differ by rounding.
    progress
        Where to report, default nowhere.

    Raises
    ------
    DeviceError
        If the device cannot be used; it says what to install.
    OutputError
        If the directory holds something else, cannot be written, or is in use by another run.
    Interrupted
        On SIGINT, SIGTERM or SIGHUP, after the partial results were published.
    """
    progress = progress or Silent()
    where = find_device(device or grid.device)
    directory = output / grid.name
    with claimed(directory), single_threaded_blas(), stoppable(patient=True) as stop:
        journal = open_journal(grid, directory)
        for note in filter(None, [*journal.notes, where.note]):
            progress.note(note)
        plan = settings(grid)
        tasks = unfinished(plan, journal.records)
        pending = [cell.key for task in tasks for cell in task.pending]
        writer = Writer(journal, progress, grid.replicates)
        try:
            if tasks:
                _work_off(tasks, writer, threads, memory_bytes, where)
            stop.hold()
        except KeyboardInterrupt:
            stop.asked = True
        progress.phase("writing results")
        tree = _publish(grid, journal, directory)
        if stop.asked:
            done = _count(journal, pending, Status.DONE)
            raise Interrupted(f"{done} cells measured before the interruption")
    planned = [cell.key for setting in plan for cell in setting.cells]
    planned += [cell.key for setting in plan for cell in setting.ascents]
    return RunResult(
        tree=tree,
        directory=directory,
        measured=_count(journal, pending, Status.DONE),
        reused=len(planned) - len(pending),
        failed=_count(journal, planned, Status.FAILED),
        skipped=_count(journal, planned, Status.SKIPPED),
    )


def _count(journal: Journal, keys: Sequence[str], status: Status) -> int:
    """How many of the cells have a status."""
    found = [journal.records.get(key, {}).get("status") for key in keys]
    return found.count(status.word)


def _work_off(
    tasks: Sequence[Task],
    writer: Writer,
    threads: int | None,
    memory_bytes: int | None,
    device: Device,
) -> None:
    """Write the records of all tasks, and at last by what and in how long they were made."""
    from pgbench.kernels.partition import use_threads

    begin, used = time.perf_counter(), 0
    try:
        used = use_threads(threads)
        _compile(tasks, writer.progress, device)
        _write_all(tasks, writer, Conditions(used, memory_bytes, device))
    finally:
        seconds = time.perf_counter() - begin
        attributes = provenance(used, seconds, writer.steps, device.name)
        writer.journal.append([{"kind": "execution", "attributes": attributes}])


def _compile(tasks: Sequence[Task], progress: Progress, device: Device) -> None:
    """Compile or load the kernels that tasks use."""
    from pgbench.kernels.jit import CACHE_DIRECTORY

    if CACHE_DIRECTORY is None:
        progress.note(
            "compiled kernels are not kept: neither NUMBA_CACHE_DIR nor the user's cache nor"
            " the temporary directory can be written to"
        )
    progress.phase("compiling kernels")
    begin = time.perf_counter()
    classes = {kinds()[task.setting.policy.name].on for task in tasks}
    warm_up(LinearQuadratic in classes, device)
    climbing = {cell.climber.algorithm.name for task in tasks for cell in task.ascents}
    if climbing and FiniteMDP in classes:
        warm_up_ascents(climbing)
    progress.compiled(time.perf_counter() - begin)


def _write_all(tasks: Sequence[Task], writer: Writer, conditions: Conditions) -> None:
    """Write every record as it is made."""
    progress = writer.progress
    total = sum(task.work for task in tasks)
    progress.start(len(tasks), sum(len(task.pending) for task in tasks), total)
    for task, batches in measured(tasks, conditions):
        progress.setting(task.setting.label, len(task.pending))
        for batch in batches:
            writer.write(batch)
        progress.done(task.work)


def _publish(grid: Grid, journal: Journal, directory: Path) -> "DataTree":
    from pgbench.results.build import build
    from pgbench.results.dataset import write

    tree = build(grid, journal)
    write(tree, directory)
    return tree
