"""The walk over states that a policy makes of a problem, and sums over its steps.

Exact quantities are sums of two sequences of vectors: forward u_t = (δP_πᵀ)ᵗ μ0, the discounted
occupancies, and backward z_k = (κP_π)ᵏ b, what is expected k steps later. Two things keep long
horizons and a million states within reach. Where the walk mixes, both sequences soon only shrink by
a constant factor, and the rest of a sum is known in closed form. Where it does not mix but moves to
neighbours, as in a gridworld, only the states that H steps can reach take part.
"""

from dataclasses import dataclass, field
from functools import cached_property
from math import fsum

import numpy as np
from scipy import sparse

from pgbench.arrays import FloatArray, IndexArray
from pgbench.exact.finite.fundamental import Fundamental
from pgbench.exact.finite.linear import Resolvent, frontiers
from pgbench.exact.finite.powers import Powers, geometric_sum
from pgbench.exact.remember import latest, remembered
from pgbench.problems import FiniteMDP
from pgbench.rounding import UNIT

Factor = FloatArray | float

_TRIED = 100
"""Terms of a sequence after which it is summed by a solver instead."""


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
    # Not ``latest``: a part serves all shorter horizons too, and may be the walk itself.
    _parts: dict[int, "Walk"] = field(init=False, default_factory=dict)

    @classmethod
    def of(cls, mdp: FiniteMDP, pi: FloatArray) -> "Walk":
        """The walk over all states; the last one of every problem is remembered."""
        return _walk(mdp, pi)

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
        if isinstance(factor, float):
            return self._known_powers(transposed, factor, b)
        return Powers(self.scaled(factor), b, transposed)

    @latest(2)
    def _known_powers(self, transposed: bool, factor: float, b: FloatArray) -> Powers:
        return Powers(self.scaled(factor), b, transposed)

    @latest(2)
    def fundamental(self, factor: float) -> Fundamental:
        """(I - M)⁻¹ of M = ``scaled(factor)``, 0 ≤ factor ≤ 1."""
        slack = (1 - factor) + factor * self.mean(self.leaving)
        # Rounding of the sums over actions and of the products.
        defect = self.defect + 2 * (self.pi.shape[1] + 6) * UNIT
        return Fundamental(self.scaled(factor), slack, defect)

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
        if isinstance(delta, float) and isinstance(kappa, float):
            return self._known_sweep(delta, kappa, horizon, b)
        return self._sweep(delta, kappa, horizon, b)

    @latest(1)
    def _known_sweep(
        self, delta: float, kappa: float, horizon: int, b: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        return self._sweep(delta, kappa, horizon, b)

    def _sweep(
        self, delta: Factor, kappa: Factor, horizon: int, b: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Both sums of ``swept``, as Σ_{k=0}^{H-2} U_{H-1-k} P z_k with U_n = Σ_{t<n} u_t."""
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


@latest(1)
def _walk(mdp: FiniteMDP, pi: FloatArray) -> Walk:
    pairs, leaving, defect = _moves(mdp)
    defect += float(np.abs(pi.sum(axis=1) - 1).max())
    return Walk(slice(None), pairs, leaving, pi.copy(), mdp.mu0, defect)


@remembered
def _moves(mdp: FiniteMDP) -> tuple[sparse.csr_array, FloatArray, float]:
    """Steps between states that are not terminal, and out of them, and what rows lack to 1."""
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
    return pairs, leaving.reshape(mdp.n_states, mdp.n_actions), defect
