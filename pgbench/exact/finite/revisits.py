"""Pairs of visits to the same state: second moments where every parameter belongs to one state.

Instead of S·A coordinates it is enough to follow the returns to S states, a group of states at a
time, on several threads.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import comb
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.finite.recursion import Recursion
from pgbench.exact.remember import latest
from pgbench.problems import FiniteMDP
from pgbench.process.tables import Tables

GROUP = 64
"""Number of states whose returns are followed at a time, so that they stay in the cache."""

Returns = dict[tuple[int, int], FloatArray]

Paths = dict[int, list[Returns]]
"""Returns to the states of a group after 1, 2, ... steps, by the group's first state."""


def known_paths(tables: Tables, horizon: int) -> Paths:
    """The paths of the last estimators with these tables but for β, to which more may be added.

    They take less memory than the adjoint and the sources, and most of the time.
    """
    pi = tables.process.pi
    return _paths_of(
        tables.process.mdp, horizon, tables.total, pi, tables.sigma, tables.kappa, tables.delta
    )


@latest(2)
def _paths_of(mdp: FiniteMDP, *walk: Any) -> Paths:
    return {}


def products_of_weights(
    recursion: Recursion, horizon: int | None, threads: int | None, known: Paths
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
        follow(slice(S), [returns_ever(recursion, slice(S))])
        return diagonal, crossed

    def follow_group(begin: int) -> None:
        group = slice(begin, begin + GROUP)
        if begin not in known:
            known[begin] = list(returns_in(recursion, horizon, group))
        follow(group, known[begin])

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for job in [pool.submit(follow_group, begin) for begin in range(0, S, GROUP)]:
            job.result()
    return diagonal, crossed


def returns_in(recursion: Recursion, horizon: int, group: slice) -> Iterator[Returns]:
    """Paths of j + 1 steps from scored pairs back to their states, j = 0, ..., H - 2.

    Entry (i, k) (s, A) is what all such paths make of moment k at their end for moment i at
    their beginning, for a group of s scored states; absent where it is zero.
    """
    gather = _gather(recursion, group)
    decay = recursion.decay
    starts = [_unit(recursion, k, group) for k in range(recursion.order if decay is None else 1)]
    for j in range(horizon - 1):
        found: Returns = {}
        for k, X in enumerate(starts):
            gather(k, X, found)
        yield found if decay is None else _decayed(recursion, found, decay ** (j + 1))
        starts = [_stepped(recursion, X) for X in starts]


def _decayed(recursion: Recursion, found: Returns, decay: float) -> Returns:
    """Every entry from those of moment 0, where X is what is collected plus decay·X later."""
    return {
        (i, k): comb(i, k) * decay**k * found[i - k, 0]
        for i in range(recursion.order)
        for k in range(i + 1)
        if (i - k, 0) in found and (k == 0 or decay != 0)
    }


def returns_ever(recursion: Recursion, group: slice) -> Returns:
    """Paths of any length from a group's scored pairs back to their states, as ``returns_in``."""
    gather, found = _gather(recursion, group), Returns()
    for k in range(recursion.order):
        X: dict[int, FloatArray] = {}
        for i in range(k, recursion.order):
            right = _unit(recursion, k, group).get(i)
            for j, earlier in X.items():
                if (i, j) in recursion.step:
                    added = recursion.step[i, j] @ earlier
                    right = added if right is None else right + added
            if right is not None:
                X[i], _ = recursion.resolvents[i].solve(right)
        gather(k, X, found)
    return found


def _unit(recursion: Recursion, k: int, group: slice) -> dict[int, FloatArray]:
    ends = recursion.scored[group]
    columns = np.zeros((recursion.n, ends.size))
    columns[ends, np.arange(ends.size)] = 1.0
    return {k: columns}


def _stepped(recursion: Recursion, X: dict[int, FloatArray]) -> dict[int, FloatArray]:
    out: dict[int, FloatArray] = {}
    for (i, j), block in recursion.step.items():
        if j in X:
            added = block @ X[j]
            out[i] = out[i] + added if i in out else added
    return out


def _gather(
    recursion: Recursion, group: slice
) -> Callable[[int, dict[int, FloatArray], Returns], None]:
    """A function that adds (L X)(s, a; s) of the group's pairs to entries (i, k)."""
    A = recursion.n_actions
    pairs = (recursion.scored[group, None] * A + np.arange(A)).ravel()
    blocks = {}
    for place, block in recursion.lift.items():
        own = block[pairs].tocsr()
        row = np.repeat(np.arange(pairs.size), np.diff(own.indptr))
        blocks[place] = (own.data, own.indices, row)

    def gather(k: int, X: dict[int, FloatArray], found: Returns) -> None:
        for (i, j), (data, successor, row) in blocks.items():
            if j in X:
                values = np.bincount(row, data * X[j][successor, row // A], pairs.size)
                before = found.get((i, k), np.zeros((1, A)))
                found[i, k] = before + values.reshape(-1, A)

    return gather
