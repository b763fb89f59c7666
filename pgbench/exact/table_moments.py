"""Exact mean and variance of a table estimator over one trajectory, without sampling.

The second moments obey the recursions of ``finite.recursion`` for every coordinate of θ at
once. Where every parameter belongs to one state (a tabular policy), only pairs of visits to the
same state matter; so instead of S·A coordinates it is enough to follow the returns to S states.
Otherwise the coordinates are followed, as many at a time as fit in memory.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import singledispatch
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from pgbench.declared.parameters import check_counts
from pgbench.exact.expectation import expectation
from pgbench.exact.finite.linear import DENSE_LIMIT, Diverges
from pgbench.exact.finite.recursion import Recursion, Returns
from pgbench.exact.horizon import finite_gradient
from pgbench.exact.truth import Truth
from pgbench.exact.values import evaluate
from pgbench.policies import Parameterised
from pgbench.problems import FiniteMDP, Problem
from pgbench.process.tables import Tables

FloatArray = NDArray[np.float64]

GROUP = 64
"""Number of states whose returns are followed at a time, so that they stay in the cache."""

COLUMN_BYTES = 32 * 2**20
"""Size of one (S·A, c) array of the coordinates followed at a time."""


@dataclass(frozen=True)
class Size:
    """Memory in bytes, and multiplications, of which one core does about 3·10⁹ per second."""

    memory_bytes: float
    operations: float


LIMIT = Size(memory_bytes=3 * 2**30, operations=4e10)
"""The largest exact moments that are worked out unless more is allowed."""

DIRECTION_LIMIT = Size(memory_bytes=2**30, operations=1e9)
"""The same for the variance along a direction; one takes about ten seconds at most."""


class TooLarge(ValueError):
    """The exact moments need more memory or time than allowed; the message says how much."""


class NoFiniteVariance(ValueError):
    """The estimator's variance is infinite over an infinite horizon."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Exact moments of a one-trajectory estimate, (d,) float64 each.

    Attributes
    ----------
    mean, variance
        Per coordinate. An average of n independent trajectories has the same mean and 1/n of the
        variance.
    bias
        mean - ∇J.
    truncation_bias
        What of the bias is due to the horizon: the mean less its own limit over an infinite
        horizon. Where there is no such limit (γ^t left out of a continuing task) it is ∇J_H - ∇J.
    """

    mean: FloatArray
    variance: FloatArray
    bias: FloatArray
    truncation_bias: FloatArray

    @property
    def remaining_bias(self) -> FloatArray:
        """What of the bias a longer horizon does not remove."""
        return self.bias - self.truncation_bias

    @property
    def trace(self) -> float:
        """tr Cov(ĝ)."""
        return float(self.variance.sum())

    def by_state(self, n_states: int) -> FloatArray:
        """Variance summed over each state's own parameters (S,), for a tabular policy."""
        if self.variance.size % n_states:
            raise ValueError(
                f"{self.variance.size} parameters do not belong to {n_states} states in equal parts"
            )
        return self.variance.reshape(n_states, -1).sum(axis=1)


def moments(
    mdp: Problem,
    policy: Parameterised,
    theta: Any,
    estimator: str,
    *,
    horizon: int | None = None,
    limit: Size = LIMIT,
    threads: int | None = None,
    **parameters: Any,
) -> Moments:
    """Exact moments of an estimator by name, for one trajectory of at most ``horizon`` steps.

    Parameters
    ----------
    mdp, policy, theta
        Problem, policy and its parameters (d,).
    estimator
        Name, e.g. ``"gae"``; its own parameters are keywords, e.g. ``lam=0.95``.
    horizon
        Number of steps H, or None for the infinite horizon. An estimator that draws its own
        horizon at random has only the infinite one.
    limit
        Memory and operations allowed; ``moments_size`` says beforehand what is needed.
    threads
        Number of threads, default one per core; no result depends on it.

    Raises
    ------
    ValueError
        For unknown names or parameters; TooLarge beyond the limit; NoFiniteVariance where the
        variance is infinite, as that of a total return over an infinite horizon of a task that
        never ends.
    OverflowError
        Where moments are too large for a number.
    """
    # Estimators are made from exact values and so lie above them; only here does a name lead back.
    from pgbench.estimators import make_tables

    if horizon is not None:
        check_counts(horizon=horizon)
    truth = evaluate(mdp, policy, theta)
    tables = make_tables(truth, estimator, horizon, **parameters)
    with np.errstate(over="ignore", invalid="ignore"):
        found = table_moments(
            truth, tables, tables.process.within(horizon), limit=limit, threads=threads
        )
    require_finite(estimator, found.mean, found.variance)
    return found


