"""What is true of a case: exact moments, and a long run for what has none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.estimators import find_estimator
from pgbench.exact.horizon import expected_steps, shortest_horizon
from pgbench.exact.table_moments import TooLarge, directional_variance
from pgbench.exact.truth import evaluate
from pgbench.grid.plan import Prepared
from pgbench.measure.gradients import batch_gradients, gradient_blocks
from pgbench.measure.subject import BatchSubject, Subject, TableSubject, make_subject
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.process.process import Process
from pgbench.rollout.engines import by_process
from pgbench.rollout.simulator import Draws
from pgbench.statistics import directions
from pgbench.trials.validity.cells import StudyCell, in_words

REFERENCE, REFERENCE_OF_BATCHES = 200_000, 50_000
"""Replicates of the long run, of table estimators and of batch estimators."""

REFERENCE_NUMBERS, REFERENCE_TRAJECTORIES = 10**8, 3 * 10**6
"""A long run is shorter where its gradients or trajectories would be more than so many."""

MAX_HORIZON = 150

PIECE = 5000
"""Replicates of a long run that are held at a time."""

Replicates = tuple[FloatArray, IntArray]
"""Gradients (R, d) and steps (R,)."""


@dataclass(frozen=True, eq=False)
class TrueValues:
    """An estimator in a case, with everything that is true of it.

    label
        Setting, estimator, d and batch size, as cells of a table.
    expected, exact_mean, exact_variance
        The mean (d,), whether it is exact, and the total variance or NaN where no formula is known.
    along, along_variance, exact_along
        Tested directions (m, d), the variances along them (m,), and those again where they are
        exact, else NaN.
    values
        True values by statistic.
    """

    label: str
    subject: Subject
    batch_size: int
    expected: FloatArray
    exact_mean: bool
    exact_variance: float
    along: FloatArray
    along_variance: FloatArray
    exact_along: FloatArray
    values: dict[str, float]

    @property
    def target(self) -> FloatArray:
        """What is estimated (d,)."""
        return self.subject.target


def study(cell: StudyCell) -> list[TrueValues]:
    """Work out everything that is true of each estimator of a cell."""
    name, options = cell.problem
    mdp = make_problem(name, **options)
    policy = make_policy(cell.policy[0], mdp, **cell.policy[1])
    truth = evaluate(mdp, policy, policy.initial(**cell.theta))
    horizon = min(shortest_horizon(truth), MAX_HORIZON)
    prepared = Prepared(truth, horizon, expected_steps(mdp, truth.pi, horizon))
    subjects = [make_subject(prepared, find_estimator(e), given) for e, given in cell.estimators]
    runs = _long_runs(subjects, cell.batch_size)
    return [
        _known(f"{cell.setting} | {in_words(chosen)}", subject, run, cell.batch_size)
        for chosen, subject, run in zip(cell.estimators, subjects, runs, strict=True)
    ]


def repetitions(known: Sequence[TrueValues], replicates: int, n: int) -> Iterator[list[Replicates]]:
    """n times R fresh replicates of each estimator of a cell."""
    draws = Draws(
        known[0].subject.prepared.horizon, known[0].batch_size, n * replicates, 2, replicates
    )
    return pieces([own.subject for own in known], draws, replicates)


def _known(label: str, subject: Subject, run: "_LongRun", n: int) -> TrueValues:
    target, exact = subject.target, subject.exact(n)
    expected = run.mean if exact.mean is None else exact.mean
    exact_variance = np.nan if exact.variance is None else float(exact.variance.sum())
    variance = exact_variance if np.isfinite(exact_variance) else run.variance
    bias_squared = float(np.sum((expected - target) ** 2))
    if exact.mean is None:
        bias_squared = max(bias_squared - variance / run.replicates, 0.0)
    exact_along = _along(subject, run.along, n)
    steps = _steps(subject, n) or run.steps
    values = {
        "bias_squared": bias_squared,
        "variance": variance,
        "cosine": run.cosine,
        "ascent_probability": run.ascent,
        "steps": steps,
        "work_normalised_variance": variance * steps,
    }
    return TrueValues(
        label=f"{label} | {target.size} | {n}",
        subject=subject,
        batch_size=n,
        expected=expected,
        exact_mean=exact.mean is not None,
        exact_variance=exact_variance,
        along=run.along,
        along_variance=np.where(np.isfinite(exact_along), exact_along, run.along_variance),
        exact_along=exact_along,
        values=_with_images(values, float(np.linalg.norm(target))),
    )


def _along(subject: Subject, along: FloatArray, n: int) -> FloatArray:
    """Exact variances along directions (m,), NaN where they are not known."""
    if isinstance(subject, TableSubject):
        truth, tables = subject.prepared.truth, subject.tables
        horizon = tables.process.within(subject.prepared.horizon)
        try:
            return directional_variance(truth, tables, horizon, along) / n
        except TooLarge:
            pass
    return np.full(len(along), np.nan)


def _steps(subject: Subject, n: int) -> float | None:
    """Exact mean number of steps of an estimate from tables."""
    if isinstance(subject, TableSubject) and isinstance(subject.tables.process, Process):
        process = subject.tables.process
        return n * expected_steps(process.mdp, process.pi, subject.prepared.horizon)
    return None


class _LongRun:
    """Moments and mean cosine, share of ascent and steps of many replicates of an estimator."""

    def __init__(self, target: FloatArray) -> None:
        self._g = target / np.linalg.norm(target)
        self.along = directions(target.size, target)
        self.replicates = 0
        # Deviations are from the first mean: their squares do not cancel.
        self._centre = self._first = np.zeros(target.size)
        self._second = 0.0
        self._projected = np.zeros((2, len(self.along)))
        self._sums = np.zeros(3)

    def add(self, gradients: FloatArray, steps: IntArray) -> None:
        """Add replicates, gradients (m, d) and steps (m,)."""
        if not self.replicates:
            self._centre = gradients.mean(axis=0)
        self.replicates += steps.size
        x = gradients - self._centre
        product, norm = gradients @ self._g, np.linalg.norm(gradients, axis=1)
        cosine = np.divide(product, norm, out=np.zeros_like(norm), where=norm > 0)
        self._sums += cosine.sum(), (product > 0).sum(), steps.sum()
        self._first = self._first + x.sum(axis=0)
        self._second += float(np.sum(x**2))
        seen = x @ self.along.T
        self._projected += seen.sum(axis=0), (seen**2).sum(axis=0)

    @property
    def mean(self) -> FloatArray:
        """Mean estimate (d,)."""
        return self._centre + self._first / self.replicates

    @property
    def variance(self) -> float:
        """Total variance."""
        offset = self._first / self.replicates
        return self._second / self.replicates - float(offset @ offset)

    @property
    def along_variance(self) -> FloatArray:
        """Variances along the directions (m,)."""
        first, second = self._projected / self.replicates
        return np.asarray(second - first**2)

    @property
    def cosine(self) -> float:
        """Mean cosine with the target."""
        return float(self._sums[0] / self.replicates)

    @property
    def ascent(self) -> float:
        """Share of the estimates along which the objective ascends."""
        return float(self._sums[1] / self.replicates)

    @property
    def steps(self) -> float:
        """Mean number of steps."""
        return float(self._sums[2] / self.replicates)


def _long_runs(subjects: Sequence[Subject], n: int) -> list[_LongRun]:
    batches = any(isinstance(subject, BatchSubject) for subject in subjects)
    d = subjects[0].target.size
    replicates = min(
        REFERENCE_OF_BATCHES if batches else REFERENCE,
        REFERENCE_NUMBERS // d,
        REFERENCE_TRAJECTORIES // n,
    )
    draws = Draws(subjects[0].prepared.horizon, n, replicates, seed=1, stream=0)
    runs = [_LongRun(subject.target) for subject in subjects]
    for found in pieces(subjects, draws, min(PIECE, replicates)):
        for run, (gradients, steps) in zip(runs, found, strict=True):
            run.add(gradients, steps)
    return runs


def pieces(subjects: Sequence[Subject], draws: Draws, size: int) -> Iterator[list[Replicates]]:
    """Replicates of every estimator in their order, so many at a time.

    Those that simulate the same process see the same trajectories.
    """
    groups = list(_groups(subjects, draws))
    order = np.argsort(np.concatenate([places for places, _ in groups]))
    for parts in zip(*(_cut(blocks, size) for _, blocks in groups), strict=True):
        found = [replicates for part in parts for replicates in part]
        yield [found[place] for place in order]


def _groups(
    subjects: Sequence[Subject], draws: Draws
) -> Iterator[tuple[list[int], Iterator[list[Replicates]]]]:
    """Places of the estimators that are simulated together, and their replicates by block."""
    truth = subjects[0].prepared.truth
    tables = {i: s.tables for i, s in enumerate(subjects) if isinstance(s, TableSubject)}
    for _, together in by_process(list(tables.values())):
        places = [list(tables)[place] for place in together]
        made = gradient_blocks(truth, [tables[place] for place in places], draws)
        yield places, ([(g, block.steps) for g in block.gradients] for block in made)
    batches = {i: s for i, s in enumerate(subjects) if isinstance(s, BatchSubject)}
    if batches:
        estimators = [(s.estimator, s.values) for s in batches.values()]
        by_batch = batch_gradients(truth, estimators, draws)
        yield list(batches), (list(zip(b.gradients, b.steps, strict=True)) for b in by_batch)


def _cut(blocks: Iterator[list[Replicates]], size: int) -> Iterator[list[Replicates]]:
    """Blocks joined and cut to a size; what is left at the end is dropped."""
    kept: list[list[Replicates]] = []
    held = 0
    for block in blocks:
        kept.append(block)
        held += block[0][1].size
        while held >= size:
            whole = [_joined(own) for own in zip(*kept, strict=True)]
            yield [(gradients[:size], steps[:size]) for gradients, steps in whole]
            kept = [[(gradients[size:], steps[size:]) for gradients, steps in whole]]
            held -= size


def _joined(parts: Sequence[Replicates]) -> Replicates:
    gradients, steps = zip(*parts, strict=True)
    return np.concatenate(gradients), np.concatenate(steps)


def _with_images(values: dict[str, float], norm: float) -> dict[str, float]:
    """The values with those of the statistics that are functions of others."""
    mse = values["bias_squared"] + values["variance"]
    bias = np.sqrt(values["bias_squared"])
    return values | {
        "bias": bias,
        "relative_bias": bias / norm,
        "mse": mse,
        "rmse": np.sqrt(mse),
        "relative_rmse": np.sqrt(mse) / norm,
        "relative_variance": values["variance"] / norm**2,
        "snr": norm**2 / values["variance"],
    }
