"""A case measured many times: what every interval and test said."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pgbench.simulator import Draws
from pgbench.statistics import (
    Estimate,
    Sample,
    fit_rate,
    mean_test,
    mean_z,
    summarise,
    variance_test,
)
from pgbench.sums import Sums
from pgbench.validity.cases import RATE_BATCHES, Case
from pgbench.validity.study import REFERENCE, Study, Subject, repetitions, study

FloatArray = NDArray[np.float64]

LEVEL = 0.05
FEWEST = 10
"""A share of fewer repetitions is not printed."""

IMAGES = {
    "bias_squared": ("bias", "relative_bias"),
    "variance": ("relative_variance", "snr"),
    "mse": ("rmse", "relative_rmse"),
}
"""Statistics that are monotone functions of another one, and so are covered when it is."""

COVERED = (
    "bias_squared",
    "variance",
    "mse",
    "cosine",
    "ascent_probability",
    "steps",
    "work_normalised_variance",
)
GUARDED = ("bias_squared", "variance", "mse")
"""Statistics whose intervals the exact variance guards: measured without it too."""


@dataclass(frozen=True)
class Share:
    """How many of some repetitions, and of how many it could be said."""

    hits: int
    known: int
    total: int

    @classmethod
    def of(cls, hits: Iterable[bool], known: Iterable[bool]) -> "Share":
        """Count the hits among the known."""
        h, k = np.fromiter(hits, bool), np.fromiter(known, bool)
        return cls(int((h & k).sum()), int(k.sum()), k.size)

    @property
    def share(self) -> float:
        """Hits among the known, NaN if there are none."""
        return self.hits / self.known if self.known else np.nan

    def __str__(self) -> str:
        """Per cent with its binomial standard error; in brackets how often it was known."""
        if self.known < FEWEST:
            return "—"
        error = 100 * np.sqrt(max(self.share * (1 - self.share), 0.5 / self.known) / self.known)
        text = f"{100 * self.share:.1f} ± {error:.1f}"
        return text if self.known == self.total else f"{text} [{100 * self.known / self.total:.0f}]"


@dataclass(frozen=True, eq=False)
class Repeated:
    """What R replicates said, in each repetition: summaries, p-values, z-scores and powers.

    ``unguarded`` are the summaries of those who do not know the exact variance.
    """

    subject: Subject
    summaries: Sequence[dict[str, Estimate]]
    unguarded: Sequence[dict[str, Estimate]]
    p: FloatArray
    p_shifted: FloatArray
    z: FloatArray
    variance_z: FloatArray
    p_variance_wrong: FloatArray

    def coverage(self, name: str, guarded: bool = True) -> Share:
        """How often the interval of a statistic holds its true value."""
        value = self.subject.values[name]
        # A constant is known exactly, except for the rounding of its exact value.
        slack = 1e-9 * abs(value)
        summaries = self.summaries if guarded else self.unguarded
        found = [summary[name] for summary in summaries]
        return Share.of(
            (e.low - slack <= value <= e.high + slack for e in found),
            (np.isfinite(e.low) for e in found),
        )

    def columns(self) -> dict[str, Share | float]:
        """The row of the table."""
        tests = (
            _below(self.p),
            _below(self.p_shifted),
            _uniformity(self.z),
            _below(2 * stats.norm.sf(np.abs(self.variance_z))),
            _below(self.p_variance_wrong),
            _uniformity(self.variance_z),
        )
        without = [self.coverage(name, guarded=False) for name in GUARDED]
        return dict(zip(COLUMNS, (*map(self.coverage, COVERED), *without, *tests), strict=True))


COLUMNS = (
    *COVERED,
    *(f"{name}, unguarded" for name in GUARDED),
    "mean_test: alarms",
    "mean_test: power",
    "mean_z: KS p",
    "variance_test: alarms",
    "variance_test: power",
    "variance_test: KS p",
)


def _below(p: FloatArray) -> Share:
    return Share.of(p < LEVEL, np.isfinite(p))


def _uniformity(z: FloatArray) -> float:
    """p-value of the Kolmogorov-Smirnov test of N(0, 1); NaN with fewer than 50 z-scores."""
    z = z[np.isfinite(z)]
    return float(stats.kstest(z, "norm").pvalue) if z.size >= 50 else np.nan


def repeat(study: Study, replicates: int, n: int) -> list[Repeated]:
    """Every subject of a study measured n times with fresh replicates."""
    draws = Draws(study.horizon, study.batch_size, replicates, seed=2, stream=replicates)
    found = []
    for subject in study.subjects:
        pieces = repetitions(study.truth, subject.estimator, subject.given, draws, n)
        said = [_measure(subject, gradients, steps) for gradients, steps in pieces]
        summaries, unguarded, *numbers = zip(*said, strict=True)
        found.append(Repeated(subject, summaries, unguarded, *map(np.array, numbers)))
    return found


def sample_of(
    gradients: FloatArray,
    steps: NDArray[np.int64],
    truth: FloatArray,
    expected: FloatArray,
    exact_variance: float = np.nan,
) -> Sample:
    """The sample of replicates (R, d) that are all in memory."""
    sums = Sums(truth, [expected], len(gradients), np.zeros((0, truth.size)))
    sums.add_gradients(0, gradients[:, None], steps)
    return sums.sample(0, exact_variance)


def _measure(subject: Subject, gradients: FloatArray, steps: NDArray[np.int64]) -> tuple[Any, ...]:
    variance = subject.values["variance"]
    guard = variance if subject.exact else np.nan
    sample = sample_of(gradients, steps, subject.target, subject.expected, guard)
    blind = replace(sample, exact_variance=np.nan)
    projections, mean = gradients @ subject.along.T, subject.along @ subject.expected
    # Wrong truths: four standard errors off along the target, and a variance 10 % too large.
    spread = subject.along_variance[-1]
    if not np.isfinite(spread):
        spread = projections[:, -1].var(ddof=1)
    shifted = mean + 4 * np.sqrt(spread / len(gradients)) * (
        subject.along @ subject.target / np.linalg.norm(subject.target)
    )
    z = mean_z(projections, mean, subject.along_variance)
    return (
        summarise(sample),
        summarise(blind),
        mean_test(projections, mean).p_value,
        mean_test(projections, shifted).p_value,
        z[0],
        variance_test(sample.squared_deviation, variance).z,
        variance_test(sample.squared_deviation, 1.1 * variance).p_value,
    )


def rates(
    case: Case, replicates: int, n: int, reference: int = REFERENCE
) -> list[tuple[str, Share]]:
    """Coverage of the fitted rate over batch sizes, per estimator.

    What it should cover is the fit through the true RMSE: -1/2 exactly where there is no bias.
    """
    runs = [
        repeat(study(replace(case, batch_size=size), reference), replicates, n)
        for size in RATE_BATCHES
    ]
    rows = []
    for own in zip(*runs, strict=True):
        true = np.array([r.subject.values["rmse"] for r in own])
        hits, known = [], []
        for i in range(n):
            found = [r.summaries[i]["rmse"] for r in own]
            y, low, high = np.array([(e.value, e.low, e.high) for e in found]).T
            fit = fit_rate(RATE_BATCHES, y, low, high)
            known_true = np.where(np.isfinite(low), true, np.nan)
            exact = fit_rate(RATE_BATCHES, known_true, known_true, known_true)
            hits.append(fit.low <= exact.slope <= fit.high)
            known.append(bool(np.isfinite(fit.low)))
        rows.append((own[0].subject.label.rsplit(" | ", 1)[0], Share.of(hits, known)))
    return rows
