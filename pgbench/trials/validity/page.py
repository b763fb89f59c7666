"""The study as tables in Markdown."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from pgbench.arrays import FloatArray
from pgbench.trials.validity.cells import (
    BATCHES,
    FINITE,
    LINEAR_QUADRATIC,
    OFF_POLICY,
    RATE_BATCHES,
    StudyCell,
)
from pgbench.trials.validity.repeat import Repeated
from pgbench.trials.validity.shares import HitShare

LEVEL = 0.05

GROUPS: Mapping[str, tuple[StudyCell, ...]] = {
    "Tables on finite problems": FINITE,
    "Functions of batches": BATCHES,
    "Data of another policy": OFF_POLICY,
    "Linear-quadratic problems": LINEAR_QUADRATIC,
}

GUARDED = ("bias_squared", "variance", "mse", "work_normalised_variance")
"""Statistics that hang on the spread, which the exact variance guards."""

COVERED = (*GUARDED, "cosine", "ascent_probability", "steps")

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

LEGEND = """# Measured coverage and false alarms

Written by `python -m pgbench.trials.validity --output docs/validity.md` (`make validity`); the
methods are described in [statistics.md](statistics.md). Entries are per cent of the repetitions
with binomial standard errors; in square brackets the per cent of repetitions in which an
interval or test was given, if not all; — where it was in fewer than ten. The first columns are
the coverage of 95 % intervals: `bias_squared` stands for `bias` and `relative_bias` too,
`variance` for `relative_variance` and `snr`, `mse` for `rmse` and `relative_rmse`, which are
functions of it. Unguarded are the same intervals from the sample alone, as if neither the exact
variance nor what the estimator declares of its ratios were known. Then the test of the mean
against the exact expectation: false alarms at the 5 % level, and the power against a mean four
standard errors off along the gradient; the p-value of a Kolmogorov-Smirnov test that `mean_z` is
N(0, 1); the test of the variance: false alarms, the power against a variance 10 % off, and the
same p-value. Truths without a formula (cosine and ascent probability, and the moments of some
estimators) are those of a run of 200 000 replicates, 50 000 of functions of batches, fewer where
d or n is large."""


def columns(repeated: Repeated) -> dict[str, HitShare | float]:
    """The entries of a row by column."""
    tests = (
        _below(repeated.p),
        _below(repeated.p_shifted),
        _uniformity(repeated.z),
        _below(2 * stats.norm.sf(np.abs(repeated.variance_z))),
        _below(repeated.p_variance_wrong),
        _uniformity(repeated.variance_z),
    )
    covered = [repeated.coverage(name) for name in COVERED]
    unguarded = [repeated.coverage(name, guarded=False) for name in GUARDED]
    return dict(zip(COLUMNS, (*covered, *unguarded, *tests), strict=True))


def _below(p: FloatArray) -> HitShare:
    return HitShare.of(p < LEVEL, np.isfinite(p))


def _uniformity(z: FloatArray) -> float:
    """p-value of the Kolmogorov-Smirnov test of N(0, 1); NaN with fewer than 50 z-scores."""
    z = z[np.isfinite(z)]
    return float(stats.kstest(z, "norm").pvalue) if z.size >= 50 else np.nan


def row(repeated: Repeated) -> str:
    """A line of the table of cells."""
    cells = (f"{x:.2g}" if isinstance(x, float) else str(x) for x in columns(repeated).values())
    return f"| {repeated.known.label} | {' | '.join(cells)} |".replace("nan", "—")


def rate_row(label: str, replicates: int, share: HitShare) -> str:
    """A line of the table of rates."""
    return f"| {label} | {replicates} | {share} |"


def cells_table(title: str, rows: Sequence[str]) -> str:
    """The table of a group of cells, with its title."""
    return f"### {title}\n\n" + _table(("problem", "estimator", "d", "n", *COLUMNS), rows)


def rates_table(rows: Sequence[str]) -> str:
    """The table of rates, with its title."""
    title = f"## Fitted rate over n = {', '.join(map(str, RATE_BATCHES))}\n\n"
    return title + _table(("problem", "estimator", "d", "R", "rmse_rate"), rows)


def _table(names: Sequence[str], rows: Sequence[str]) -> str:
    return "\n".join([f"| {' | '.join(names)} |", "|" + "---|" * len(names), *rows])