def require_finite(estimator: str, mean: FloatArray, variance: FloatArray | None) -> None:
    """OverflowError where exact moments are not numbers."""
    known = {"mean": mean} if variance is None else {"mean": mean, "variance": variance}
    for name, values in known.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise OverflowError(
                f"{estimator}: coordinate {bad[0]} of the exact {name} is {values[bad[0]]}, must be"
                " finite; is theta too extreme?"
            )


@singledispatch
def table_moments(
    truth: Truth,
    tables: Any,
    horizon: int | None,
    *,
    limit: Size = LIMIT,
    threads: int | None = None,
) -> Moments:
    """Exact moments of an estimator given by its tables; see ``moments``."""
    _require(moments_size(truth, tables, horizon), limit)
    with _finite_variance(tables):
        mean = expectation(truth, tables, horizon)
        second = _second_moment(truth, tables, horizon, threads)
    return Moments(
        mean=mean,
        # Rounding may leave a little less than nothing.
        variance=np.maximum(second - mean**2, 0.0),
        bias=mean - truth.gradient,
        truncation_bias=truncation_bias(truth, tables, mean, horizon),
    )


@singledispatch
def moments_size(truth: Truth, tables: Any, horizon: int | None) -> Size:
    """What the exact moments of an estimator take, known before they are begun."""
    if truth.policy.local_scores(truth.theta) is None:
        return _columns_size(truth, tables, horizon, truth.gradient.size)
    process = tables.process
    n, S, A, H = process.pi.shape[0], truth.v.size, truth.pi.shape[1], horizon or 1
    F, blocks = _orders(tables)
    base = _vectors_size(tables, horizon)
    base = Size(base.memory_bytes + 16 * H * F * S * A, base.operations)
    if process.once:
        return base
    if horizon is None:
        # Dense factors, and about three passes with them for every column.
        memory = 8 * n**2 * (F + 4) + 8 * n * S * (2 * blocks + F + 6)
        operations = F * n**3 / 3 + 3 * blocks * n**2 * S
    else:
        constant = np.unique(tables.kappa[~process.mdp.terminal]).size == 1
        followed = min(S, GROUP * (os.cpu_count() or 1))
        memory = 8 * n * followed * (2 * (F if constant else blocks) + F + 6)
        memory += 2 * 8 * H * blocks * S * A  # the paths of two estimators are remembered
        products = blocks if constant else blocks * (F + 2) / 3
        operations = S * (H * _entries(tables) * products + A**2 * H**2 / 2 * blocks)
    return Size(base.memory_bytes + memory, base.operations + operations)


def _columns_size(truth: Truth, tables: Tables, horizon: int | None, columns: int) -> Size:
    base = _vectors_size(tables, horizon)
    if tables.process.once:
        return base
    n, A = tables.process.pi.shape
    F, blocks = _orders(tables)
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


def _vectors_size(tables: Tables, horizon: int | None) -> Size:
    """What the moments of X, the adjoint, and the mean's limit take."""
    n, A = tables.process.pi.shape
    F, _ = _orders(tables)
    H = horizon or 1
    memory = 8.0 * n * (H * (F if tables.total else 1) + 6 * F * A) + 100 * _entries(tables)
    operations = float(H * F * _entries(tables))
    if n <= DENSE_LIMIT:
        memory, operations = memory + 8 * (F + 4) * n**2, operations + F * n**3 / 3
    return Size(memory, operations)


def _entries(tables: Tables) -> int:
    return int(tables.process.mdp.transitions.nnz)


