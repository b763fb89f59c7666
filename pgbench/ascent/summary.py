"""What the replicates of an ascent say together: means, times, rates and outcomes.

Suboptimality is summarised by the interquartile mean, the mean of the middle half, which neither a
few lucky nor a few failed runs move; its interval is a percentile bootstrap over replicates,
stratified by problem where problems are pooled (Agarwal, Schwarzer, Castro, Courville & Bellemare
2021). A replicate that diverged counts as infinitely bad.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pgbench.arrays import BoolArray, FloatArray, IndexArray, IntArray
from pgbench.declared.outcomes import AscentOutcome
from pgbench.statistics import fit_line, wilson

RESAMPLES = 500
SEED = 20211029

POWER, GEOMETRIC, NEITHER = "power law", "geometric", "neither"

RATES = {POWER: "k^-{}", GEOMETRIC: "exp(-{} k)"}
"""How rates are written, by kind."""

MIN_POINTS = 5
"""Fewest logged iterates that a rate is fitted to."""

MIN_FALL = 0.05
"""What falls by less than this, in the logarithm, over the fitted updates does not fall."""

FLOOR = 1e-11
"""Below this part of the initial suboptimality nothing but rounding is left."""


def interquartile_mean(x: ArrayLike, axis: int = 0) -> FloatArray:
    """Mean of the middle half along an axis; ends of the half count in part.

    NaN counts as infinitely large, so the mean is infinite once more than a quarter is.
    """
    values = np.moveaxis(np.asarray(x, np.float64), axis, 0)
    values = np.sort(np.where(np.isnan(values), np.inf, values), axis=0)
    n = values.shape[0]
    edges = np.clip(np.arange(n + 1), 0.25 * n, 0.75 * n)
    weights = np.diff(edges) / (0.5 * n)
    used = weights > 0
    return np.asarray(np.tensordot(weights[used], values[used], axes=1), np.float64)


@dataclass(frozen=True, eq=False)
class Interval:
    """An estimate with the ends of its 95 % interval, arrays of one shape."""

    value: FloatArray
    low: FloatArray
    high: FloatArray


def resampled(counts: list[int], resamples: int = RESAMPLES) -> list[IndexArray]:
    """Indices (resamples, n) drawn with replacement within each stratum of n."""
    rng = np.random.default_rng(SEED)
    return [rng.integers(0, n, (resamples, n)) for n in counts]


def iqm_interval(strata: list[FloatArray]) -> Interval:
    """Interquartile mean of the runs (n_i, L) of all strata together, per column.

    With one run in every stratum there is no interval: both ends are NaN.
    """
    pooled = np.concatenate(strata)
    value = interquartile_mean(pooled)
    if all(len(runs) == 1 for runs in strata):
        nothing = np.full(value.shape, np.nan)
        return Interval(value, nothing, nothing)
    drawn = [
        runs[index] for runs, index in zip(strata, resampled([len(r) for r in strata]), strict=True)
    ]
    means = interquartile_mean(np.concatenate(drawn, axis=1), axis=1)
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(means, [0.025, 0.975], axis=0, method="closest_observation")
    return Interval(value, low, high)


def steps_to(steps: IntArray, gap: FloatArray, fraction: float) -> FloatArray:
    """First logged step at which the gap (m, L) is at most a part of its start, (m,); NaN if never.

    NaN too where there was no gap to begin with.
    """
    with np.errstate(invalid="ignore"):
        reached = gap <= fraction * gap[:, :1]
    first = steps[reached.argmax(axis=1)].astype(np.float64)
    return np.where(reached.any(axis=1) & (gap[:, 0] > 0), first, np.nan)


def median_steps(reached: FloatArray) -> float:
    """Median of steps that NaN says were never reached (m,); infinite if that is half or more."""
    return float(np.median(np.where(np.isnan(reached), np.inf, reached)))


def mean_of_replicates(x: FloatArray) -> FloatArray:
    """Mean over the replicates that are left, the axis before the last; NaN where none is."""
    left = np.isfinite(x)
    n = left.sum(axis=-2)
    total = np.where(left, x, 0.0).sum(axis=-2)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


@dataclass(frozen=True)
class Fit:
    """Which rate fits better: ``kind``, the exponent p of k^-p or c of exp(-ck), its interval."""

    kind: str
    rate: float
    low: float
    high: float
    r_squared: float


def fit_decay(steps: IntArray, gap: FloatArray) -> Fit:
    """Fit a power law and an exponential to the interquartile mean of the gap (m, L).

    Both are straight lines in log gap, against log k and against k, fitted to the last decade of
    logged steps in which the gap is above rounding; the better one in the sum of squares is kept,
    or neither if it explains less than 90 % of the variance or falls by less than 5 %. The interval
    is a bootstrap over replicates, or, for a single run, that of the regression.
    """
    curve = interquartile_mean(gap)
    floor = FLOOR * curve[0] if np.isfinite(curve[0]) else 0.0
    good = (steps > 0) & np.isfinite(curve) & (curve > floor)
    if good.any():
        good &= steps >= steps[good][-1] / 10
    if good.sum() < MIN_POINTS:
        return Fit("", np.nan, np.nan, np.nan, np.nan)
    k, y = steps[good].astype(np.float64), np.log(curve[good])
    times = {POWER: np.log(k), GEOMETRIC: k}
    fits = {kind: fit_line(x, y) for kind, x in times.items()}
    kind = max(fits, key=lambda name: fits[name].r_squared)
    fit, x = fits[kind], times[kind]
    rate, r_squared = -fit.slope, fit.r_squared
    if not r_squared >= 0.9 or not rate * float(np.ptp(x)) >= MIN_FALL:
        return Fit(NEITHER, np.nan, np.nan, np.nan, r_squared)
    if len(gap) == 1:
        return Fit(kind, rate, rate - fit.half, rate + fit.half, r_squared)
    draws = interquartile_mean(gap[:, good][resampled([len(gap)])[0]], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = -(np.log(draws) @ (x - x.mean())) / np.sum((x - x.mean()) ** 2)
    slopes = slopes[np.isfinite(slopes)]
    low, high = np.quantile(slopes, [0.025, 0.975]) if slopes.size else (np.nan, np.nan)
    return Fit(kind, rate, float(low), float(high), r_squared)


STILL_WRONG = 0.1


def outcomes(
    gap: FloatArray,
    certain: BoolArray,
    stopped: IntArray,
    stable: BoolArray,
) -> IntArray:
    """What became of each run, codes of ``AscentOutcome`` (m,).

    A run collapsed if it ends nearly deterministic, ``certain``, and yet keeps more than 10 % of
    its initial suboptimality: it committed to something wrong. One that stopped at a finite θ that
    is not ``stable`` left the stable region; any other that stopped diverged.
    """
    with np.errstate(invalid="ignore"):
        wrong = gap[:, -1] > STILL_WRONG * np.abs(gap[:, 0])
    found = np.where(certain & wrong, AscentOutcome.COLLAPSED, AscentOutcome.FINISHED)
    left = np.where(stable, AscentOutcome.DIVERGED, AscentOutcome.UNSTABLE)
    return np.where(stopped >= 0, left, found)


def share(hits: int, n: int) -> tuple[float, float, float]:
    """A share with the interval of Wilson (1927)."""
    return hits / n, *wilson(hits, n)
