"""An unbiased estimate of tr Cov(ĝ) of a tabular policy too large for exact moments.

The trace is a sum over states. What each visit adds by itself, and the squared mean, are exact for
all states; what pairs of visits to the same state add, C_s, takes returns to the state and is
exact for states of a random sample alone. States are drawn with probabilities in proportion to
their own part A_s: two points are uniform in each stratum of equal size of Σ_s A_s, and C_s/A_s at
the points times the stratum's size is an unbiased estimate of its Σ C_s, with an unbiased variance
of a quarter of the squared difference. A state without A_s has no C_s.
(Cochran 1977, Sections 5.6 and 9A.2)
"""

from dataclasses import dataclass

import numpy as np

from pgbench.arrays import FloatArray, IndexArray
from pgbench.exact.expectation import expectation
from pgbench.exact.finite.moments import finite_variance, vectors_size
from pgbench.exact.finite.recursion import Recursion
from pgbench.exact.finite.returns_size import sample_size
from pgbench.exact.finite.revisits import Known, products_of_weights
from pgbench.exact.table_moments import LIMIT, Size, require_fitting
from pgbench.exact.truth import Truth
from pgbench.policies import NotApplicable
from pgbench.process.tables import Tables


@dataclass(frozen=True)
class EstimatedTrace:
    """tr Cov(ĝ) of a one-trajectory estimate, estimated from a sample of states.

    Attributes
    ----------
    value
        The estimate, unbiased over samples; an average of n trajectories has 1/n of it.
    standard_error
        Root of an unbiased estimate of the variance of ``value`` over samples of states.
    states
        Number of different states whose returns were followed.
    """

    value: float
    standard_error: float
    states: int


def estimated_trace(
    truth: Truth,
    tables: Tables,
    horizon: int | None,
    *,
    points: int = 64,
    seed: int = 0,
    limit: Size = LIMIT,
    threads: int | None = None,
) -> EstimatedTrace:
    """An estimate of the total variance of an estimator, with its standard error.

    Parameters
    ----------
    truth
        Of a tabular policy on a finite problem.
    tables, horizon
        The estimator, and the number of steps, or None for the infinite horizon.
    points
        How many points are drawn, an even number: at most so many states are followed.
    seed
        Of the sample.
    limit, threads
        As for ``table_moments``.

    Raises
    ------
    ValueError
        For an odd number of points; NotApplicable where parameters are shared by states; TooLarge
        beyond the limit; NoFiniteVariance where the variance is infinite.
    """
    if points < 2 or points % 2:
        raise ValueError(f"points is {points}, must be even and at least 2")
    local = truth.policy.local_scores(truth.theta)
    if local is None:
        raise NotApplicable("parameters are shared by states, so that no sample of these is enough")
    base, more = vectors_size(tables, horizon), sample_size(tables, horizon, points)
    require_fitting(
        Size(base.memory_bytes + more.memory_bytes, base.operations + more.operations), limit
    )
    with finite_variance(tables):
        recursion = Recursion(tables)
        mean = expectation(truth, tables, horizon)
        alone = np.einsum("sa,sak->s", _visits(recursion, horizon), local**2)
        exact = float(alone.sum() - mean @ mean)
        if not alone.any():
            return EstimatedTrace(exact, 0.0, 0)
        at = _points(alone, points, seed)
        states, place = np.unique(at, return_inverse=True)
        pairs = products_of_weights(recursion, horizon, threads, Known(), states)
    own = local[states]
    crossed = 2 * np.einsum("sak,sab,sbk->s", own, pairs.crossed, own)
    ratios = (crossed / alone[states])[place].reshape(-1, 2) * (alone.sum() / (points / 2))
    spread = np.diff(ratios, axis=1) / 2
    return EstimatedTrace(
        value=exact + float(ratios.mean(axis=1).sum()),
        standard_error=float(np.sqrt((spread**2).sum())),
        states=states.size,
    )


def _visits(recursion: Recursion, horizon: int | None) -> FloatArray:
    """Σ_t E[W_t²; s, a] (S, A)."""
    total = sum((alpha * m).sum(axis=0) for alpha, m in recursion.history(horizon))
    return recursion.at(recursion.scored, np.asarray(total, np.float64))


def _points(sizes: FloatArray, points: int, seed: int) -> IndexArray:
    """States at two uniform points of each of ``points``/2 equal strata of Σ sizes."""
    ends = np.cumsum(sizes)
    strata = np.repeat(np.arange(points // 2), 2)
    uniform = np.random.default_rng(seed).random(points)
    at = (strata + uniform) * (ends[-1] / (points // 2))
    last = np.flatnonzero(sizes)[-1]
    return np.minimum(np.searchsorted(ends, at, side="right"), last)
