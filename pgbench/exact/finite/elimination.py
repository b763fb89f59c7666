"""Elimination of I - M for M ≥ 0 without a single subtraction, and what its rounding can do.

Of row i only what lies off the diagonal, M_ij, and its slack w_i = 1 - Σ_j M_ij ≥ 0 are read; the
diagonal is what these leave. When state k is eliminated the pivot is w_k + Σ_{j>k} M_kj and, with
L_ik = M_ik / pivot,

    M_ij += L_ik M_kj,   w_i += L_ik w_k        (Grassmann, Taksar & Heyman 1985)

so that every number is a sum of products of non-negative ones, and so are solutions with b ≥ 0.

Rounding changes each off-diagonal entry and slack of the n - k equations that are left after step k
by a factor 1 ± ε_k, ε_k a few units of rounding for every addition. Determinant and minors of such
a matrix are sums of at most n - k factors each, all of them off-diagonal entries or slacks and none
negative (Kirchhoff's matrix-tree theorem), so that every entry of the inverse changes by a factor
within (1 ± ε_k)^{2(n-k)} (O'Cinneide 1996; Alfa, Xue & Ye 2002): entry by entry, however small.
"""

from typing import Protocol

import numpy as np
from scipy import sparse
from scipy.linalg import blas, lu_solve
from scipy.sparse.linalg import spilu

from pgbench.arrays import FloatArray, IndexArray
from pgbench.rounding import UNIT

BLOCK = 32
"""States that are eliminated together; what lies outside a block is brought up to date at once."""


class Singular(ArithmeticError):
    """Some state is never left: a pivot is zero."""


class Factors(Protocol):
    """(I - M)⁻¹ as factors."""

    relative_error: float
    """Bound on the relative error of every entry of a solution with b ≥ 0."""

    def solve(self, b: FloatArray, transposed: bool) -> FloatArray:
        """x with (I - M) x = b, or (I - Mᵀ) x = b, of b (n,) or (n, c)."""


class DenseFactors:
    """Factors as a full matrix, made of matrix products block by block.

    Parameters
    ----------
    M
        Sparse (n, n), not negative.
    slack
        (n,) float64, 1 - Σ_j M_ij, to full relative accuracy.

    Raises
    ------
    Singular
        If a pivot is zero.
    """

    def __init__(self, M: sparse.csr_array, slack: FloatArray) -> None:
        n = slack.size
        table = np.empty((n, n + 1))
        table[:, :n] = M.toarray()
        table[:, n] = slack
        for begin in range(0, n, BLOCK):
            _eliminate_block(table, begin, min(begin + BLOCK, n))
        lu = table[:, :n]
        pivots = lu.diagonal().copy()
        np.negative(lu, out=lu)
        np.fill_diagonal(lu, pivots)
        self._factors = np.asfortranarray(lu), np.arange(n, dtype=np.int32)
        # Additions that a term passes through: inside its block, one a block later, in a pivot.
        additions = 3 * min(n, BLOCK) + n // BLOCK + min(n, 2 * BLOCK)
        self.relative_error = n * (n + 1) * (additions + 12) * UNIT

    def solve(self, b: FloatArray, transposed: bool) -> FloatArray:
        """x with (I - M) x = b, or (I - Mᵀ) x = b, of b (n,) or (n, c)."""
        lu, order = self._factors
        # The order is written to and restored meanwhile, so that threads need one each.
        own = lu, order.copy()
        return np.asarray(lu_solve(own, b, trans=int(transposed), check_finite=False))


def _eliminate_block(table: FloatArray, begin: int, end: int) -> None:
    """Eliminate states from ``begin`` up to ``end`` of [M, w] (n, n + 1), in place.

    L is left below the diagonal, the pivots on it, and what was left of M above.
    """
    size = end - begin
    right = table[begin:end, end:]
    # For the block all that lies outside is slack.
    own = np.column_stack([table[begin:end, begin:end], right.sum(axis=1)])
    for k in range(size):
        rest = own[k, k + 1 :]
        pivot = rest.sum()
        if not pivot > 0:
            raise Singular
        own[k, k] = pivot
        share = own[k + 1 :, k]
        share /= pivot
        own[k + 1 :, k + 1 :] += share[:, None] * rest
    own = own[:, :size]
    table[begin:end, begin:end] = own
    signed = 2 * np.diag(own.diagonal()) - own
    # Triangular solutions with these signs add and multiply non-negative numbers only.
    right[:] = blas.dtrsm(1.0, signed, right, lower=1, diag=1)
    left = table[end:, begin:end]
    left[:] = blas.dtrsm(1.0, signed, left, side=1)
    table[end:, end:] += left @ right


class SparseFactors:
    """Factors of a sparse matrix in an order that fills in little; as for ``DenseFactors``."""

    def __init__(self, M: sparse.csr_array, slack: FloatArray) -> None:
        from pgbench.kernels import elimination

        self._kernels = elimination
        n = slack.size
        self._order = _minimum_degree(M)
        both = _symmetric_pattern(M, self._order)
        parent = elimination.tree(both.indptr, both.indices)
        begin, rows = elimination.pattern(both.indptr, both.indices, parent)
        lower, upper, pivot = elimination.eliminate(
            both.indptr, both.indices, both.data, slack[self._order], parent, begin, rows
        )
        if not (pivot > 0).all():
            raise Singular
        self._factors = begin, rows, lower, upper, pivot
        terms = np.diff(begin)
        most = int(max(terms.max(initial=0), np.bincount(rows, minlength=1).max(initial=0)))
        steps = 2 * (n - np.arange(n)) * (terms + 8.0)
        self.relative_error = float(steps.sum() + 2 * n * (most + 4.0)) * UNIT

    def solve(self, b: FloatArray, transposed: bool) -> FloatArray:
        """x with (I - M) x = b, or (I - Mᵀ) x = b, of b (n,) or (n, c)."""
        ordered = np.array(b[self._order].reshape(b.shape[0], -1), order="C")
        kernel = self._kernels.solve_transposed if transposed else self._kernels.solve
        kernel(*self._factors, ordered)
        x = np.empty_like(ordered)
        x[self._order] = ordered
        return x.reshape(b.shape)


def _symmetric_pattern(M: sparse.csr_array, order: IndexArray) -> sparse.csr_array:
    """M in another order without its diagonal, with zeros where only Mᵀ has entries."""
    n = M.shape[0]
    place = np.empty(n, np.int32)
    place[order] = np.arange(n, dtype=np.int32)
    rows, columns = place[np.repeat(np.arange(n), np.diff(M.indptr))], place[M.indices]
    apart = rows != columns
    rows, columns, data = rows[apart], columns[apart], M.data[apart]
    entries = (
        np.append(data, np.zeros_like(data)),
        (np.append(rows, columns), np.append(columns, rows)),
    )
    return sparse.coo_array(entries, shape=M.shape).tocsr()


def _minimum_degree(M: sparse.csr_array) -> IndexArray:
    """An order of the states by minimum degree on the pattern of M + Mᵀ. (Liu 1985).

    SuperLU has one; asked for factors of which it drops nearly everything it does little else.
    """
    n = M.shape[0]
    pattern = sparse.csc_array((np.ones(M.nnz), M.indices, M.indptr), shape=M.shape)
    # Rows summing to less than 1 keep every pivot from zero.
    dominant = (n + 1.0) * sparse.eye_array(n, format="csc") + pattern
    factors = spilu(
        dominant,
        drop_tol=1.0,
        fill_factor=1.0,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return np.argsort(factors.perm_c)
