"""An estimator ready to be measured in a setting: everything exact about it, and what it costs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.causes import CAUSES, HORIZON
from pgbench.estimators import BatchEstimator, Estimator, Exact, TableEstimator
from pgbench.estimators.parts.estimator import declared_mean
from pgbench.estimators.parts.penalty import penalty_of
from pgbench.exact.expectation import expectation
from pgbench.exact.starts import StartMeans, start_means
from pgbench.exact.table_moments import (
    TooLarge,
    directional_variance,
    require_finite,
    table_moments,
)
from pgbench.exact.truth import Truth
from pgbench.grid.plan import Prepared
from pgbench.measure.gradients import batch_gradients
from pgbench.measure.sums import Sums
from pgbench.problems import NotApplicable
from pgbench.process.tables import Forms, Tables
from pgbench.rollout.engines import Rollouts
from pgbench.rollout.simulator import BLOCK, Draws
from pgbench.statistics import fixed_directions


@dataclass(frozen=True)
class Cost:
    """Seconds of one estimate with n trajectories, modelled as ``fixed + n·per_trajectory``."""

    fixed: float
    per_trajectory: float

    def seconds(self, batch_size: int) -> float:
        """Seconds per estimate."""
        return self.fixed + batch_size * self.per_trajectory


@dataclass(frozen=True, eq=False)
class Subject(ABC):
    """An estimator with its parameters in a setting.

    Attributes
    ----------
    prepared, estimator, values
        Setting, record, and the value of every parameter.
    target
        (d,) what is estimated, exactly.
    """

    prepared: Prepared
    estimator: Estimator
    values: Mapping[str, Any]
    target: FloatArray

    def exact_note(self, batch_size: int) -> str:
        """Why there is no exact variance at a batch size, or nothing."""
        return ""

    @property
    def resolved(self) -> bool:
        """Whether the target has a direction: it is not zero, nor is the gradient but for error."""
        return bool(self.target.any()) and self.prepared.truth.resolved

    def refuses(self, batch_size: int) -> str:
        """Why the estimator makes no sense at a batch size, or nothing."""
        return self.estimator.refuses(batch_size, self.prepared.group_size, **self.values)

    @abstractmethod
    def exact(self, batch_size: int) -> Exact:
        """Exact mean and variance of an estimate, as far as they are known."""

    def mean(
        self, values: Mapping[str, Any], batch_size: float, truth: Truth | None = None
    ) -> FloatArray | None:
        """Exact mean with other parameters or on other data, or None where it is not known.

        The groups of an endless batch are endless too.
        """
        prepared = self.prepared
        group_size: float | None = prepared.group_size
        if group_size and np.isinf(batch_size):
            group_size = batch_size
        arguments = truth or prepared.truth, prepared.horizon, batch_size, group_size
        return self.estimator.mean(*arguments, **values)

    @abstractmethod
    def signal_variance(self, batch_size: int) -> float:
        """Exact variance along the target, or along the last fixed direction where that is zero.

        NaN where it is not known or too large a computation.
        """

    @abstractmethod
    def lap(self, draws: Draws) -> float:
        """Seconds that these estimates take, rollouts and sums of their moments included."""

    @cached_property
    def cost(self) -> Cost:
        """Seconds per estimate of the estimator on its own, on one thread, less those of compiling.

        Medians over three rounds of estimates with few and with many trajectories.
        """
        from pgbench.kernels.partition import threads

        replicates, few, many = self.timed
        with threads(1):
            laps = [[self.lap(self._timing(n, replicates)) for n in (few, many)] for _ in range(3)]
        one, several = np.median(laps, axis=0) / replicates
        per_trajectory = max((several - one) / (many - few), 0.5 * several / many)
        return Cost(max(several - many * per_trajectory, 0.0), per_trajectory)

    def _timing(self, batch_size: int, replicates: int) -> Draws:
        """The draws of estimates that are timed."""
        prepared = self.prepared
        return Draws(prepared.horizon, batch_size, replicates, 0, 0, group_size=prepared.group_size)

    @property
    @abstractmethod
    def timed(self) -> tuple[int, int, int]:
        """Replicates, and the two batch sizes, with which the cost is measured."""

    def parts(self, batch_size: int) -> dict[str, FloatArray]:
        """The bias split into its causes, (d,) each; empty where the mean is not known.

        One declared cause after another is removed, in the order in which they are declared; what a
        removal changes in the mean is that cause's part. Without a sampler the mean is that on data
        of the policy itself. Actions that are never taken are the last cause: without it the mean
        is what the horizon leaves of the target. That is what is left at last. Where a mean on the
        way is not known the rest is not split.
        """
        n: float = batch_size
        values, truth = dict(self.values), self.prepared.truth
        current = self.mean(values, n)
        parts: dict[str, FloatArray] = {}
        for cause in self.estimator.causes_at(self.prepared.truth, **values):
            if cause in HORIZON:
                continue
            if cause == "batch":
                n = np.inf
            elif cause == "sampler":
                truth = truth.on_policy
            elif cause != "support" and cause not in self.estimator.cures:
                return parts
            values |= self.estimator.cures.get(cause, {})
            without = self._declared(values) if cause == "support" else self.mean(values, n, truth)
            if current is None or without is None:
                return parts
            parts[cause], current = current - without, without
        if current is not None:
            parts["horizon"] = current - self.target
        return parts

    def _declared(self, values: Mapping[str, Any]) -> FloatArray:
        """What the mean would be if nothing but the horizon took from the target."""
        truth, causes = self.prepared.truth, set(self.estimator.causes(**values))
        left = declared_mean(truth, self.prepared.horizon, causes)
        return self.estimator.aimed(truth, left)


@dataclass(frozen=True, eq=False)
class TableSubject(Subject):
    """A table estimator in a setting.

    tables, one, reason, along
        Its tables, the exact moments of a one-trajectory estimate, why there is no variance among
        them, and its exact variance along the target.
    shared, shared_along
        What of these variances trajectories of a group have in common: that between their starts.
    """

    tables: Tables
    one: Exact
    reason: str
    along: float
    shared: FloatArray | float = 0.0
    shared_along: float = 0.0

    def exact_note(self, batch_size: int) -> str:
        """Why there is no exact variance, the same at every batch size, or nothing."""
        return self.reason

    def exact(self, batch_size: int) -> Exact:
        """Mean, and 1/n of the variance of one trajectory; what a group shares counts G times."""
        mean, variance = self.one
        if variance is None:
            return Exact(mean)
        return Exact(mean, (variance + self._again * self.shared) / batch_size)

    @property
    def _again(self) -> int:
        """How many other trajectories a group has."""
        return (self.prepared.group_size or 1) - 1

    def mean(
        self, values: Mapping[str, Any], batch_size: float, truth: Truth | None = None
    ) -> FloatArray | None:
        """Exact mean (d,), that of the tables at hand where parameters and data are theirs."""
        if values == self.values and truth in (None, self.prepared.truth):
            return self.one.mean
        return super().mean(values, batch_size, truth)

    def parts(self, batch_size: int) -> dict[str, FloatArray]:
        """The bias split into its causes; the same at every batch size."""
        return self._parts

    @cached_property
    def _parts(self) -> dict[str, FloatArray]:
        return Subject.parts(self, 1)

    def signal_variance(self, batch_size: int) -> float:
        """1/n of the variance of one trajectory along the target, what a group shares G times."""
        return (self.along + self._again * self.shared_along) / batch_size

    @property
    def timed(self) -> tuple[int, int, int]:
        """Replicates, and the two batch sizes, with which the cost is measured."""
        group = self.prepared.group_size or 1
        return 4 * BLOCK, group, group * max(2, 64 // group)

    def lap(self, draws: Draws) -> float:
        """Seconds that these estimates take."""
        from pgbench.kernels.compiling import Stopwatch

        rollouts = Rollouts([self.tables])
        sums = _timed_sums(self.target, draws)
        watch = Stopwatch()
        for block in rollouts.weights(draws):
            sums.add(self.prepared.truth, self.tables.process, block)
        return watch.seconds


@dataclass(frozen=True, eq=False)
class BatchSubject(Subject):
    """A batch estimator in a setting."""

    estimator: BatchEstimator

    def exact_note(self, batch_size: int) -> str:
        """Why there is no exact variance at a batch size, or nothing."""
        if self.exact(batch_size).variance is not None:
            return ""
        return "no formula for the exact variance is known, or it is too large a computation"

    @property
    def timed(self) -> tuple[int, int, int]:
        """Replicates, and the two batch sizes, with which the cost is measured."""
        group = self.prepared.group_size or 1
        few = group * -(-self.estimator.least(**self.values) // group)
        return BLOCK, few, few * max(2, 32 // few)

    def exact(self, batch_size: int) -> Exact:
        """What the estimator knows of its own moments."""
        return self._exact(batch_size)

    @cached_property
    def _exact(self) -> Callable[[int], Exact]:
        """The moments as a function of the batch size, each worked out once."""
        prepared, values = self.prepared, self.values
        return cache(
            lambda batch_size: self.estimator.exact(
                prepared.truth, prepared.horizon, batch_size, prepared.group_size, **values
            )
        )

    def signal_variance(self, batch_size: int) -> float:
        """NaN: only variances of single coordinates are known."""
        return np.nan

    def lap(self, draws: Draws) -> float:
        """Seconds that these estimates take."""
        from pgbench.kernels.compiling import Stopwatch

        sums = _timed_sums(self.target, draws)
        watch = Stopwatch()
        for block in batch_gradients(self.prepared.truth, [(self.estimator, self.values)], draws):
            sums.add_gradients(block.first, block.gradients[0][:, None], block.steps[0])
        return watch.seconds


def _timed_sums(target: FloatArray, draws: Draws) -> Sums:
    return Sums(target, [target], draws.replicates, np.zeros((0, target.size)), blocks=1)


def make_subject(
    prepared: Prepared, estimator: Estimator, values: Mapping[str, Any], threads: int | None = None
) -> Subject:
    """An estimator in a setting, its exact moments worked out."""
    truth = prepared.truth
    estimator.require(truth.mdp)
    estimator.require_data(truth.behaviour is not None)
    if estimator.penalised:
        penalty_of(truth)  # NotApplicable without one
    values = estimator.bound(**values)
    declared = *estimator.causes(**values), *estimator.causes_elsewhere(**values)
    if unknown := [cause for cause in declared if cause not in CAUSES]:
        raise ValueError(
            f"{estimator.name} declares the cause of bias {unknown[0]!r}, which there is not"
            f" (known: {', '.join(CAUSES)})"
        )
    target = estimator.truth(truth)
    if isinstance(estimator, BatchEstimator):
        subject = BatchSubject(prepared, estimator, values, target)
        # What makes no sense here is refused at once.
        if reason := subject.refuses(subject.timed[1]):
            raise NotApplicable(reason)
        subject.exact(subject.timed[1])
        return subject
    assert isinstance(estimator, TableEstimator)
    tables = estimator.make(truth, prepared.horizon, **values)
    horizon = tables.process.within(prepared.horizon)
    reason, variance = "", None
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            exact = table_moments(truth, tables, horizon, threads=threads)
            mean, variance = exact.mean, exact.variance
        except TooLarge as error:
            reason, mean = str(error), expectation(truth, tables, horizon)
    require_finite(estimator.name, mean, variance)
    norm = float(np.linalg.norm(target))
    directed = norm > 0 and truth.resolved
    along = target[None] / norm if directed else fixed_directions(target.size)[-1:]
    try:
        signal_variance = float(directional_variance(truth, tables, horizon, along)[0])
    except TooLarge:
        signal_variance = np.nan
    own = prepared, estimator, values, target, tables
    if (prepared.group_size or 1) == 1 or truth.mdp.one_start:
        return TableSubject(*own, Exact(mean, variance), reason, signal_variance)
    starts, lost = _start_means(truth, tables, horizon)
    if starts is None:
        return TableSubject(*own, Exact(mean), lost, np.nan)
    spread = starts.variance, starts.along(along[0])
    return TableSubject(*own, Exact(mean, variance), reason, signal_variance, *spread)


def _start_means(
    truth: Truth, tables: Tables | Forms, horizon: int | None
) -> tuple[StartMeans | None, str]:
    """Means from each start, or why they are not known."""
    try:
        found = start_means(truth, tables, horizon)
    except TooLarge as error:
        return None, str(error)
    return found, "" if found else "what trajectories of a group share is not known exactly"
