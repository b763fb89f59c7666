"""A run as a generator of records: setting by setting, cell by cell, ascent by ascent.

Records are plain data and arrays, so that whoever makes them need not be who writes them. Those
that are to be written together, or not at all, come in one batch.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby
from typing import Any

from pgbench.ascent.goal import find_goal
from pgbench.declared.outcomes import Status
from pgbench.estimators import estimators
from pgbench.grid.plan import AscentCell, Cell, Prepared, Setting, make_problem
from pgbench.harness.ascents import run_ascent
from pgbench.harness.tasks import Task
from pgbench.measure import subject as subjects
from pgbench.measure.cells import exact_values, measure
from pgbench.memory import explained
from pgbench.policies import NotApplicable
from pgbench.problems import Problem
from pgbench.results.journal import JournalRecord
from pgbench.rollout.device import Device
from pgbench.rollout.simulator import Draws

RecordBatch = list[JournalRecord]


@dataclass(frozen=True)
class Conditions:
    """With how many threads, in how much memory and where a run is measured."""

    threads: int
    memory_bytes: int | None
    device: Device


def measured(
    tasks: Sequence[Task], conditions: Conditions
) -> Iterator[tuple[Task, Iterator[RecordBatch]]]:
    """Every task with the batches of its records; a problem is made once for all its settings."""
    for problem, together in groupby(tasks, key=lambda task: task.setting.problem):
        made = cache(partial(make_problem, problem))
        for task in together:
            yield task, batches(task, made, conditions)


def batches(
    task: Task, made: Callable[[], Problem], conditions: Conditions
) -> Iterator[RecordBatch]:
    """Records of a setting, of its cells and of its ascents; ``made`` gives the problem."""
    with recorded(task.pending) as lost:
        prepared = task.setting.prepare(made())
        exact = [_exact(task.setting, prepared)] if task.unknown else []
    if lost:
        yield lost
        return
    if exact:
        yield exact
    yield from _cells(task, prepared, conditions)
    yield from _ascents(task, prepared)


@contextmanager
def recorded(cells: Sequence[Cell | AscentCell]) -> Iterator[RecordBatch]:
    """A batch that is empty, or holds records of the cells if the block fails.

    They were skipped where the block says that they are not applicable. Any other failure is
    theirs alone, and the run goes on; an interruption is not a failure.
    """
    lost: RecordBatch = []
    try:
        with explained("measuring"):
            yield lost
    except NotApplicable as reason:
        lost += [_record(cell, Status.SKIPPED, message=str(reason)) for cell in cells]
    except Exception as error:
        trace = "".join(traceback.format_exception(error))
        lost += [
            _record(cell, Status.FAILED, message=sentence(error), traceback=trace) for cell in cells
        ]


def sentence(error: Exception) -> str:
    """What is recorded and shown of a failure."""
    return f"{type(error).__name__}: {error}"


def _record(cell: Cell | AscentCell, status: Status, **details: Any) -> JournalRecord:
    head = {"kind": cell.kind, "key": cell.key, "status": status.word}
    return {**head, **cell.named, **details}


def _exact(setting: Setting, prepared: Prepared) -> JournalRecord:
    """What is known of a setting with no sampling."""
    exact, mdp = exact_values(prepared), prepared.truth.mdp
    return {
        "kind": "setting",
        "key": setting.key,
        "label": setting.label,
        "problem": {**mdp.facts, "digest": mdp.digest},
        "values": dict(exact.values),
        "maps": dict(exact.maps),
        "gradient_note": prepared.truth.unresolved_note,
    }


def _cells(task: Task, prepared: Prepared, conditions: Conditions) -> Iterator[RecordBatch]:
    """Records of cells, one batch size at a time, all estimators together."""
    ready: dict[str, subjects.Subject] = {}
    for label, chosen in {cell.estimator.label: cell.estimator for cell in task.cells}.items():
        with recorded([cell for cell in task.cells if cell.estimator.label == label]) as lost:
            record = estimators()[chosen.name]
            ready[label] = subjects.make_subject(
                prepared, record, chosen.values, conditions.threads
            )
        if lost:
            yield lost
    cells = [cell for cell in task.cells if cell.estimator.label in ready]
    for batch_size in sorted({cell.batch_size for cell in cells}):
        together = []
        for cell in (cell for cell in cells if cell.batch_size == batch_size):
            if refusal := ready[cell.estimator.label].refuses(batch_size):
                yield [_record(cell, Status.SKIPPED, message=refusal)]
            else:
                together.append((cell, ready[cell.estimator.label]))
        if together:
            yield _together(task.setting, prepared, together, batch_size, conditions)


def _together(
    setting: Setting,
    prepared: Prepared,
    together: Sequence[tuple[Cell, subjects.Subject]],
    batch_size: int,
    conditions: Conditions,
) -> RecordBatch:
    """Records of cells of one batch size, which share trajectories where they can."""
    draws = Draws(
        horizon=prepared.horizon,
        batch_size=batch_size,
        replicates=setting.grid.replicates,
        seed=setting.grid.seed,
        stream=setting.stream,
    )
    own = [subject for _, subject in together]
    with recorded([cell for cell, _ in together]) as lost:
        found = measure(prepared, own, draws, conditions.memory_bytes, conditions.device)
    return lost or [
        _record(
            cell,
            Status.DONE,
            values=dict(measurement.values),
            maps=dict(measurement.maps),
            exact_note=subject.note,
            interval_note=measurement.note,
            device=measurement.device,
        )
        for (cell, subject), measurement in zip(together, found, strict=True)
    ]


def _ascents(task: Task, prepared: Prepared) -> Iterator[RecordBatch]:
    """Records of ascents, one after another; those skipped for one reason together at last."""
    if not task.ascents:
        return
    with recorded(task.ascents) as lost:
        goal = find_goal(prepared.truth.mdp, prepared.truth.policy)
    if lost:
        yield lost
        return
    skipped: dict[str, RecordBatch] = {}
    for cell in task.ascents:
        with recorded([cell]) as lost:
            found = run_ascent(task.setting, prepared, cell, goal)
        if not lost:
            yield [_record(cell, Status.DONE, **found)]
        elif lost[0]["status"] == Status.SKIPPED.word:
            skipped.setdefault(lost[0]["message"], []).extend(lost)
        else:
            yield lost
    yield from skipped.values()
