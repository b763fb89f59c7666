"""One setting measured: rollouts and running sums, per estimator and batch size.

Large cells are measured a portion of their replicates at a time, and joined.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.truth import Truth
from pgbench.grid.plan import Prepared
from pgbench.measure.gradients import BatchBlock, batch_gradients
from pgbench.measure.measurement import Measurement, measurement
from pgbench.measure.subject import BatchSubject, Subject, TableSubject
from pgbench.measure.sums import SUMS_BYTES, Sums, sums_bytes
from pgbench.rollout.device import CPU, Device
from pgbench.rollout.engines import Rollouts, by_process, choose_place
from pgbench.rollout.simulator import Draws
from pgbench.statistics import fixed_directions


@dataclass(frozen=True, eq=False)
class Portion:
    """What was added up of an estimator over some of its replicates.

    arrays
        As ``Sums.portion`` gives them. Where the exact mean is not known deviations are from the
        mean of all replicates, ``centre`` (d,); before that is there, there is but the sum of these
        estimates, ``total`` (d,).
    device
        Where rollouts ran.
    """

    arrays: Mapping[str, FloatArray]
    device: str = "cpu"


def measure(
    prepared: Prepared,
    subjects: Sequence[Subject],
    draws: Draws,
    memory_bytes: int | None = None,
    device: Device = CPU,
) -> list[Measurement]:
    """Measure estimators; one Measurement each.

    Those that simulate the same process see the same trajectories. Estimators whose sums do not fit
    in ``SUMS_BYTES`` together are simulated in groups, which changes the time but not one bit of
    the result.
    """
    results: dict[int, Measurement] = {}
    for place, sums, e, where in _every_sum(prepared, subjects, draws, memory_bytes, device):
        results[place] = measurement(subjects[place], sums, e, draws.batch_size, where)
    return [results[place] for place in range(len(subjects))]


def measure_portion(
    prepared: Prepared,
    subjects: Sequence[Subject],
    draws: Draws,
    room: int,
    centres: Sequence[FloatArray] | None = None,
    memory_bytes: int | None = None,
    device: Device = CPU,
) -> list[Portion]:
    """Sums of estimators over the replicates of ``draws`` alone; one Portion each.

    Parameters
    ----------
    room
        Number of replicates of a whole portion, of which the last may have fewer.
    centres
        Means (d,) of all replicates of estimators whose exact mean is not known. Without them
        those have the sum of their estimates.
    """
    results: dict[int, Portion] = {}
    own = dict(enumerate(subjects))
    if centres is None:
        unknown = {i: s for i, s in own.items() if s.exact(draws.batch_size).mean is None}
        totals = _totals(prepared, list(unknown.values()), draws)
        results |= {i: Portion({"total": t}) for i, t in zip(unknown, totals, strict=True)}
        own = {i: s for i, s in own.items() if i not in unknown}
    places = list(own)
    every = _every_sum(prepared, list(own.values()), draws, memory_bytes, device, room, centres)
    for place, sums, e, where in every:
        centre = {} if centres is None else {"centre": centres[place]}
        results[places[place]] = Portion({**sums.portion(e), **centre}, where)
    return [results[place] for place in range(len(subjects))]


def join(
    subject: Subject, portions: Sequence[Mapping[str, FloatArray]], batch_size: int, device: str
) -> Measurement:
    """A Measurement from the sums of all portions, in the order of their replicates."""
    known = subject.exact(batch_size).mean
    expected = portions[0]["centre"] if known is None else known
    fixed = fixed_directions(subject.target.size)
    sums = Sums.joined(subject.target, expected, fixed, portions, directed=subject.resolved)
    return measurement(subject, sums, 0, batch_size, device)


def _every_sum(
    prepared: Prepared,
    subjects: Sequence[Subject],
    draws: Draws,
    memory_bytes: int | None,
    device: Device,
    room: int | None = None,
    centres: Sequence[FloatArray] | None = None,
) -> Iterator[tuple[int, Sums, int, str]]:
    """Place of every subject, sums and its place in them, and where its rollouts ran."""
    tables = {i: s for i, s in enumerate(subjects) if isinstance(s, TableSubject)}
    batches = {i: s for i, s in enumerate(subjects) if isinstance(s, BatchSubject)}
    if tables:
        places, own = list(tables), list(tables.values())
        for place, sums, e, where in _of_tables(prepared, own, draws, memory_bytes, device, room):
            yield places[place], sums, e, where
    if batches:
        every = _of_batches(prepared, list(batches.values()), draws, room, centres)
        for place, sums in zip(batches, every, strict=True):
            yield place, sums, 0, "cpu"


def _of_tables(
    prepared: Prepared,
    subjects: Sequence[TableSubject],
    draws: Draws,
    memory_bytes: int | None,
    device: Device,
    room: int | None,
) -> Iterator[tuple[int, Sums, int, str]]:
    """Simulate by the compiled kernels, sums on the way."""
    truth = prepared.truth
    fitting = max(1, SUMS_BYTES // sums_bytes(truth.gradient.size, draws.replicates))
    for _, together in by_process([subject.tables for subject in subjects]):
        for begin in range(0, len(together), fitting):
            places = together[begin : begin + fitting]
            group = [subjects[place] for place in places]
            sums, where = _summed(truth, group, draws, memory_bytes, device, room)
            for e, place in enumerate(places):
                yield place, sums, e, where


def _summed(
    truth: Truth,
    subjects: Sequence[TableSubject],
    draws: Draws,
    memory_bytes: int | None,
    device: Device,
    room: int | None,
) -> tuple[Sums, str]:
    """Sums of estimators on the same trajectories, and where those were simulated.

    What a GPU cannot add without losing digits is simulated again on the CPU.
    """
    # The mean of a table estimator is always known.
    expected = [s.one.mean for s in subjects if s.one.mean is not None]
    tables = [s.tables for s in subjects]
    sums = _empty(truth.gradient, expected, draws, truth.resolved, room)
    where = choose_place(device, tables[0].process, draws)
    rollouts = Rollouts(tables, where)
    try:
        for block in rollouts.blocks(draws, memory_bytes):
            sums.add(truth, rollouts.process, block)
        sums.finish()
    except OverflowError:
        if where == "cpu":
            raise
        return _summed(truth, subjects, draws, memory_bytes, CPU, room)
    return sums, where


def _empty(
    target: FloatArray,
    expected: Sequence[FloatArray],
    draws: Draws,
    directed: bool,
    room: int | None,
) -> Sums:
    fixed = fixed_directions(target.size)
    return Sums(
        target, expected, draws.replicates, fixed, directed=directed, first=draws.first, room=room
    )


def _of_batches(
    prepared: Prepared,
    subjects: Sequence[BatchSubject],
    draws: Draws,
    room: int | None,
    centres: Sequence[FloatArray] | None,
) -> Iterator[Sums]:
    """Simulate by functions of batches, on the CPU, sums on the way.

    Deviations of an estimator without an exact mean are from that of its own replicates, so those
    are simulated twice.
    """
    size = prepared.truth.gradient.size
    fitting = max(1, SUMS_BYTES // sums_bytes(size, draws.replicates))
    for begin in range(0, len(subjects), fitting):
        group = subjects[begin : begin + fitting]
        own_centres = (
            _centres(prepared, group, draws)
            if centres is None
            else centres[begin : begin + fitting]
        )
        sums = [
            _empty(subject.target, [centre], draws, subject.resolved, room)
            for subject, centre in zip(group, own_centres, strict=True)
        ]
        for block in _batches(prepared, group, draws):
            for own, gradients, steps in zip(sums, block.gradients, block.steps, strict=True):
                own.add_gradients(block.first, gradients[:, None], steps)
        yield from sums


def _centres(
    prepared: Prepared, subjects: Sequence[BatchSubject], draws: Draws
) -> list[FloatArray]:
    """Exact means (d,), or those of the replicates where they are not known."""
    means = [subject.exact(draws.batch_size).mean for subject in subjects]
    unknown = [s for s, mean in zip(subjects, means, strict=True) if mean is None]
    measured = iter(_totals(prepared, unknown, draws))
    return [next(measured) / draws.replicates if mean is None else mean for mean in means]


def _totals(prepared: Prepared, subjects: Sequence[Subject], draws: Draws) -> list[FloatArray]:
    """Sums of all estimates of functions of batches, (d,) each."""
    own = [subject for subject in subjects if isinstance(subject, BatchSubject)]
    totals = [np.zeros(prepared.truth.gradient.size) for _ in own]
    if own:
        for block in _batches(prepared, own, draws):
            for total, gradients in zip(totals, block.gradients, strict=True):
                total += gradients.sum(axis=0)
    return totals


def _batches(
    prepared: Prepared, subjects: Sequence[BatchSubject], draws: Draws
) -> Iterator[BatchBlock]:
    own = [(subject.estimator, subject.values) for subject in subjects]
    return batch_gradients(prepared.truth, own, draws)
