"""The walk over states that a policy makes of a problem, and sums over its steps.

Exact quantities are sums of two sequences of vectors: forward u_t = (δP_πᵀ)ᵗ μ0, the discounted
occupancies, and backward z_k = (κP_π)ᵏ b, what is expected k steps later. Two things keep long
horizons and a million states within reach. Where the walk mixes, both sequences soon only shrink by
a constant factor, and the rest of a sum is known in closed form. Where it does not mix but moves to
neighbours, as in a gridworld, only the states that H steps can reach take part.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import fsum, isqrt
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from scipy import sparse

from pgbench.arrays import FloatArray, IndexArray
from pgbench.exact.finite.fundamental import Fundamental
from pgbench.exact.finite.linear import Resolvent, frontiers
from pgbench.problems import FiniteMDP
from pgbench.rounding import UNIT

Factor = FloatArray | float

KEPT_BYTES = 2**29
"""Most that the terms of one sequence may take; beyond, they are computed again when needed."""

_REMEMBERED = 2
"""Sequences, and solvers, of a walk that are remembered: the latest forward and backward ones."""

_CHECK_EVERY = 4

_TRIED = 100
"""Terms of a sequence after which it is summed by a solver instead."""


class Powers:
    """z_t = Mᵗ b for t = 0, 1, ..., or with Mᵀ, and from where on z_{t+1} = c z_t.

    The closed form is used once its error, however M passes it on, is below the rounding errors
    that the products themselves would add: in every entry of the sum where nothing is negative,
    or nothing positive, in M and b, and beside the largest entry else.
    """

    def __init__(self, M: sparse.csr_array, b: FloatArray, transposed: bool) -> None:
        self._matrix = M.T if transposed else M
        # Every product grows a vector's norm, Σ|z| if transposed, else max |z|, by so much at most.
        self._growth = float(abs(M).sum(axis=1).max(initial=0.0))
        self._norm: Callable[[FloatArray], float] = _sum_norm if transposed else _max_norm
        entries = int(np.diff(M.indptr).max(initial=0))
        self._rounding = (entries + 10) * np.finfo(float).eps
        self._kept = [b]
        self._ratio, self._defect = 0.0, np.inf
        one_sign = b.min(initial=0.0) >= 0 or b.max(initial=0.0) <= 0
        self._total = b.copy() if one_sign and M.data.min(initial=0.0) >= 0 else None

    def settled(self, n: int) -> tuple[int, float]:
        """m < n and c such that z_{m+k} = cᵏ z_m for m + k < n; m = n - 1 where there is none."""
        limit = max(2, KEPT_BYTES // max(self._kept[0].nbytes, 1))
        while not self._holds(n) and len(self._kept) < min(n, limit):
            z = self._matrix @ self._kept[-1]
            self._defect = np.inf
            if self._total is not None:
                self._total += z
            if len(self._kept) % _CHECK_EVERY == 1:
                self._compare(self._kept[-1], z)
            self._kept.append(z)
        return (len(self._kept) - 1, self._ratio) if self._holds(n) else (n - 1, 0.0)

    def _compare(self, z: FloatArray, following: FloatArray) -> None:
        """Note c, and how far two successive terms are from z' = c z.

        That is ‖z' - c z‖/‖z'‖ or, where all terms have one sign, the largest |z' - c z| of an
        entry over the sum of its terms so far.
        """
        square = float(np.sum(z * z))
        self._ratio = float(np.sum(z * following)) / square if square > 0 else 0.0
        away = following - self._ratio * z
        if self._total is None:
            size = self._norm(following)
            self._defect = self._norm(away) / size if size > 0 else 0.0
        else:
            met = self._total != 0
            self._defect = float(np.abs(away[met] / self._total[met]).max(initial=0.0))

    def _holds(self, n: int) -> bool:
        """Whether the last term kept stands for all up to z_{n-1}."""
        k = n - len(self._kept)
        if k < 0 or self._defect == np.inf:
            return False
        if self._defect == 0 or self._ratio == 0:
            return self._defect == 0
        if self._total is not None:
            # Mᵏ |z' - c z| is at most the defect times the whole sum, since Mᵏ only moves the
            # terms that it is made of up to later places.
            passed_on = min(max(k, 1), 1 / (1 - self._ratio) if self._ratio < 1 else np.inf)
            return bool(self._defect * passed_on <= self._rounding)
        with np.errstate(over="ignore"):
            spread = geometric_sum(self._growth / abs(self._ratio), max(k, 1))
        return bool(self._defect * spread <= self._rounding * max(k, 1))

    def terms(self, n: int) -> Iterator[FloatArray]:
        """z_0, ..., z_{n-1}."""
        yield from self._kept[:n]
        z = self._kept[-1]
        for _ in range(n - len(self._kept)):
            z = self._matrix @ z
            yield z

    def backwards(self, n: int) -> Iterator[FloatArray]:
        """z_{n-1}, ..., z_0."""
        kept = self._kept[:n]
        if n > len(kept):
            yield from descending(self._matrix.__matmul__, kept.pop(), n - len(kept))
        yield from reversed(kept)

    def sum(self, n: int) -> FloatArray:
        """Σ_{t<n} z_t."""
        m, c = self.settled(n)
        total = np.zeros_like(self._kept[0])
        for t, z in enumerate(self.terms(m + 1)):
            total += z if t < m else geometric_sum(c, n - m) * z
        return total

    def limit(self, n: int) -> FloatArray | None:
        """Σ_t z_t without end, or None unless the terms settle within n."""
        m, c = self.settled(n)
        if m == n - 1 or not abs(c) < 1:
            return None
        return sum(self._kept[:m], np.zeros_like(self._kept[0])) + self._kept[m] / (1 - c)


def geometric_sum(c: float, n: Any) -> Any:
    """1 + c + ... + c^(n-1), also where c is 1 but for rounding."""
    if c == 1:
        return n * 1.0
    power = np.expm1(n * np.log(c)) if c > 0.5 else np.float64(c) ** n - 1
    return power / (c - 1)


def descending(
    step: Callable[[FloatArray], FloatArray], first: FloatArray, count: int
) -> Iterator[FloatArray]:
    """x_{count-1}, ..., x_0 of the recursion x_k = step(x_{k-1}), x_0 = first.

    Keeps only about 2√count of the vectors at a time and computes each one twice.
    """
    stride = max(1, isqrt(count))
    kept = [x := first]
    for k in range(1, count):
        x = step(x)
        if k % stride == 0:
            kept.append(x)
    while kept:
        segment = [kept.pop()]
        for _ in range(min(stride, count - len(kept) * stride) - 1):
            segment.append(step(segment[-1]))
        yield from reversed(segment)


def _sum_norm(z: FloatArray) -> float:
    return float(np.abs(z).sum())


def _max_norm(z: FloatArray) -> float:
    return float(np.abs(z).max(initial=0.0))


@dataclass(frozen=True, eq=False)
class Walk:
    """Some states of a problem under a policy: all, or those that a number of steps can reach.

    Attributes
    ----------
    states
        The n states of the problem that take part, in their order.
    pairs
        Sparse (n·A, n), P(s' | s, a); rows and columns of terminal states are empty.
    leaving
        (n, A) float64, probability of a step out of these states: to a terminal state, or, of a
        terminal state, 1.
    pi
        (n, A) float64, π(s, a).
    mu0
        (n,) float64, start distribution.
    defect
        Bound on the relative error of probabilities as data: how far rows are from 1.
    """

    states: IndexArray | slice
    pairs: sparse.csr_array
    leaving: FloatArray
    pi: FloatArray
    mu0: FloatArray
    defect: float
    _sequences: list[tuple[bool, float, FloatArray, Powers]] = field(
        init=False, default_factory=list
    )
    _solvers: list[tuple[float, Fundamental]] = field(init=False, default_factory=list)
    _swept: list[tuple[tuple[float, float, int], FloatArray, tuple[FloatArray, FloatArray]]] = (
        field(init=False, default_factory=list)
    )
    _parts: dict[int, "Walk"] = field(init=False, default_factory=dict)

    @classmethod
    def of(cls, mdp: FiniteMDP, pi: FloatArray) -> "Walk":
        """The walk over all states; the last one of every problem is remembered."""
        walk = _LAST.get(mdp)
        if walk is None or not np.array_equal(walk.pi, pi):
            pairs, leaving, defect = _moves(mdp)
            defect += float(np.abs(pi.sum(axis=1) - 1).max())
            walk = cls(slice(None), pairs, leaving, pi.copy(), mdp.mu0, defect)
            _LAST[mdp] = walk
        return walk

    def within(self, horizon: int) -> "Walk":
        """The walk over the states that fewer than ``horizon`` steps can reach from the start."""
        for reach, part in self._parts.items():
            if reach >= horizon:
                return part
        found = self._reached(horizon - 1)
        part = self if 2 * found.size > self.mu0.size else self._part(found)
        self._parts.clear()
        self._parts[horizon] = part
        return part

    def _part(self, states: IndexArray) -> "Walk":
        A = self.pi.shape[1]
        rows = (states[:, None] * A + np.arange(A)).ravel()
        outside = np.ones(self.mu0.size)
        outside[states] = 0.0
        leaving = self.leaving[states] + self.following(outside)[states]
        pairs = self.pairs[rows][:, states].tocsr()
        return Walk(states, pairs, leaving, self.pi[states], self.mu0[states], self.defect)

    def _reached(self, steps: int) -> IndexArray:
        """States at most so many steps from the start, by any action, or more than half of all.

        Actions that are never taken count too: their worth hangs on where they lead.
        """
        never = (self.pi == 0).any()
        moves = self._averaged(np.ones(self.pi.shape)) if never else self.matrix
        found: list[IndexArray] = []
        for states in frontiers(moves, np.flatnonzero(self.mu0)):
            found.append(states)
            if len(found) > steps or 2 * sum(map(len, found)) > self.mu0.size:
                break
        return np.sort(np.concatenate(found))

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """P_π(s' | s) = Σ_a π(s,a) P(s' | s,a), sparse (n, n)."""
        return self._averaged(self.pi)

    def scaled(self, factor: Factor) -> sparse.csr_array:
        """Σ_a π(s,a) factor(s,a) P(s' | s,a), sparse (n, n)."""
        if not isinstance(factor, float):
            return self._averaged(self.pi * factor)
        matrix = self.matrix
        return sparse.csr_array(
            (factor * matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape
        )

    def _averaged(self, weights: FloatArray) -> sparse.csr_array:
        n, A = weights.shape
        average = sparse.csr_array(
            (weights.ravel(), np.arange(n * A), np.arange(0, n * A + 1, A)), shape=(n, n * A)
        )
        matrix = (average @ self.pairs).tocsr()
        # In order, because ``scaled`` shares the indices and sorting works in place.
        matrix.sort_indices()
        return matrix

    def following(self, x: FloatArray) -> FloatArray:
        """Σ_s' P(s' | s,a) x(s'), shape (n, A)."""
        return (self.pairs @ x).reshape(self.pi.shape)

    def mean(self, table: FloatArray) -> FloatArray:
        """Σ_a π(s,a) of a table (n, A), shape (n,)."""
        return np.einsum("sa,sa->s", self.pi, table)

    def forward(self, delta: Factor) -> Powers:
        """u_t(s) = E[δ_0 ⋯ δ_{t-1}; s_t = s], zero on terminal states."""
        return self._powers(delta, self.mu0, transposed=True)

    def backward(self, kappa: Factor, b: FloatArray) -> Powers:
        """z_k(s) = E[κ_0 ⋯ κ_{k-1} b(s_k) | s_0 = s] of b (n,)."""
        return self._powers(kappa, b, transposed=False)

    def _powers(self, factor: Factor, b: FloatArray, transposed: bool) -> Powers:
        if not isinstance(factor, float):
            return Powers(self.scaled(factor), b, transposed)
        for place, (direction, own, start, powers) in enumerate(self._sequences):
            if direction == transposed and own == factor and np.array_equal(start, b):
                self._sequences.append(self._sequences.pop(place))
                return powers
        powers = Powers(self.scaled(factor), b, transposed)
        self._sequences.append((transposed, factor, b, powers))
        del self._sequences[:-_REMEMBERED]
        return powers

    def fundamental(self, factor: float) -> Fundamental:
        """(I - M)⁻¹ of M = ``scaled(factor)``, 0 ≤ factor ≤ 1."""
        for own, solver in self._solvers:
            if own == factor:
                return solver
        slack = (1 - factor) + factor * self.mean(self.leaving)
        # Rounding of the sums over actions and of the products.
        defect = self.defect + 2 * (self.pi.shape[1] + 6) * UNIT
        solver = Fundamental(self.scaled(factor), slack, defect)
        self._solvers.append((factor, solver))
        del self._solvers[:-_REMEMBERED]
        return solver

    def solve(
        self,
        factor: Factor,
        b: FloatArray,
        transposed: bool = False,
        magnitude: FloatArray | None = None,
    ) -> tuple[FloatArray, float]:
        """Σ_t Mᵗ b, or with Mᵀ, and a proven bound on its error; see ``Fundamental.solve``.

        Where M may grow or change signs, as with tables as factors, see ``Resolvent.solve``.
        """
        if not (isinstance(factor, float) and 0 <= factor <= 1):
            return Resolvent(self.scaled(factor)).solve(b, transposed)

        def summed() -> FloatArray | None:
            return self._powers(factor, b, transposed).limit(_TRIED)

        return self.fundamental(factor).solve(b, transposed, magnitude, summed)

    def swept(
        self, delta: Factor, kappa: Factor, b: FloatArray, horizon: int
    ) -> tuple[FloatArray, FloatArray]:
        """Σ_{t<H} u_t (n,), and Σ_{t<H} u_t(s) Σ_{k<H-1-t} Σ_s' P(s' | s,a) z_k(s'), shape (n, A).

        u_t is of ``forward(delta)`` and z_k of ``backward(kappa, b)``. The result is remembered:
        estimators that differ in β alone share it.
        """
        if not (isinstance(delta, float) and isinstance(kappa, float)):
            return self._sweep(delta, kappa, b, horizon)
        question = (delta, kappa, horizon)
        for earlier, start, answer in self._swept:
            if earlier == question and np.array_equal(start, b):
                return answer
        answer = self._sweep(delta, kappa, b, horizon)
        self._swept[:] = [(question, b, answer)]
        return answer

    def _sweep(
        self, delta: Factor, kappa: Factor, b: FloatArray, horizon: int
    ) -> tuple[FloatArray, FloatArray]:
        """The same, as Σ_{k=0}^{H-2} U_{H-1-k} P z_k with U_n = Σ_{t<n} u_t."""
        u_terms, H = self.forward(delta), horizon
        m1, c1 = u_terms.settled(H)
        U, u = np.zeros(self.mu0.size), self.mu0
        out = np.zeros(self.pi.shape)
        if H == 1:
            return self.mu0.copy(), out
        z_terms = self.backward(kappa, b)
        m2, c2 = z_terms.settled(H - 1)
        # Up to n = N the z_k that meets U_n is a multiple of the last one that was made.
        N = H - 1 - m2
        together = np.zeros_like(U)
        earlier = z_terms.backwards(m2 + 1)
        last = next(earlier)
        for n, u in enumerate(u_terms.terms(m1 + 1), start=1):
            if n > m1:
                break
            U += u
            if n <= N and n < m1:
                together *= c2
                together += U
            elif n < m1:
                out += U[:, None] * self.following(next(earlier))
        # From n = m1 on U_n = U + (1 + c1 + ... + c1^(n-m1-1)) u.
        first = max(m1, 1)
        if first <= N:
            rest = np.arange(first, N + 1)
            weights = np.float64(c2) ** (N - rest)
            together *= np.float64(c2) ** (N - first + 1)
            together += weights.sum() * U + np.sum(weights * geometric_sum(c1, rest - m1)) * u
        plain, grown = np.zeros_like(U), np.zeros_like(U)
        for n, z in enumerate(earlier, start=max(m1, N + 1)):
            plain += z
            grown += geometric_sum(c1, n - m1) * z
        out += together[:, None] * self.following(last)
        if m2 > 0:
            out += U[:, None] * self.following(plain) + u[:, None] * self.following(grown)
        return U + geometric_sum(c1, H - m1) * u, out


def _moves(mdp: FiniteMDP) -> tuple[sparse.csr_array, FloatArray, float]:
    """Steps between states that are not terminal, and out of them, and what rows lack to 1."""
    if mdp not in _MOVES:
        pairs = mdp.transitions
        leaving = np.zeros(pairs.shape[0])
        if mdp.terminal.any():
            leaving = pairs @ mdp.terminal.astype(float)
            leaving[np.repeat(mdp.terminal, mdp.n_actions)] = 1.0
            pairs = pairs.copy()
            pairs.data *= ~mdp.terminal[pairs.indices]
            pairs.eliminate_zeros()
        rows = float(np.abs(pairs.sum(axis=1) + leaving - 1).max()) + 2 * mdp.branching * UNIT
        defect = max(rows, abs(fsum(mdp.mu0) - 1) + 2 * UNIT)
        _MOVES[mdp] = pairs, leaving.reshape(mdp.n_states, mdp.n_actions), defect
    return _MOVES[mdp]


_MOVES: WeakKeyDictionary[FiniteMDP, tuple[sparse.csr_array, FloatArray, float]] = (
    WeakKeyDictionary()
)
"""What ``_moves`` found."""

_LAST: WeakKeyDictionary[FiniteMDP, Walk] = WeakKeyDictionary()
