"""Pairs of visits to the same state: second moments where every parameter belongs to one state.

Instead of S·A coordinates it is enough to follow the returns to S states, a group of states at a
time, on several threads. Small problems are followed to the horizon, or solved at once where there
is none; of large ones see ``paths``.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray, IndexArray
from pgbench.exact.finite.fundamental import SMALL
from pgbench.exact.finite.linear import DENSE_LIMIT
from pgbench.exact.finite.paths import (
    Ever,
    Path,
    Paths,
    Returns,
    decayed,
    gathering,
    solved_from,
    stepped,
    units,
)
from pgbench.exact.finite.recursion import Recursion
from pgbench.exact.remember import latest
from pgbench.problems import FiniteMDP
from pgbench.process.tables import Tables

GROUP = 64
"""Number of states whose returns are followed at a time, so that they stay in the cache."""


@dataclass(frozen=True, eq=False)
class Products:
    """Products of the weights of a state's visits, over S states and their A actions.

    Attributes
    ----------
    diagonal
        Σ_t E[W_t²; s, a] (S, A), W_t the weight of step t.
    crossed
        E[W_t W_t'; s, a at t, s, b later] (S, A, A). Their sum over the later b of a state is the
        quadratic form of the second moment of every parameter that belongs to the state.
    error
        Bound (S, A, A) on the error of ``crossed`` by what is left out of returns and by their
        rounding; 0 for small problems, of which nothing is left out.
    """

    diagonal: FloatArray
    crossed: FloatArray
    error: FloatArray


class Known:
    """What is known of the returns of recursions that differ in β alone.

    Attributes
    ----------
    steps
        Of small problems: returns after 1, 2, ... steps, by the first state of a group.
    ever
        Returns after any number of steps.
    """

    def __init__(self) -> None:
        self.steps: dict[int, list[Returns]] = {}
        self.ever: dict[int, Ever] = {}
        self._paths: Paths | None = None

    def paths(self, recursion: Recursion) -> Paths:
        """The paths of a large problem, of which this is one of the recursions."""
        if self._paths is None:
            self._paths = Paths(recursion)
        return self._paths


def known_returns(tables: Tables) -> Known:
    """What is known of the last estimators with these tables but for β, to which more is added.

    That takes less memory than the adjoint and the sources, and most of the time.
    """
    pi = tables.process.pi
    return _known(tables.process.mdp, tables.total, pi, tables.sigma, tables.kappa, tables.delta)


@latest(2)
def _known(mdp: FiniteMDP, *walk: Any) -> Known:
    return Known()


def is_large(n_states: int, horizon: int | None) -> bool:
    """Whether returns are those of ``paths``, or of solutions a group at a time."""
    return n_states > (DENSE_LIMIT if horizon is None else SMALL)


def products_of_weights(
    recursion: Recursion,
    horizon: int | None,
    threads: int | None,
    known: Known,
    states: IndexArray | None = None,
) -> Products:
    """Products of the weights of visits, of all scored states or of some.

    Parameters
    ----------
    recursion, horizon
        The estimator, and the number of steps, or None.
    threads
        Number of threads, default one per core; no result depends on it.
    known
        Returns as far as they are known, to which those are added that are asked for here.
    states
        Which of the scored states (S,), in which order; ``known`` is then about these alone.
    """
    ends = recursion.scored if states is None else recursion.scored[states]
    F, S, A, H = recursion.order, ends.size, recursion.n_actions, horizon or 1
    pi = recursion.at(ends, recursion.pi)
    out = Products(np.zeros((S, A)), np.zeros((S, A, A)), np.zeros((S, A, A)))
    # alphas (F, S, A, H) and sources (F, S, H, A): alphas[..., h-1] meets sources[..., h-1-j, :]
    # after j steps, h steps to go at the first visit.
    alphas, sources = np.empty((F, S, A, H)), np.empty((F, S, H, A))
    for h, (alpha, m) in enumerate(recursion.history(horizon)):
        out.diagonal[:] += recursion.at(ends, (alpha * m).sum(axis=0))
        alphas[..., h], sources[:, :, h] = recursion.at(ends, alpha), recursion.at(ends, m) * pi
    if recursion.once:
        return out
    large = is_large(recursion.n, horizon)
    if horizon is None and not large:
        _add_ever(out, slice(S), returns_ever(recursion, ends), alphas, sources)
        return out
    paths = known.paths(recursion) if large else None

    def follow_group(begin: int) -> None:
        group = slice(begin, begin + GROUP)
        met = np.flatnonzero(alphas[:, group].any(axis=(0, 1, 2)))
        if not met.size:
            return
        own, here, m = ends[group], alphas[:, group], sources[:, group]
        if horizon is None:
            assert paths is not None
            if begin not in known.ever:
                known.ever[begin] = _ever(recursion, paths, begin, own)
            ever = known.ever[begin]
            _add_ever(out, group, ever.returns, alphas, sources)
            error = ever.error
        elif paths is None:
            if begin not in known.steps or len(known.steps[begin]) < horizon - 1:
                known.steps[begin] = list(returns_in(recursion, horizon, own))
            _add_steps(out.crossed[group], known.steps[begin][: horizon - 1], here, m)
            return
        elif (steps := int(met[-1])) > 0:
            path = paths.to(begin, own, steps)
            _add_steps(out.crossed[group], path.steps[:steps], here, m)
            if path.ended and steps > len(path.steps):
                _add_later(out.crossed[group], paths, path, own, here, m, steps)
            error = paths.error(path, own, steps)
        else:
            return
        size, largest = np.abs(here).sum(axis=3), np.abs(m).max(axis=2)
        out.error[group] = np.einsum("isa,iksa,ksb->sab", size, error, largest)

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for job in [pool.submit(follow_group, begin) for begin in range(0, S, GROUP)]:
            job.result()
    return out


def _add_ever(
    out: Products, group: slice, returns: Returns, alphas: FloatArray, sources: FloatArray
) -> None:
    """Add what returns after any number of steps to a group make of α and m of all."""
    for (i, k), weight in returns.items():
        product = alphas[i, group] @ sources[k, group]
        out.crossed[group] += weight[:, :, None] * product


def _add_steps(
    crossed: FloatArray, steps: Iterable[Returns], alphas: FloatArray, sources: FloatArray
) -> None:
    """Add what returns after 1, 2, ... steps make of α (F, s, A, H) and m (F, s, H, A)."""
    H = alphas.shape[3]
    for j, returns in enumerate(steps):
        for (i, k), weight in returns.items():
            product = alphas[i, :, :, 1 + j :] @ sources[k, :, : H - 1 - j]
            crossed += weight[:, :, None] * product


def _add_later(
    crossed: FloatArray, paths: Paths, path: Path, ends: IndexArray,
    alphas: FloatArray, sources: FloatArray, steps: int,
) -> None:  # fmt: skip
    """Add what returns L R Tʲ c make that take longer than those that were followed.

    q = Σ_j Tʲ c m of j more steps to go goes from each number of steps to go to the next.
    """
    F, T, done = len(alphas), paths.dominant.transition, len(path.steps)
    q = np.zeros((F, ends.size, alphas.shape[2]))
    all_q = np.empty((F, ends.size, steps - done, q.shape[2]))
    for h in range(steps - done):
        arriving = (path.c[:, :, :, None] * sources[:, :, h]).sum(axis=1)
        q = np.tensordot(T, q, axes=1) + arriving
        all_q[:, :, h] = q
    lifted = paths.lifted(ends)
    for i, f in np.ndindex(F, F):
        weight = lifted[i, :, :, f]
        if weight.any():
            product = alphas[i, :, :, 1 + done : 1 + steps] @ all_q[f]
            crossed += weight[:, :, None] * product


def _ever(recursion: Recursion, paths: Paths, begin: int, ends: IndexArray) -> Ever:
    """Returns after any number of steps to a group of a large problem."""
    if not recursion.has_factors and paths.settles:
        path = paths.to(begin, ends, None)
        if path.ended:
            return Ever(paths.summed(path, ends), paths.error(path, ends, None))
    return paths.solved(ends)


def returns_in(recursion: Recursion, horizon: int, ends: IndexArray) -> Iterator[Returns]:
    """Paths of j + 1 steps from pairs of ``ends`` back to their states, j = 0, ..., H - 2.

    An entry is absent where it is zero.
    """
    gather = gathering(recursion, ends)
    decay = recursion.decay
    starts = [{k: units(recursion, ends)} for k in range(recursion.order if decay is None else 1)]
    for j in range(horizon - 1):
        found: Returns = {}
        for k, X in enumerate(starts):
            gather(k, X, found)
        yield found if decay is None else decayed(recursion, found, decay ** (j + 1))
        starts = [stepped(recursion, X) for X in starts]


def returns_ever(recursion: Recursion, ends: IndexArray) -> Returns:
    """Paths of any length from pairs of ``ends`` back to their states, by linear systems."""
    gather, found = gathering(recursion, ends), Returns()
    for k in range(recursion.order):
        X: dict[int, FloatArray] = {}
        for i in range(k, recursion.order):
            right = solved_from(recursion, X, i, units(recursion, ends) if i == k else None)
            if right is not None:
                X[i], _ = recursion.factored[i].solve(right)
        gather(k, X, found)
    return found
