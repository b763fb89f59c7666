"""Run a grid: skip what is finished, measure the rest, keep every record, publish the dataset."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgbench.declared.outcomes import Status
from pgbench.grid.grid import Grid
from pgbench.grid.plan import settings
from pgbench.grid.reader import grid_of
from pgbench.harness.beside import on_this_machine
from pgbench.harness.cluster.on_worker import ClusterError
from pgbench.harness.cluster.performer import by_workers
from pgbench.harness.cluster.workers import Workers
from pgbench.harness.directory import claimed, open_journal
from pgbench.harness.measuring import Conditions
from pgbench.harness.performing import MakePerformer, Order, Performed, Performer
from pgbench.harness.progress import Progress, Silent, duration, showing
from pgbench.harness.provenance import provenance
from pgbench.harness.signals import Stop, stoppable
from pgbench.harness.tasks import Shard, Task, tasks, unfinished
from pgbench.harness.writer import Writer
from pgbench.kernels.blas import single_threaded_blas
from pgbench.measure.forecast import require_confirmed
from pgbench.policies import kinds

# At the outset: after measuring there may be no memory left to load a module.
from pgbench.results.build import build
from pgbench.results.dataset import write
from pgbench.results.files import OutputError
from pgbench.results.journal import Journal
from pgbench.results.portions import Portions
from pgbench.rollout.device import Device, find_device

if TYPE_CHECKING:
    from xarray import DataTree


WHOLE = Shard()
"""All tasks."""


class Interrupted(KeyboardInterrupt):
    """The run was told to stop; what was finished is kept and published."""


@dataclass(frozen=True)
class RunResult:
    """What a run left behind: the dataset, its directory, how many cells did what, and its time."""

    tree: "DataTree"
    directory: Path
    measured: int
    reused: int
    failed: int
    skipped: int
    seconds: float

    @property
    def first_failure(self) -> str:
        """Why cells failed, the first of the reasons; nothing if none did."""
        return next(_failures(self.tree), "")

    @property
    def sentence(self) -> str:
        """What was done, and how long that took."""
        return (
            f"{self.directory / 'results.nc'}: {self.measured} cells measured in"
            f" {duration(self.seconds)}, {self.reused} reused, {self.failed} failed,"
            f" {self.skipped} skipped"
        )


def run(
    grid: "Grid | Mapping[str, Any] | str | Path",
    output: str | Path = "results",
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    shard: str = "1/1",
    progress: bool | None = None,
    **options: Any,
) -> "DataTree":
    """Run a grid and return its dataset; the same as ``python -m pgbench run``.

    Parameters
    ----------
    grid
        A file's name, the text of one, or a mapping of what it holds, with lists for axes:
        ``{"name": "mine", "problems": "corridor", "estimators": ["rloo", "td"]}``.
    output
        Directory for results; the run's own is ``output/<name>``.
    workers, scheduler
        So many processes of this machine, or the address of a Dask scheduler whose workers share
        the work; no result depends on it. A script that starts processes needs
        ``if __name__ == "__main__"``.
    shard
        ``"i/n"`` for every n-th task from the i-th on.
    progress
        Whether to report on the way: below the cell of a notebook, on a terminal, or in lines; by
        default only in notebooks.
    options
        ``threads``, ``memory_bytes``, ``device`` and ``confirmed`` as in ``execute``.

    Returns
    -------
    xarray.DataTree
        The summary at the root and maps below; variables as in ``declared.summary.SUMMARY``.

    Raises
    ------
    ValueError
        For a wrong grid, or an output directory, a device or workers that cannot be used. Failed
        cells do not raise; they have status 2 and a message, and the first is warned of.
    """
    if workers is not None or scheduler is not None:
        options["performer"] = by_workers(Workers(workers, scheduler, options.get("threads")))
    own_shard = Shard.of_text(shard)
    with showing(progress) as shown:
        own = grid_of(grid)
        found = execute(own, Path(output), shard=own_shard, progress=shown, **options)
    if found.failed:
        told = f"{found.failed} cells failed, the first because: {found.first_failure}"
        warnings.warn(told, stacklevel=2)
    return found.tree


def execute(
    grid: Grid,
    output: Path,
    *,
    threads: int | None = None,
    memory_bytes: int | None = None,
    device: str | None = None,
    shard: Shard = WHOLE,
    performer: MakePerformer | None = None,
    set_up: Callable[[], Any] | None = None,
    confirmed: bool = False,
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
    shard
        Which of the tasks; by default all.
    performer
        Who performs them, by default this process or, where that is worth it, several of this
        machine; results do not depend on it.
    set_up
        Lets other processes know the estimators of users' files. Those are then measured in a
        child, so that a cell that ends its process, hangs or takes all memory fails alone.
    confirmed
        Whether to run what may take very long, or more memory than there is.
    progress
        Where to report, default nowhere.

    Raises
    ------
    Unconfirmed
        If the run needs to be confirmed; it says why.
    DeviceError
        If the device cannot be used; it says what to install.
    OutputError
        If the directory holds something else, cannot be written, or is in use by another run.
    ClusterError
        If the workers cannot be used or are gone, after the partial results were published.
    Interrupted
        On SIGINT, SIGTERM or SIGHUP, after the partial results were published.
    """
    progress, begin = progress or Silent(), time.perf_counter()
    where = find_device(device or grid.device)
    order = Order(Conditions(threads, memory_bytes, where), set_up)
    if not confirmed:
        require_confirmed(grid)
    directory = output / grid.name
    with claimed(directory), single_threaded_blas(), stoppable(patient=True) as stop:
        journal, portions = open_journal(grid, directory), Portions(directory)
        for note in filter(None, [*journal.notes, where.note]):
            progress.note(note)
        plan = settings(grid)
        todo = unfinished(shard.chosen(tasks(plan)), journal.records, portions)
        pending = [cell.key for task in todo for cell in task.cells if task.finishes]
        planned = [cell.key for setting in plan for cell in setting.cells]
        planned += [cell.key for setting in plan for cell in setting.ascents]
        waiting = {*pending}
        reused = _count(journal, [key for key in planned if key not in waiting], Status.DONE)
        writer = Writer(journal, portions, progress, grid.replicates)
        lost: ClusterError | None = None
        try:
            if todo:
                with (performer or on_this_machine())(order, todo) as own:
                    _work_off(todo, writer, own, where, stop)
            stop.hold()
        except KeyboardInterrupt:
            stop.asked = True
        except ClusterError as error:
            if not journal.records:  # nobody was there: nothing to publish
                raise
            lost = error
        except Exception as error:
            # What is being loaded may make an error of its own of an interruption.
            if not stop.asked or isinstance(error, OutputError):
                raise
        progress.phase("writing results")
        tree = _publish(grid, journal, directory)
        if stop.asked:
            done = _count(journal, pending, Status.DONE)
            raise Interrupted(f"{done} cells measured before the interruption")
        if lost is not None:
            raise lost
    found = RunResult(
        tree=tree,
        directory=directory,
        measured=_count(journal, pending, Status.DONE),
        reused=reused,
        failed=_count(journal, planned, Status.FAILED),
        skipped=_count(journal, planned, Status.SKIPPED),
        seconds=time.perf_counter() - begin,
    )
    progress.end(found.sentence)
    return found


