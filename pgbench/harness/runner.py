"""Run a grid: skip what is finished, measure the rest, keep every record, publish the dataset."""

import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pgbench.estimators import estimators
from pgbench.grid.plan import AscentCell, Cell, Prepared, Setting, make_problem, settings, work
from pgbench.grid.reader import Chosen, Grid, read_grid
from pgbench.harness.progress import Progress, Silent
from pgbench.harness.provenance import provenance
from pgbench.kernels.blas import single_threaded_blas
from pgbench.policies import NotApplicable, kinds
from pgbench.problems import FiniteMDP, LinearQuadratic, Problem
from pgbench.results.journal import NAME as JOURNAL_NAME
from pgbench.results.journal import Journal, JournalRecord, OutputError, write_file
from pgbench.rollout.device import Device, find_device
from pgbench.rollout.simulator import Draws

if TYPE_CHECKING:
    from xarray import DataTree

LOCK_NAME = ".lock"
HORIZONS_NAME = "horizons.nc"
"""The study of horizons lies beside the results and may be there before them."""


class Interrupted(KeyboardInterrupt):
    """The run was told to stop; what was finished is kept and published."""


@dataclass(frozen=True)
class Outcome:
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
) -> Outcome:
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
        On SIGINT or SIGTERM, after the partial results were published.
    """
    progress = progress or Silent()
    where = find_device(device or grid.device)
    directory = output / grid.name
    with _claimed(directory), single_threaded_blas(), _stoppable():
        journal = Journal.open(directory)
        for note in journal.notes:
            progress.note(note)
        if where.note:
            progress.note(where.note)
        contents = {problem.label: problem.content for problem in grid.problems if problem.content}
        record = {"kind": "grid", "text": grid.text, "contents": contents}
        if record not in journal.grids[-1:]:
            journal.append([record])
        write_file(directory / "grid.yaml", grid.text.encode())
        execution = _Execution(grid, journal, progress, memory_bytes, where)
        try:
            execution.run(threads)
        except KeyboardInterrupt as stop:
            _publish(grid, journal, directory)
            raise Interrupted(
                f"{execution.measured} cells measured before the interruption"
            ) from stop
        progress.phase("writing results")
        tree = _publish(grid, journal, directory)
    statuses = [journal.records.get(key, {}).get("status") for key in execution.keys]
    return Outcome(
        tree=tree,
        directory=directory,
        measured=execution.measured,
        reused=execution.reused,
        failed=statuses.count("failed"),
        skipped=statuses.count("skipped"),
    )


class _Execution:
    """One start of a run: what is pending, and the loop over it."""

    def __init__(
        self,
        grid: Grid,
        journal: Journal,
        progress: Progress,
        memory_bytes: int | None,
        device: Device,
    ) -> None:
        self.grid = grid
        self.journal = journal
        self.progress = progress
        self.memory_bytes = memory_bytes
        self.device = device
        self.threads = 0
        self.measured = 0
        self.steps = 0.0
        finished = {
            key for key, r in journal.records.items() if r.get("status") in ("done", "skipped")
        }
        self.pending: dict[Setting, tuple[list[Cell], list[AscentCell]]] = {}
        self.keys: list[str] = []
        for setting in settings(grid):
            self.keys += [cell.key for cell in setting.cells]
            self.keys += [ascent.key for ascent in setting.ascents]
            cells = [cell for cell in setting.cells if cell.key not in finished]
            ascents = [cell for cell in setting.ascents if cell.key not in finished]
            if cells or ascents:
                self.pending[setting] = cells, ascents
        self.n_pending = sum(len(cells) + len(ascents) for cells, ascents in self.pending.values())
        self.reused = len(self.keys) - self.n_pending

    def run(self, threads: int | None) -> None:
        """Measure what is pending, and note in the journal by what and how long."""
        if not self.pending:
            return
        begin = time.perf_counter()
        try:
            self._loop(threads)
        finally:
            seconds = time.perf_counter() - begin
            attributes = provenance(self.threads, seconds, self.steps, self.device.name)
            self.journal.append([{"kind": "execution", "attributes": attributes}])

    def _loop(self, threads: int | None) -> None:
        from pgbench.harness.ascents import warm_up as warm_up_ascents
        from pgbench.kernels.jit import CACHE_DIRECTORY
        from pgbench.kernels.rollout import use_threads
        from pgbench.measure.cells import warm_up

        self.threads = use_threads(threads)
        if CACHE_DIRECTORY is None:
            self.progress.note(
                "compiled kernels are not kept: neither NUMBA_CACHE_DIR nor the user's cache nor"
                " the temporary directory can be written to"
            )
        self.progress.phase("compiling kernels")
        begin = time.perf_counter()
        classes = {kinds()[policy.name].on for policy in self.grid.policies}
        warm_up(LinearQuadratic in classes, self.device)
        pending = [ascent for _, ascents in self.pending.values() for ascent in ascents]
        if pending and FiniteMDP in classes:
            warm_up_ascents({ascent.climber.algorithm.name for ascent in pending})
        self.progress.compiled(time.perf_counter() - begin)
        total = sum(
            work(setting, cells, ascents=ascents)
            for setting, (cells, ascents) in self.pending.items()
        )
        self.progress.start(len(self.pending), self.n_pending, total)
        built: Chosen | None = None
        mdp: Problem | None = None
        for setting, (cells, ascents) in self.pending.items():
            self.progress.setting(setting.label, len(cells) + len(ascents))
            try:
                if setting.problem is not built:
                    mdp, built = make_problem(setting.problem), setting.problem
                prepared = setting.prepare(mdp)
                self._record_setting(setting, prepared)
            except NotApplicable as reason:
                self._record_all([*cells, *ascents], "skipped", message=str(reason))
            except Exception as error:  # any failure belongs to the cell, not to the run
                self._record_all([*cells, *ascents], "failed", **_failure(error))
            else:
                if cells:
                    self._measure(setting, prepared, cells)
                if ascents:
                    self._climb(setting, prepared, ascents)
            self.progress.done(work(setting, cells, ascents=ascents))

    def _record_setting(self, setting: Setting, prepared: Prepared) -> None:
        from pgbench.measure.cells import exact_values

        if setting.key in self.journal.records:
            return
        exact = exact_values(prepared)
        mdp = prepared.truth.mdp
        self.journal.append(
            [
                {
                    "kind": "setting",
                    "key": setting.key,
                    "label": setting.label,
                    "problem": {**mdp.facts, "digest": mdp.digest},
                    "values": dict(exact.values),
                    "maps": dict(exact.maps),
                    "gradient_note": prepared.truth.unresolved_note,
                }
            ]
        )

    def _measure(self, setting: Setting, prepared: Prepared, cells: list[Cell]) -> None:
        """Measure the cells of a setting, one batch size at a time, all estimators together."""
        from pgbench.measure import subject as subjects
        from pgbench.measure.cells import measure

        ready: dict[str, subjects.Subject] = {}
        for label, chosen in {cell.estimator.label: cell.estimator for cell in cells}.items():
            try:
                record = estimators()[chosen.name]
                ready[label] = subjects.make_subject(prepared, record, chosen.values, self.threads)
            except NotApplicable as reason:
                self._record_all(_of(cells, label), "skipped", message=str(reason))
            except Exception as error:
                self._record_all(_of(cells, label), "failed", **_failure(error))
        cells = [cell for cell in cells if cell.estimator.label in ready]
        for batch_size in sorted({cell.batch_size for cell in cells}):
            draws = Draws(
                horizon=prepared.horizon,
                batch_size=batch_size,
                replicates=self.grid.replicates,
                seed=self.grid.seed,
                stream=setting.stream,
            )
            together = []
            for cell in (cell for cell in cells if cell.batch_size == batch_size):
                if refusal := ready[cell.estimator.label].refuses(batch_size):
                    self._record_all([cell], "skipped", message=refusal)
                else:
                    together.append(cell)
            if not together:
                continue
            own = [ready[cell.estimator.label] for cell in together]
            try:
                measurements = measure(prepared, own, draws, self.memory_bytes, self.device)
            except Exception as error:
                self._record_all(together, "failed", **_failure(error))
                continue
            self.journal.append(
                {
                    **_head(cell, "done"),
                    "values": dict(measurement.values),
                    "maps": dict(measurement.maps),
                    "exact_note": ready[cell.estimator.label].note,
                    "interval_note": measurement.note,
                    "device": measurement.device,
                }
                for cell, measurement in zip(together, measurements, strict=True)
            )
            self.measured += len(together)
            steps = measurements[0].values["steps"] * self.grid.replicates
            self.steps += steps
            self.progress.batch(len(together), steps)

    def _climb(self, setting: Setting, prepared: Prepared, cells: list[AscentCell]) -> None:
        """Run the ascents of a setting, one after another."""
        from pgbench.ascent.goal import find_goal
        from pgbench.harness.ascents import run_ascent

        goal = find_goal(prepared.truth.mdp, prepared.truth.policy)
        skipped: dict[str, list[AscentCell]] = {}
        for cell in cells:
            try:
                found = run_ascent(setting, prepared, cell, goal)
            except NotApplicable as reason:
                skipped.setdefault(str(reason), []).append(cell)
                continue
            except Exception as error:
                self._record_all([cell], "failed", **_failure(error))
                continue
            self.journal.append([{**_head(cell, "done"), **found}])
            self.measured += 1
            taken = found["arrays"]["environment_steps"]
            steps = float(np.nansum(np.nanmax(taken, axis=1, initial=0.0)))
            self.steps += steps
            self.progress.batch(1, steps)
        for message, alike in skipped.items():
            self._record_all(alike, "skipped", message=message)

    def _record_all(
        self, cells: "Sequence[Cell | AscentCell]", status: str, **details: Any
    ) -> None:
        self.journal.append({**_head(cell, status), **details} for cell in cells)
        self.progress.problem(len(cells), status, details.get("message", ""))


def _of(cells: list[Cell], label: str) -> list[Cell]:
    """The cells of one estimator."""
    return [cell for cell in cells if cell.estimator.label == label]


def _head(cell: "Cell | AscentCell", status: str) -> JournalRecord:
    return {"kind": cell.kind, "key": cell.key, "status": status, **cell.named}


def _failure(error: Exception) -> dict[str, str]:
    return {
        "message": f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)),
    }


def _publish(grid: Grid, journal: Journal, directory: Path) -> "DataTree":
    from pgbench.results.build import build
    from pgbench.results.dataset import write

    tree = build(grid, journal)
    write(tree, directory)
    return tree


@contextmanager
def _claimed(directory: Path) -> Iterator[None]:
    """The directory, made if needed, for this run alone."""
    from filelock import FileLock, Timeout

    try:
        directory.mkdir(parents=True, exist_ok=True)
        # A run killed while it wrote its first file leaves that file's temporary behind.
        foreign = [
            p.name
            for p in directory.iterdir()
            if p.name not in (LOCK_NAME, HORIZONS_NAME)
            and not (p.name.startswith(".") and p.name.endswith(".tmp"))
        ]
        if foreign and JOURNAL_NAME not in foreign:
            raise OutputError(
                f"{directory} holds something else ({sorted(foreign)[0]});"
                " choose another --output or name"
            )
        lock = FileLock(directory / LOCK_NAME)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(
            f"another run is writing to {directory}; wait for it or choose another --output"
        ) from error
    except OSError as error:
        raise OutputError(f"{directory} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM stops a run as ^C does, where signals can be handled (the main thread)."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, stop)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
