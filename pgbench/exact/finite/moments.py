"""Exact moments of table estimators on finite problems.

The second moments obey the recursions of ``recursion`` for every coordinate of θ at once. Where
every parameter belongs to one state (a tabular policy), only pairs of visits to the same state
matter; so instead of S·A coordinates it is enough to follow the returns to S states. Otherwise the
coordinates are followed, as many at a time as fit in memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.expectation import expectation
from pgbench.exact.finite.linear import DENSE_LIMIT
from pgbench.exact.finite.recursion import Recursion
from pgbench.exact.finite.returns_size import orders, returns_size
from pgbench.exact.finite.revisits import known_returns, products_of_weights
from pgbench.exact.finite.scores import score_columns
from pgbench.exact.finite.values import FiniteTruth
from pgbench.exact.table_moments import (
    DIRECTION_LIMIT,
    LIMIT,
    Moments,
    NoFiniteVariance,
    Size,
    directional_variance,
    moments_size,
    require_fitting,
    table_moments,
    truncation_bias,
)
from pgbench.exact.truth import Truth
from pgbench.problems.problem import Diverges
from pgbench.process.tables import Tables

COLUMN_BYTES = 8 * 2**20
"""Size of one (S·A, c) array of the coordinates followed at a time."""


@table_moments.register
def finite_table_moments(
    truth: FiniteTruth,
    tables: Tables,
    horizon: int | None,
    *,
    limit: Size = LIMIT,
    threads: int | None = None,
) -> Moments:
    """Mean and variance of every coordinate; see ``table_moments``."""
    require_fitting(moments_size(truth, tables, horizon), limit)
    with finite_variance(tables):
        mean = expectation(truth, tables, horizon)
        second, error = _second_moment(truth, tables, horizon, threads)
    return Moments(
        mean=mean,
        # Rounding may leave a little less than nothing.
        variance=np.maximum(second - mean**2, 0.0),
        bias=mean - truth.gradient,
        truncation_bias=truncation_bias(truth, tables, mean, horizon),
        error=error,
    )


@moments_size.register
def finite_moments_size(truth: FiniteTruth, tables: Tables, horizon: int | None) -> Size:
    """What the moments take: by states for tabular policies, else by coordinates."""
    if truth.policy.local_scores(truth.theta) is None:
        return _columns_size(truth, tables, horizon, truth.gradient.size)
    process = tables.process
    F, _ = orders(tables)
    base = vectors_size(tables, horizon)
    pairs = truth.pi.size
    base = Size(base.memory_bytes + 16 * (horizon or 1) * F * pairs, base.operations)
    if process.once:
        return base
    more = returns_size(tables, horizon)
    return Size(base.memory_bytes + more.memory_bytes, base.operations + more.operations)


def _columns_size(truth: Truth, tables: Tables, horizon: int | None, columns: int) -> Size:
    base = vectors_size(tables, horizon)
    if tables.process.once:
        return base
    n, A = tables.process.pi.shape
    F, blocks = orders(tables)
    width = _columns_at_a_time(truth.pi.size, columns)
    if horizon is not None:
        each = horizon * _entries(tables) * (F + blocks)
    else:
        # About three passes with dense factors, or some hundred products.
        each = blocks * (3 * n**2 if n <= DENSE_LIMIT else 100 * _entries(tables))
    return Size(
        base.memory_bytes + 8 * width * (4 * n * A + 3 * F * n),
        base.operations + columns * each,
    )


def vectors_size(tables: Tables, horizon: int | None) -> Size:
    """What the moments of X, the adjoint, and the mean's limit take."""
    n, A = tables.process.pi.shape
    F, _ = orders(tables)
    H = horizon or 1
    memory = 8.0 * n * (H * (F if tables.total else 1) + 6 * F * A) + 100 * _entries(tables)
    operations = float(H * F * _entries(tables))
    if n <= DENSE_LIMIT:
        memory, operations = memory + 8 * (F + 4) * n**2, operations + F * n**3 / 3
    return Size(memory, operations)


def _entries(tables: Tables) -> int:
    return int(tables.process.mdp.transitions.nnz)


@directional_variance.register
def finite_directional_variance(
    truth: FiniteTruth, tables: Tables, horizon: int | None, directions: FloatArray
) -> FloatArray:
    """Variance along directions, whose scores are followed as those of coordinates."""
    require_fitting(_columns_size(truth, tables, horizon, len(directions)), DIRECTION_LIMIT)
    psi = np.empty((truth.pi.size, len(directions)))
    for k, u in enumerate(directions):
        psi[:, k] = truth.policy.push_forward(truth.theta, u).ravel()
    with finite_variance(tables):
        mean = directions @ expectation(truth, tables, horizon)
        second = _quadratic(Recursion(tables), psi, horizon)
    return np.maximum(second - mean**2, 0.0)


def _second_moment(
    truth: Truth, tables: Tables, horizon: int | None, threads: int | None
) -> tuple[FloatArray, FloatArray]:
    """E[ĝ²] (d,), and a bound on what is left out of it."""
    local = truth.policy.local_scores(truth.theta)
    recursion = Recursion(tables)
    if local is None:
        width = _columns_at_a_time(truth.pi.size, truth.gradient.size)
        columns = score_columns(truth.policy, truth.theta, width)
        groups = [_quadratic(recursion, psi, horizon) for psi in columns]
        second = np.concatenate(groups)
        return second, np.zeros_like(second)
    products = products_of_weights(recursion, horizon, threads, known_returns(tables))
    second = np.einsum("sa,sak->sk", products.diagonal, local**2)
    second += 2 * np.einsum("sak,sab,sbk->sk", local, products.crossed, local)
    size = np.abs(local)
    error = 2 * np.einsum("sak,sab,sbk->sk", size, products.error, size)
    return second.ravel(), error.ravel()


@contextmanager
def finite_variance(tables: Tables) -> Iterator[None]:
    """Say NoFiniteVariance of the estimator where a sum of the block diverges."""
    try:
        yield
    except Diverges as error:
        which = "a total return" if tables.total else "this estimator"
        raise NoFiniteVariance(
            f"the variance of {which} has no finite limit over an infinite horizon of"
            f" {tables.process.mdp.name}; give a finite horizon"
        ) from error


def _columns_at_a_time(pairs: int, d: int) -> int:
    return min(d, max(1, COLUMN_BYTES // (8 * pairs)))


def _quadratic(recursion: Recursion, scores: FloatArray, horizon: int | None) -> FloatArray:
    """E[ĝ²] (c,) of coordinates whose scores of the policy's pairs are columns (S·A, c)."""
    psi = recursion.spread(scores)
    diagonal, later = np.zeros(len(psi)), np.zeros_like(psi)
    Y = np.zeros((recursion.order, recursion.n, psi.shape[1]))
    if horizon is None and not recursion.once:
        Y = recursion.solved(recursion.source(recursion.limit[1], psi))
    for alpha, m in recursion.history(horizon):
        diagonal += (alpha * m).sum(axis=0)
        if not recursion.once:
            Y = recursion.earlier(Y, alpha, m, psi, later)
    return np.asarray(diagonal @ psi**2 + 2 * np.einsum("pk,pk->k", psi, later), np.float64)