def _orders(tables: Tables) -> tuple[int, float]:
    """Number of moments of the recursion, and of the blocks of its lower triangle."""
    return (3, 6.0) if tables.total else (2, 3.0)


def fits(needed: Size, limit: Size = LIMIT) -> bool:
    """Whether exact moments of this size are worked out."""
    return needed.memory_bytes <= limit.memory_bytes and needed.operations <= limit.operations


def _require(needed: Size, limit: Size) -> None:
    if not fits(needed, limit):
        raise TooLarge(
            f"too large for exact moments: {needed.memory_bytes / 2**30:.2g} GiB and"
            f" {needed.operations:.1e} operations, more than the"
            f" {limit.memory_bytes / 2**30:g} GiB and {limit.operations:g} allowed"
        )


def truncation_bias(truth: Truth, tables: Any, mean: FloatArray, horizon: int | None) -> FloatArray:
    """What a finite horizon does to an estimator's mean (d,); see ``Moments``."""
    if horizon is None:
        return np.zeros_like(mean)
    try:
        return mean - expectation(truth, tables)
    except Diverges:
        return finite_gradient(truth, horizon) - truth.gradient


@singledispatch
def directional_variance(
    truth: Truth, tables: Any, horizon: int | None, directions: FloatArray
) -> FloatArray:
    """Exact variance (m,) of u·ĝ for m directions u (m, d), at the price of m coordinates.

    Raises NoFiniteVariance as ``moments`` does, and TooLarge beyond ``DIRECTION_LIMIT``.
    """
    _require(_columns_size(truth, tables, horizon, len(directions)), DIRECTION_LIMIT)
    psi = np.empty((truth.pi.size, len(directions)))
    for k, u in enumerate(directions):
        psi[:, k] = truth.policy.push_forward(truth.theta, u).ravel()
    with _finite_variance(tables):
        mean = directions @ expectation(truth, tables, horizon)
        second = _quadratic(Recursion(tables), psi, horizon)
    return np.maximum(second - mean**2, 0.0)


def _second_moment(
    truth: Truth, tables: Tables, horizon: int | None, threads: int | None
) -> FloatArray:
    """E[ĝ²] (d,)."""
    local = truth.policy.local_scores(truth.theta)
    recursion = Recursion(tables, dense=local is not None and not tables.process.once)
    if local is None:
        groups = [_quadratic(recursion, psi, horizon) for psi in _score_columns(truth)]
        return np.concatenate(groups)
    paths = {} if horizon is None else _remembered(tables, horizon)
    diagonal, crossed = _returning(recursion, horizon, threads, paths)
    second = np.einsum("sa,sak->sk", diagonal, local**2)
    return (second + 2 * np.einsum("sak,sab,sbk->sk", local, crossed, local)).ravel()


@contextmanager
def _finite_variance(tables: Tables) -> Iterator[None]:
    try:
        yield
    except Diverges as error:
        which = "a total return" if tables.total else "this estimator"
        raise NoFiniteVariance(
            f"the variance of {which} has no finite limit over an infinite horizon of"
            f" {tables.process.mdp.name}; give a finite horizon"
        ) from error


def _score_columns(truth: Truth) -> Iterator[FloatArray]:
    """Scores of all pairs (S·A, c), c coordinates at a time."""
    pairs, d = truth.pi.size, truth.gradient.size
    width = _columns_at_a_time(pairs, d)
    for begin in range(0, d, width):
        units = np.eye(min(width, d - begin), d, begin)
        columns = [truth.policy.push_forward(truth.theta, unit).ravel() for unit in units]
        yield np.stack(columns, axis=1)


