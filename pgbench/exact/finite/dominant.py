"""What the powers of a recursion's step come to: an invariant subspace of one vector per moment.

Let B be the step, block lower triangular with blocks S_ij, and let every diagonal block have one
eigenvalue ρ_i that is larger than all others, with right and left vectors r_i and l_i. Then there
are R (one column per moment, lower triangular, R_ii = r_i) and a lower triangular T with

    B R = R T,   T_ii = ρ_i,   and   Bʲ x - R Tʲ c → 0 beside Tʲ,

as fast as the next eigenvalues say: every chain that mixes forgets where it was, but for the
probability c. (Seneta 1981, Theorem 1.2; Golub & Van Loan 2013, Section 7.6) Of stochastic P with
one κ and δ = γ the columns of R are (1, V) and (0, 1): what remains is a value.

Nothing has to converge for the bounds to hold. What is left of x, D = x - R c, becomes B D and what
B R - R T adds; with norms ‖D_i‖ = max |D_i|/w_i and N_ij = ‖S_ij‖ in them

    ‖D'‖ ≤ N ‖D‖ + ‖B R - R T‖ |c|,   c' = T c,

so that the sum of what is left after any number of steps is bounded by powers of a small matrix.
With w_i = r_i no bound is smaller: N_ii is ρ_i itself. (Horn & Johnson 2013, Section 8.1)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from pgbench.arrays import FloatArray
from pgbench.exact.finite.recursion import Blocks, Recursion
from pgbench.rounding import UNIT

TRIED = 400
"""Products after which a vector that has not settled is given up."""

_SETTLED = 1e-13
"""Relative change of a vector in one product below which it has settled."""


@dataclass(frozen=True, eq=False)
class Dominant:
    """The invariant subspace of a recursion of F moments over n states and N pairs, and norms.

    Attributes
    ----------
    right, left
        R (n, F, F), moments by columns, and l (F, n).
    transition
        T (F, F).
    lifted
        L R (F, N, F), what pairs get of the moments.
    weights
        w (n, F), zero where nothing is left after one step.
    growth, lift_growth
        N (F, F), and (F, N, F) with |L_ij| w_j of every pair.
    defect
        ‖B R - R T‖ (F, F), rounding included.
    unit
        Relative rounding error of a product with B beside that with |B| in one norm.
    """

    right: FloatArray
    left: FloatArray
    transition: FloatArray
    lifted: FloatArray
    weights: FloatArray
    growth: FloatArray
    lift_growth: FloatArray
    defect: FloatArray
    unit: float

    @classmethod
    def of(cls, recursion: Recursion, weights: FloatArray | None = None) -> "Dominant":
        """That of a recursion, in norms with some w; R and T are zero where vectors do not settle.

        w is r_i on all states but those from which no step leads to others if r_i is positive
        there, else r_i + 1: the growth of neither is larger than that of both parts.
        """
        F, n = recursion.order, recursion.n
        # Solvers sort indices in place, when they are asked; sums are always in this order.
        step = {place: block.sorted_indices() for place, block in recursion.step.items()}
        settled = [_perron(step.get((i, i)), n) for i in range(F)]
        own = [vectors for vectors in settled if vectors is not None]
        found = _columns(step, own) if len(own) == F else None
        right, left, T = found or (np.zeros((n, F, F)), np.zeros((F, n)), np.zeros((F, F)))
        weights = _weights(recursion, right) if weights is None else weights
        growth = np.zeros((F, F))
        for (i, j), block in step.items():
            growth[i, j] = _norm(abs(block) @ weights[:, j], weights[:, i])
        most = max(
            (int(np.diff(block.indptr).max(initial=0)) for block in step.values()), default=0
        )
        unit = (F * most + recursion.n_actions + 12) * UNIT
        sizes = _norms_of(right, weights)
        defect = _norms_of(_applied(step, right, n) - right @ T, weights)
        defect += unit * (growth @ sizes + sizes @ np.abs(T))
        return cls(
            right,
            left,
            T,
            _applied(recursion.lift, right, recursion.pi.size).transpose(1, 0, 2).copy(),
            weights,
            growth,
            _sized(recursion, weights),
            defect,
            unit,
        )

    @property
    def order(self) -> int:
        """The number F of moments."""
        return self.transition.shape[0]

    def fitted(self, x: FloatArray, first: int) -> tuple[FloatArray, FloatArray]:
        """c (F, k) and ‖x - R c‖ (F, k) of columns x (n, F - first, k) of the later moments."""
        F, k = self.order, x.shape[2]
        c, size = np.zeros((2, F, k))
        rest = x.copy()
        for f in range(first, F):
            c[f] = self.left[f] @ rest[:, f - first]
            if c[f].any():
                rest[:, f - first :] -= self.right[:, f:, f, None] * c[f]
            size[f] = _norms(rest[:, f - first], self.weights[:, f])
        return c, size

    @property
    def known(self) -> bool:
        """Whether there are vectors that settled."""
        return bool(self.transition.any())

    @cached_property
    def scale(self) -> FloatArray:
        """How large moment i gets where moment k was 1 (F, F): beside it what is left is little.

        That is as large as R can be in these norms.
        """
        scale = np.eye(self.order)
        for k, i in zip(*np.tril_indices(self.order, -1)[::-1], strict=True):
            room = max(self.growth[k, k] - self.growth[i, i], 1e-3)
            scale[i, k] = self.growth[i, k:i] @ scale[k:i, k] / room
        return scale

    def left_after(self, steps: int | None, size: FloatArray, c: FloatArray) -> FloatArray:
        """Bound (F, k) on Σ ‖D‖ over so many steps (None: all), from ‖D‖ and c (F, k) at first."""
        F = self.order
        matrix = np.zeros((2 * F, 2 * F))
        matrix[:F, :F], matrix[:F, F:] = self.growth, self.defect
        matrix[F:, F:] = np.abs(self.transition)
        begin = np.concatenate([size, np.abs(c)])
        if steps is None and not (matrix.diagonal() < 1).all():
            return np.where(size + np.abs(c) > 0, np.inf, 0.0)
        return _summed_powers(matrix, steps)[:F] @ begin

    def allowed(self, steps: int | None, c: FloatArray, first: int) -> FloatArray:
        """What (F, k) is large over so many steps: the moment where it begins, or all of R Tʲ c."""
        total = _summed_powers(np.abs(self.transition), steps) @ np.abs(c)
        return self.scale[:, first, None] + _norms_of(self.right, self.weights) @ total

    def passed_on(self, wrong: FloatArray) -> FloatArray:
        """Bound (F, s) on ‖e‖ where e = B e + f and ‖f‖ is ``wrong``, if powers of N shrink."""
        return np.asarray(np.linalg.solve(np.eye(self.order) - self.growth, wrong), np.float64)

    def norms(self, x: FloatArray) -> FloatArray:
        """‖x_i‖ (F, s) of columns (n, F, s)."""
        return _norms_of(x, self.weights)

    def rounding(self, steps: int) -> tuple[FloatArray, FloatArray]:
        """Σ_{j<steps} ‖ε_j‖ and ‖ε_steps‖ (F, F) of ε_j, the rounding of Bʲ x for ‖x_k‖ = 1.

        k is second; the sum has that of one more product of each.
        """
        F = self.order
        e, total, size = np.zeros((F, F)), np.zeros((F, F)), np.eye(F)
        for _ in range(steps):
            total += e + 2 * self.unit * size
            e = (1 + self.unit) * (self.growth @ e) + self.unit * (self.growth @ size)
            size = self.growth @ size
        return total, e

    def limit(self, c: FloatArray) -> FloatArray:
        """Σ_j Tʲ c (F, k) without end; infinite where there is no such sum."""
        if not (np.abs(self.transition.diagonal()) < 1).all():
            return np.full(c.shape, np.inf)
        return np.asarray(np.linalg.solve(np.eye(self.order) - self.transition, c), np.float64)


def _perron(M: sparse.csr_array | None, n: int) -> tuple[float, FloatArray, FloatArray] | None:
    """ρ, r ≥ 0 with max 1 and l with l·r = 1 of a block, 0 if it is none; None if unsettled."""
    if M is None:
        return 0.0, np.zeros(n), np.zeros(n)
    right, left = _settled(M), _settled(M.T.tocsr())
    if right is None or left is None or not (meeting := float(left[1] @ right[1])) > 0:
        return None
    return right[0], right[1], left[1] / meeting


def _settled(M: sparse.csr_array) -> tuple[float, FloatArray] | None:
    """ρ and x with M x = ρ x by powers of M, max x = 1; None where they do not settle."""
    x = np.ones(M.shape[0])
    for _ in range(TRIED):
        y = M @ x
        size = float(y.max(initial=0.0))
        if not (0 < size < np.inf) or y.min() < 0:
            return None
        y /= size
        change = float(np.abs(y - x).max())
        x = y
        if change <= _SETTLED:
            return size, x
    return None


def _columns(
    step: Blocks, own: list[tuple[float, FloatArray, FloatArray]]
) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """R, l and T from what every diagonal block has of its own; None where a column is unsettled.

    Below the diagonal ρ_f R_if = Σ_j S_ij R_jf - Σ_j R_ij T_jf - r_i T_if, where T_if is what keeps
    R_if apart from r_i.
    """
    F, n = len(own), own[0][1].size
    rho, r, left = (np.array(part) for part in zip(*own, strict=True))
    right, T = np.zeros((n, F, F)), np.diag(rho)
    for f in range(F):
        right[:, f, f] = r[f]
    for f in reversed(range(F)):
        if rho[f] == 0:
            continue
        for i in range(f + 1, F):
            given = np.zeros(n)
            for j in range(f, i):
                if (i, j) in step:
                    given += step[i, j] @ right[:, j, f]
                if j > f:
                    given -= right[:, i, j] * T[j, f]
            T[i, f] = left[i] @ given
            given -= r[i] * T[i, f]
            v = _fixed_point(step.get((i, i)), rho[f], given, r[i], left[i])
            if v is None:
                return None
            right[:, i, f] = v
    return right, left, T


def _fixed_point(
    M: sparse.csr_array | None, rho: float, given: FloatArray, r: FloatArray, left: FloatArray
) -> FloatArray | None:
    """v (n,) with ρ v = given + M v and l·v = 0."""
    v = given / rho
    if M is None:
        return v
    for _ in range(TRIED):
        new = (given + M @ v) / rho
        new -= r * (left @ new)
        change = float(np.abs(new - v).max())
        v = new
        if change <= _SETTLED * float(np.abs(v).max()):
            return v
    return None


def _weights(recursion: Recursion, right: FloatArray) -> FloatArray:
    """w (n, F) of ``Dominant.of``."""
    live = recursion.to_states(recursion.live) > 0
    weights = np.zeros(right.shape[:2])
    for i in range(recursion.order):
        own = right[:, i, i]
        weights[:, i] = own if (own[live] > 0).all() else own + live
    return weights


def _applied(blocks: Blocks, right: FloatArray, rows: int) -> FloatArray:
    """The product of blocks with R (n, F, F), shape (rows, F, F)."""
    out = np.zeros((rows, *right.shape[1:]))
    for (i, j), block in blocks.items():
        out[:, i] += block @ right[:, j]
    return out


def _sized(recursion: Recursion, weights: FloatArray) -> FloatArray:
    """|L_ij| w_j (F, N, F)."""
    F = recursion.order
    out = np.zeros((F, recursion.pi.size, F))
    for (i, j), block in recursion.lift.items():
        out[i, :, j] = abs(block) @ weights[:, j]
    return out


def _norms_of(columns: FloatArray, weights: FloatArray) -> FloatArray:
    """‖·‖ of every moment of every column (n, F, k), shape (F, k)."""
    return np.stack([_norms(columns[:, i], w) for i, w in enumerate(weights.T)])


def _norm(x: FloatArray, w: FloatArray) -> float:
    """max |x|/w (n,); infinite where x is not zero and w is."""
    return float(_norms(x[:, None], w)[0])


def _norms(x: FloatArray, w: FloatArray) -> FloatArray:
    """max |x|/w of the columns of x (n, k); infinite where one is not zero and w is."""
    met = w > 0
    size = np.abs(x)
    inside = (size[met] / w[met, None]).max(axis=0, initial=0.0)
    return np.where(size[~met].any(axis=0), np.inf, inside)


def _summed_powers(matrix: FloatArray, steps: int | None) -> FloatArray:
    """Σ_{j<steps} Mʲ of a small matrix, or without end where all its eigenvalues are below 1."""
    one = np.eye(len(matrix))
    if steps is None:
        return np.asarray(np.linalg.inv(one - matrix), np.float64)
    total, power = np.zeros_like(one), one
    for digit in f"{steps:b}":
        total, power = total + power @ total, power @ power
        if digit == "1":
            total, power = total + power, power @ matrix
    return total
