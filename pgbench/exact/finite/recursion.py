"""The linear recursions that mean and variance of a table estimator obey.

Let X = x_t. For one coordinate ψ of the score, Y_h(s) holds the means, with h steps to go from s,
of the score terms that are still to come and of their products with powers of X:

    Y_h = Σ_a π (m_h ψ + L Y_{h-1}),        E[ĝ²] = Σ_t α_t·(m_{H-t} ψ² + 2 ψ L Y_{H-t-1})

The lift L leads from these at the next state to those at a pair (s, a), the sources m_h are what
the pair itself adds, and the adjoint α_t is what a pair at step t carries. Two shapes, one form:

    per-step    Y = (E[g], E[X g])                g = Σ_m (D_m/D_t)(x_m - β_m) ψ_m from t on
                L = [δP         ]                 m = (E[X] - β, E[X²] - β E[X])
                    [δP₁   κδP  ]                 α_t = π E[D_t²; s] (-β, 1)
    total       Y = (E[Z], E[XZ], E[X²Z])         Z = Σ ψ_m from t on
                L = [P              ]             m = (1, E[X], E[X²])
                    [P₁   κP        ]             α_0 = π μ0 (β², -2β, 1),  α_{t+1} = π Lᵀα_t
                    [P₂   2κP₁  κ²P ]

with P_i(s' | s, a) = Σ over the slots that lead to s' of p σ^i. Terminal states have empty rows.
(For the per-step moments of the return alone: Sobel 1982, Theorem 1)
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from scipy import sparse

from pgbench.arrays import FloatArray, IndexArray
from pgbench.exact.finite.fundamental import Fundamental
from pgbench.exact.finite.linear import DENSE_LIMIT, Resolvent
from pgbench.process.tables import Tables
from pgbench.rounding import UNIT

Blocks = dict[tuple[int, int], sparse.csr_array]


class Recursion:
    """Lift, sources and adjoint of one estimator, over n = S' states and N = S'·A pairs.

    Attributes
    ----------
    order
        Number F of moments in Y: 2 per step, 3 in total.
    lift
        Blocks (i, j), i ≥ j, of L, sparse (N, n); absent where they are zero.
    step
        The same averaged over actions, sparse (n, n).
    scored
        The S states that stand for those of the policy.
    once
        Whether scored states are visited at most once, so that no score meets a later one.
    """

    def __init__(self, tables: Tables) -> None:
        process = tables.process
        self.total, self.once = tables.total, process.once
        self.n, self.n_actions = process.pi.shape
        self.scored = np.arange(self.n)[process.scored]
        self.pi = process.pi.ravel()
        self.mu0 = process.mdp.mu0
        self.live = np.repeat(~process.mdp.terminal, self.n_actions).astype(float)
        self.kappa, self.beta = tables.kappa.ravel(), tables.beta.ravel()
        self.delta = tables.delta.ravel()
        self.slots = P, P1, P2 = slot_moments(tables)
        self.signal, self.signal2 = P1.sum(axis=1), P2.sum(axis=1)
        k, d = self.kappa, self.delta
        if self.total:
            lift = {
                (0, 0): P,
                (1, 0): P1,
                (1, 1): scaled_rows(k, P),
                (2, 0): P2,
                (2, 1): scaled_rows(2 * k, P1),
                (2, 2): scaled_rows(k**2, P),
            }
        else:
            lift = {
                (0, 0): scaled_rows(d, P),
                (1, 0): scaled_rows(d, P1),
                (1, 1): scaled_rows(k * d, P),
            }
        self.order = 3 if self.total else 2
        self.lift: Blocks = {place: block for place, block in lift.items() if block.nnz}
        self.step: Blocks = {place: self._averaged(block) for place, block in self.lift.items()}
        # The one κ of all steps, if it is the same for all.
        decays = np.unique(self.kappa[self.live > 0])
        self.decay = float(decays[0]) if decays.size == 1 else None
        # What carries E[D_t²; s] from step to step.
        self.carry = self._averaged(scaled_rows(d**2, P))

    def history(self, horizon: int | None) -> Iterator[tuple[FloatArray, FloatArray]]:
        """α_{H-h} and m_h, (F, N) each, for h = 1, ..., H; or Σ_t α_t and m for all steps."""
        if horizon is None:
            yield self.limit
            return
        arrivals = self._arrivals(horizon)
        x, x2 = np.zeros((2, self.n))
        for t in reversed(range(horizon)):
            pairs = self._returns(x, x2)
            yield self._adjoint(t, arrivals[t]), self._sources(*pairs)
            x, x2 = map(self.to_states, pairs)

    @cached_property
    def limit(self) -> tuple[FloatArray, FloatArray]:
        """Σ_t α_t and m, (F, N) each, over an infinite horizon.

        Raises
        ------
        Diverges
            If there are no such sums.
        """
        return self._summed_adjoint(), self._sources(*self._final_returns())

    def to_states(self, pairs: FloatArray) -> FloatArray:
        """Σ_a π(s,a) of (N,) values, shape (n,)."""
        return (pairs * self.pi).reshape(self.n, -1).sum(axis=1)

    def source(self, m: FloatArray, psi: FloatArray) -> FloatArray:
        """Σ_a π m ψ (F, n, c) from m (F, N) and ψ (N, c)."""
        shape = (self.n, self.n_actions, psi.shape[1])
        weights = (m * self.pi).reshape(self.order, *shape[:2])
        return np.einsum("fsa,sak->fsk", weights, psi.reshape(shape))

    def at(self, states: IndexArray, pairs: FloatArray) -> FloatArray:
        """Values (..., N) at some states (S,), shape (..., S, A)."""
        table = pairs.reshape(*pairs.shape[:-1], self.n, self.n_actions)
        return table[..., states, :]

    def spread(self, scores: FloatArray) -> FloatArray:
        """ψ (N, c) from the scores of the policy's pairs (S·A, c)."""
        psi = np.zeros((self.n, self.n_actions * scores.shape[1]))
        psi[self.scored] = scores.reshape(self.scored.size, -1)
        return psi.reshape(-1, scores.shape[1])

    def earlier(
        self, Y: FloatArray, alpha: FloatArray, m: FloatArray, psi: FloatArray, later: FloatArray
    ) -> FloatArray:
        """Σ_a π (m ψ + L Y) (F, n, c) from Y (F, n, c); α·L Y is added to ``later`` (N, c)."""
        out = np.zeros_like(Y)
        weights = self.pi.reshape(self.n, -1)
        for i in range(self.order):
            lifted = np.zeros_like(psi)
            for j in range(i + 1):
                if (i, j) in self.lift:
                    lifted += self.lift[i, j] @ Y[j]
            later += alpha[i][:, None] * lifted
            lifted += m[i][:, None] * psi
            table = lifted.reshape(self.n, self.n_actions, -1)
            out[i] = np.einsum("sa,sak->sk", weights, table)
        return out

    def solved(self, source: FloatArray) -> FloatArray:
        """Y (F, n, c) with Y = source + Σ_a π L Y."""
        Y = np.zeros_like(source)
        for i, resolvent in enumerate(self.resolvents):
            right = source[i].copy()
            for j in range(i):
                if (i, j) in self.step:
                    right += self.step[i, j] @ Y[j]
            Y[i], _ = resolvent.solve(right)
        return Y

    def _averaged(self, block: sparse.csr_array) -> sparse.csr_array:
        N = self.pi.size
        average = sparse.csr_array(
            (self.pi, np.arange(N), np.arange(0, N + 1, self.n_actions)), shape=(self.n, N)
        )
        return (average @ block).tocsr()

    def _returns(self, x: FloatArray, x2: FloatArray) -> tuple[FloatArray, FloatArray]:
        """E[X] and E[X²] of pairs (N,) from those of the states that follow (n,)."""
        P, P1, _ = self.slots
        k = self.kappa
        return (
            self.signal + k * (P @ x),
            self.signal2 + 2 * k * (P1 @ x) + k**2 * (P @ x2),
        )

    def _sources(self, x: FloatArray, x2: FloatArray) -> FloatArray:
        """m (F, N) from E[X] and E[X²] of pairs."""
        if self.total:
            return np.stack([self.live, x, x2])
        return np.stack([x - self.beta, x2 - self.beta * x])

    def _arrivals(self, horizon: int) -> FloatArray:
        """What arrives in each state at t = 0, ..., H - 1: E[D_t²; s] (H, 1, n), or Lᵀα (H, F, n).

        States instead of pairs, because all of it is kept; that of step 0 in total is not used.
        """
        arrivals = np.zeros((horizon, self.order if self.total else 1, self.n))
        arrivals[0] = self.mu0
        forward = self.carry.T.tocsr()
        for t in range(1, horizon):
            if self.total:
                arrivals[t] = self._lowered(self._adjoint(t - 1, arrivals[t - 1]))
            else:
                arrivals[t, 0] = forward @ arrivals[t - 1, 0]
        return arrivals

    def _adjoint(self, t: int, arrived: FloatArray) -> FloatArray:
        """α_t (F, N)."""
        if not self.total:
            u = self._arriving(arrived)
            return np.concatenate([-self.beta * u, u])
        return self._start() if t == 0 else self._arriving(arrived)

    def _start(self) -> FloatArray:
        """α_0 (F, N) of the total shape."""
        weight = np.repeat(self.mu0, self.n_actions) * self.pi
        return weight * np.stack([self.beta**2, -2 * self.beta, np.ones_like(self.beta)])

    def _arriving(self, states: FloatArray) -> FloatArray:
        return np.repeat(states, self.n_actions, axis=1) * self.pi * self.live

    def _lowered(self, alpha: FloatArray) -> FloatArray:
        """Lᵀ α (F, n) from α (F, N)."""
        out = np.zeros((self.order, self.n))
        for (i, j), block in self.lift.items():
            out[j] += block.T @ alpha[i]
        return out

    @cached_property
    def resolvents(self) -> list[Resolvent | Fundamental]:
        """(I - step_ii)⁻¹ for every moment of Y."""
        return self._inverses(dense=False)

    @cached_property
    def has_factors(self) -> bool:
        """Whether factors of all these are small, or sparse."""
        return self.n <= DENSE_LIMIT or all(
            isinstance(r, Fundamental) and r.eliminated for r in self.resolvents
        )

    @cached_property
    def factored(self) -> list[Resolvent | Fundamental]:
        """The same for many right-hand sides, by factors of full matrices where need be."""
        return self.resolvents if self.has_factors else self._inverses(dense=True)

    def _inverses(self, dense: bool) -> list[Resolvent | Fundamental]:
        first = [] if self.total else [self.delta]
        empty = sparse.csr_array((self.n, self.n))
        return [
            self._inverse(self.step.get((i, i), empty), *first, *i * [self.kappa], dense=dense)
            for i in range(self.order)
        ]

    def _inverse(
        self, matrix: sparse.csr_array, *factors: FloatArray, dense: bool = False
    ) -> Resolvent | Fundamental:
        """(I - M)⁻¹ of M = Σ_a π f_1 f_2 ⋯ P, given with its factors f_i (N,).

        Where these only take away, what each takes is added up instead of taken from 1, so that it
        keeps its digits however small it is.
        """
        if any(((f < 0) | (f > 1))[self.live > 0].any() for f in factors):
            return Resolvent(matrix, dense)
        product, lost = self.live, np.zeros_like(self.live)
        for f in factors:
            product, lost = product * f, lost + product * (1 - f)
        slack = np.where(self.to_states(self.live) > 0, self.to_states(lost), 1.0)
        return Fundamental(matrix, slack, self._defect, dense)

    @cached_property
    def _defect(self) -> float:
        """Relative error of probabilities as data, and of what is made of them here."""
        P, A = self.slots[0], self.n_actions
        rows = np.abs(P.sum(axis=1) - self.live).max(initial=0.0)
        chosen = np.abs(self.pi.reshape(self.n, A).sum(axis=1) - 1).max(initial=0.0)
        terms = A + int(np.diff(P.indptr).max(initial=0)) + 20
        return float(rows + chosen + 2 * terms * UNIT)

    def _summed_adjoint(self) -> FloatArray:
        if not self.total:
            u, _ = self._inverse(self.carry, self.delta, self.delta).solve(
                self.mu0, transposed=True
            )
            return self._adjoint(0, u[None])
        first = self._start()
        right = self._lowered(first)
        arrived = np.zeros_like(right)
        for j in reversed(range(self.order)):
            for i in range(j + 1, self.order):
                if (i, j) in self.step:
                    right[j] += self.step[i, j].T @ arrived[i]
            arrived[j], _ = self.resolvents[j].solve(right[j], transposed=True)
        return first + self._arriving(arrived)

    def _final_returns(self) -> tuple[FloatArray, FloatArray]:
        """E[X] and E[X²] of pairs (N,) with infinitely many steps to go."""
        P, P1, _ = self.slots
        k = self.kappa
        once, twice = (self._averaged(scaled_rows(factor, P)) for factor in (k, k**2))
        x, _ = self._inverse(once, k).solve(self.to_states(self.signal))
        second = self.to_states(self.signal2 + 2 * k * (P1 @ x))
        x2, _ = self._inverse(twice, k, k).solve(second)
        return self._returns(x, x2)


def slot_moments(tables: Tables) -> list[sparse.csr_array]:
    """Sparse (S'·A, S') matrices Σ_slots P σ^i for i = 0, 1, 2; rows of terminal states empty."""
    mdp = tables.process.mdp
    n_pairs, B = mdp.n_states * mdp.n_actions, mdp.branching
    live = np.repeat(~mdp.terminal, mdp.n_actions)[:, None]
    p, sigma = mdp.probability.reshape(n_pairs, B) * live, tables.sigma.reshape(n_pairs, B)
    rows = np.arange(0, n_pairs * B + 1, B)
    matrices = []
    for i in range(3):
        # A copy, because adding up duplicates works in place.
        matrix = sparse.csr_array(
            ((p * sigma**i).ravel(), mdp.successor.ravel(), rows),
            shape=(n_pairs, mdp.n_states),
            copy=True,
        )
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        matrices.append(matrix)
    return matrices


def scaled_rows(factor: FloatArray, matrix: sparse.csr_array) -> sparse.csr_array:
    """diag(factor)·matrix without stored zeros."""
    scaled = matrix.copy()
    scaled.data *= np.repeat(factor, np.diff(matrix.indptr))
    scaled.eliminate_zeros()
    return scaled
