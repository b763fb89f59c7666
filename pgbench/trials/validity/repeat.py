"""A case measured many times with fresh replicates: what intervals and tests said each time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.measure.sums import Sums
from pgbench.statistics import (
    Estimate,
    Sample,
    fit_rate,
    mean_test,
    mean_z,
    summarise,
    variance_test,
)
from pgbench.trials.validity.cells import RATE_BATCHES, StudyCell
from pgbench.trials.validity.shares import HitShare
from pgbench.trials.validity.true_values import TrueValues, repetitions, study

Summary = dict[str, Estimate]

IMAGES = {
    "bias_squared": ("bias", "relative_bias"),
    "variance": ("relative_variance", "snr"),
    "mse": ("rmse", "relative_rmse"),
}
"""Statistics that are monotone functions of another one, and so are covered when it is."""


@dataclass(frozen=True, eq=False)
class Repeated:
    """What R replicates said, in each repetition.

    summaries, unguarded
        Every statistic, with and without what is known beside the sample.
    p, p_shifted, z, variance_z, p_variance_wrong
        Of the mean against the exact and a wrong one, z-scores of mean and variance, and the
        p-value of a wrong variance, (repetitions,) each.
    """

    known: TrueValues
    summaries: Sequence[Summary]
    unguarded: Sequence[Summary]
    p: FloatArray
    p_shifted: FloatArray
    z: FloatArray
    variance_z: FloatArray
    p_variance_wrong: FloatArray

    def coverage(self, name: str, guarded: bool = True) -> HitShare:
        """How often the interval of a statistic holds its true value."""
        value = self.known.values[name]
        # A constant is known exactly, except for the rounding of its exact value.
        slack = 1e-9 * abs(value)
        found = [s[name] for s in (self.summaries if guarded else self.unguarded)]
        return HitShare.of(
            (e.low - slack <= value <= e.high + slack for e in found),
            (np.isfinite(e.low) for e in found),
        )


def repeat(known: Sequence[TrueValues], replicates: int, n: int) -> list[Repeated]:
    """Every estimator of a case measured n times with fresh replicates."""
    records: list[list[Any]] = [[] for _ in known]
    for found in repetitions(known, replicates, n):
        for own, record, (gradients, steps) in zip(known, records, found, strict=True):
            record.append(_measure(own, gradients, steps))
    repeated = []
    for own, record in zip(known, records, strict=True):
        summaries, unguarded, *numbers = zip(*record, strict=True)
        repeated.append(Repeated(own, summaries, unguarded, *map(np.array, numbers)))
    return repeated


def sample_of(known: TrueValues, gradients: FloatArray, steps: IntArray) -> Sample:
    """The sample of replicates (R, d) that are all in memory, as ``measure`` makes it."""
    centre = known.expected if known.exact_mean else gradients.mean(axis=0)
    sums = Sums(known.target, [centre], len(gradients), np.zeros((0, known.target.size)))
    sums.add_gradients(0, gradients[:, None], steps)
    unbounded = known.subject.estimator.unbounded(**known.subject.values)
    sample = replace(sums.sample(0, known.exact_variance), unbounded=unbounded)
    return sample if known.exact_mean else sample.about_its_mean()


def _measure(known: TrueValues, gradients: FloatArray, steps: IntArray) -> tuple[Any, ...]:
    sample = sample_of(known, gradients, steps)
    projections, mean = gradients @ known.along.T, known.along @ known.expected
    # Wrong truths: four standard errors off along the gradient, and a variance 10 % too large.
    shifted = mean + 4 * np.sqrt(known.along_variance[-1] / len(gradients)) * (
        known.along @ known.target / np.linalg.norm(known.target)
    )
    variance = known.exact_variance
    return (
        summarise(sample),
        summarise(replace(sample, exact_variance=np.nan, unbounded=False)),
        mean_test(projections, mean).p_value,
        mean_test(projections, shifted).p_value,
        mean_z(projections, mean, known.exact_along)[0],
        variance_test(sample.squared_deviation, variance).z,
        variance_test(sample.squared_deviation, 1.1 * variance).p_value,
    )


def rates(cell: StudyCell, replicates: int, n: int) -> list[tuple[str, HitShare]]:
    """Coverage of the fitted rate over batch sizes, per estimator.

    What it should cover is the fit through the true RMSE: -1/2 exactly where there is no bias.
    """
    runs = [repeat(study(replace(cell, batch_size=b)), replicates, n) for b in RATE_BATCHES]
    rows = []
    for own in zip(*runs, strict=True):
        true = np.array([r.known.values["rmse"] for r in own])
        hits, known = [], []
        for i in range(n):
            found = [r.summaries[i]["rmse"] for r in own]
            y, low, high = np.array([(e.value, e.low, e.high) for e in found]).T
            fit = fit_rate(RATE_BATCHES, y, low, high)
            known_true = np.where(np.isfinite(low), true, np.nan)
            exact = fit_rate(RATE_BATCHES, known_true, known_true, known_true)
            hits.append(fit.low <= exact.slope <= fit.high)
            known.append(bool(np.isfinite(fit.low)))
        rows.append((own[0].known.label.rsplit(" | ", 1)[0], HitShare.of(hits, known)))
    return rows