def _failures(tree: "DataTree") -> Iterator[str]:
    """Why cells and ascents failed."""
    parts = [(tree.to_dataset(), "status", "message")]
    if "ascent" in tree.children:
        parts.append((tree["ascent"].to_dataset(), "ascent_status", "ascent_message"))
    for data, status, message in parts:
        if status in data:
            yield from map(str, data[message].values[data[status].values == Status.FAILED])


def _count(journal: Journal, keys: Sequence[str], status: Status) -> int:
    """How many of the cells have a status."""
    found = [journal.records.get(key, {}).get("status") for key in keys]
    return found.count(status.word)


def _work_off(
    todo: Sequence[Task], writer: Writer, performer: Performer, device: Device, stop: Stop
) -> None:
    """Write the records of all tasks, and at last by what and in how long they were made."""
    begin = time.perf_counter()
    try:
        performer.prepare(todo, writer.progress)
        performed = performer.performed(todo, writer.portions.read, writer.progress)
        writer.write_all(todo, _until(stop, performed))
    finally:
        seconds = time.perf_counter() - begin
        libraries = {kinds()[task.setting.policy.name].library for task in todo} - {""}
        attributes = provenance(
            performer.threads, seconds, writer.steps, device.name, sorted(libraries)
        )
        writer.journal.append([{"kind": "execution", "attributes": attributes}])


def _until(stop: Stop, performed: Iterator[Performed]) -> Iterator[Performed]:
    """What is performed until there is an order to stop, which users' code may have swallowed."""
    for done in performed:
        yield done
        if stop.asked:
            raise KeyboardInterrupt


def _publish(grid: Grid, journal: Journal, directory: Path) -> "DataTree":
    tree = build(grid, journal)
    write(tree, directory)
    return tree
