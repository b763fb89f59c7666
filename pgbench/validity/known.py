"""What is true of a case: exact moments, and a long run for what has none."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pgbench.estimators import find_estimator
from pgbench.exact.horizon import expected_steps, shortest_horizon
from pgbench.exact.moments import TooLarge, directional_variance
from pgbench.exact.values import evaluate
from pgbench.plan import Prepared
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.process import Process
from pgbench.sampling import batch_gradients, gradient_blocks
from pgbench.simulator import Draws
from pgbench.statistics import directions
from pgbench.subjects import BatchSubject, Subject, TableSubject, make_subject
from pgbench.validity.cases import Case, in_words

FloatArray = NDArray[np.float64]

REFERENCE, REFERENCE_OF_BATCHES = 200_000, 50_000
"""Replicates of the long run, of table estimators and of batch estimators."""

REFERENCE_NUMBERS = 10**8
"""Gradients of a long run have at most so many coordinates together."""

MAX_HORIZON = 150

Replicates = tuple[FloatArray, NDArray[np.int64]]
"""Gradients (R, d) and steps (R,)."""


@dataclass(frozen=True, eq=False)
class Known:
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
    draws: Draws
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

    def repetitions(self, replicates: int, n: int) -> Iterator[Replicates]:
        """n times R fresh replicates."""
        draws = replace(self.draws, replicates=n * replicates, seed=2, stream=replicates)
        return pieces(self.subject, draws, replicates)


def study(case: Case) -> list[Known]:
    """Work out everything that is true of each estimator of a case."""
    name, options = case.problem
    mdp = make_problem(name, **options)
    policy = make_policy(case.policy[0], mdp, **case.policy[1])
    truth = evaluate(mdp, policy, policy.initial(**case.theta))
    horizon = min(shortest_horizon(truth), MAX_HORIZON)
    prepared = Prepared(truth, horizon, expected_steps(mdp, truth.pi, horizon))
    found = []
    for chosen in case.estimators:
        subject = make_subject(prepared, find_estimator(chosen[0]), chosen[1])
        label = f"{case.setting} | {in_words(chosen)} | {subject.target.size} | {case.batch_size}"
        found.append(_known(label, subject, case.batch_size))
    return found


def _known(label: str, subject: Subject, n: int) -> Known:
    target, exact = subject.target, subject.exact(n)
    along = directions(target.size, target)
    batches = isinstance(subject, BatchSubject)
    replicates = REFERENCE_OF_BATCHES if batches else REFERENCE
    replicates = min(replicates, REFERENCE_NUMBERS // target.size)
    draws = Draws(subject.prepared.horizon, n, replicates, seed=1, stream=0)
    run = _LongRun(subject, draws, along)
    expected = run.mean if exact.mean is None else exact.mean
    exact_variance = np.nan if exact.variance is None else float(exact.variance.sum())
    variance = exact_variance if np.isfinite(exact_variance) else run.variance
    bias_squared = float(np.sum((expected - target) ** 2))
    if exact.mean is None:
        bias_squared = max(bias_squared - variance / replicates, 0.0)
    exact_along = _along(subject, along, n)
    steps = _steps(subject, n) or run.steps
    values = {
        "bias_squared": bias_squared,
        "variance": variance,
        "cosine": run.cosine,
        "ascent_probability": run.ascent,
        "steps": steps,
        "work_normalised_variance": variance * steps,
    }
    return Known(
        label=label,
        subject=subject,
        draws=draws,
        expected=expected,
        exact_mean=exact.mean is not None,
        exact_variance=exact_variance,
        along=along,
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
    """Mean (d,), total variance and variances along directions, mean cosine and steps of a run."""

    def __init__(self, subject: Subject, draws: Draws, along: FloatArray) -> None:
        g = subject.target / np.linalg.norm(subject.target)
        # Deviations from a first mean: their squares do not cancel.
        whole, centre = 0.0, np.zeros(g.size)
        sums = np.zeros(4)
        first, second, projected = np.zeros(g.size), 0.0, np.zeros((2, len(along)))
        for gradients, steps in pieces(subject, draws, min(5000, draws.replicates)):
            if not whole:
                centre = gradients.mean(axis=0)
            whole += len(steps)
            x = gradients - centre
            product, norm = gradients @ g, np.linalg.norm(gradients, axis=1)
            cosine = np.divide(product, norm, out=np.zeros_like(norm), where=norm > 0)
            sums += cosine.sum(), (product > 0).sum(), steps.sum(), 1.0
            first += x.sum(axis=0)
            second += float(np.sum(x**2))
            seen = x @ along.T
            projected += seen.sum(axis=0), (seen**2).sum(axis=0)
        offset = first / whole
        self.mean = centre + offset
        self.variance = second / whole - float(offset @ offset)
        self.along_variance = projected[1] / whole - (projected[0] / whole) ** 2
        self.cosine, self.ascent, self.steps = sums[:3] / whole


def pieces(subject: Subject, draws: Draws, size: int) -> Iterator[Replicates]:
    """Replicates in their order, so many at a time."""
    gradients: list[FloatArray] = []
    steps: list[NDArray[np.int64]] = []
    held = 0
    for new, taken in _blocks(subject, draws):
        gradients.append(new)
        steps.append(taken)
        held += taken.size
        while held >= size:
            whole, counts = np.concatenate(gradients), np.concatenate(steps)
            yield whole[:size], counts[:size]
            gradients, steps, held = [whole[size:]], [counts[size:]], held - size


def _blocks(subject: Subject, draws: Draws) -> Iterator[Replicates]:
    truth = subject.prepared.truth
    if isinstance(subject, TableSubject):
        for block in gradient_blocks(truth, [subject.tables], draws):
            yield block.gradients[0], block.steps
        return
    assert isinstance(subject, BatchSubject)
    for made in batch_gradients(truth, [(subject.estimator, subject.values)], draws):
        yield made.gradients[0], made.steps[0]


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