def _columns_at_a_time(pairs: int, d: int) -> int:
    return min(d, max(1, COLUMN_BYTES // (8 * pairs)))


# Coordinates followed one by one.


def _quadratic(recursion: Recursion, scores: FloatArray, horizon: int | None) -> FloatArray:
    """E[ĝ²] (c,) of coordinates whose scores of the policy's pairs are columns (S·A, c)."""
    psi = recursion.spread(scores)
    if recursion.once:
        diagonal = sum((alpha * m).sum(axis=0) for alpha, m in recursion.history(horizon))
        return diagonal @ psi**2
    if horizon is None:
        alpha, m = recursion.limit
        return _weighed(recursion, alpha, m, psi, recursion.solved(recursion.source(m, psi)))
    Y = np.zeros((recursion.order, recursion.n, psi.shape[1]))
    second = np.zeros(psi.shape[1])
    for alpha, m in recursion.history(horizon):
        second += _weighed(recursion, alpha, m, psi, Y)
        Y = recursion.advanced(Y) + recursion.source(m, psi)
    return second


def _weighed(
    recursion: Recursion, alpha: FloatArray, m: FloatArray, psi: FloatArray, Y: FloatArray
) -> FloatArray:
    """Σ_pairs α·(m ψ² + 2 ψ L Y), shape (c,)."""
    later = np.zeros_like(psi)
    for (i, j), block in recursion.lift.items():
        later += alpha[i][:, None] * (block @ Y[j])
    diagonal = (alpha * m).sum(axis=0)
    return diagonal @ psi**2 + 2 * np.einsum("pk,pk->k", psi, later)


# Tabular policies: returns to the same state.


Paths = dict[int, list[Returns]]
"""Returns to the states of a group after 1, 2, ... steps, by the group's first state."""

_LATEST: WeakKeyDictionary[FiniteMDP, list[tuple[Any, Paths]]] = WeakKeyDictionary()


def _remembered(tables: Tables, horizon: int) -> Paths:
    """The paths of the last estimators with these tables but for β, to which more may be added.

    They take less memory than the adjoint and the sources, and most of the time.
    """
    key = (horizon, tables.total, tables.process.pi, tables.sigma, tables.kappa, tables.delta)
    latest = _LATEST.setdefault(tables.process.mdp, [])
    for known, paths in latest:
        if known[:2] == key[:2] and all(map(np.array_equal, known[2:], key[2:])):
            return paths
    latest.append((key, {}))
    del latest[:-2]
    return latest[-1][1]


def _returning(
    recursion: Recursion, horizon: int | None, threads: int | None, remembered: Paths
) -> tuple[FloatArray, FloatArray]:
    """Σ_t E[W_t²; s, a] (S, A), and E[W_t W_t'; s, a at t, s, b later] (S, A, A).

    W_t is the weight of step t. Their sum over the later b of a state is the quadratic form of the
    second moment of every parameter that belongs to the state.
    """
    F, S, A, H = recursion.order, recursion.scored.size, recursion.n_actions, horizon or 1
    diagonal, crossed = np.zeros((S, A)), np.zeros((S, A, A))
    pi = recursion.at_scored(recursion.pi)
    alphas, sources = np.empty((F, S, A, H)), np.empty((F, S, H, A))
    for h, (alpha, m) in enumerate(recursion.history(horizon)):
        diagonal += recursion.at_scored((alpha * m).sum(axis=0))
        alphas[..., h], sources[:, :, h] = recursion.at_scored(alpha), recursion.at_scored(m) * pi
    if recursion.once:
        return diagonal, crossed
    # alphas (F, S, A, H) and sources (F, S, H, A): alphas[..., h-1] meets sources[..., h-1-j, :]
    # after j steps, h steps to go at the first visit.

    def follow(group: slice, paths: Iterable[Returns]) -> None:
        for j, path in enumerate(paths):
            for (i, k), weight in path.items():
                first, last = (0, 1) if horizon is None else (1 + j, H - 1 - j)
                product = alphas[i, group, :, first:] @ sources[k, group, :last]
                crossed[group] += weight[:, :, None] * product

    if horizon is None:
        follow(slice(S), [recursion.returns_ever(slice(S))])
        return diagonal, crossed

    def follow_group(begin: int) -> None:
        group = slice(begin, begin + GROUP)
        if begin not in remembered:
            remembered[begin] = list(recursion.returns_in(horizon, group))
        follow(group, remembered[begin])

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for job in [pool.submit(follow_group, begin) for begin in range(0, S, GROUP)]:
            job.result()
    return diagonal, crossed
