"""Sparse elimination without subtraction, and solutions with its factors.

The pattern is that of M + Mᵀ, in the order of its rows: what is filled in follows from the
elimination tree (Liu 1990), in which the parent of k is the first row after k that k reaches.
Column k of the factors holds, below the diagonal, L (i, k) and by symmetry of the pattern also
U (k, i), at the same place. (Davis 2006, Chapter 4, for the symbolic part.)
"""

import numpy as np

from pgbench.kernels.jit import free_kernel, kernel, part


@kernel
def tree(indptr, indices):
    """The elimination tree of a symmetric pattern: parents (n,), -1 for roots."""
    n = indptr.size - 1
    parent, ancestor = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    for i in range(n):
        for p in range(indptr[i], indptr[i + 1]):
            k = np.int64(indices[p])
            while k != -1 and k < i:
                above = ancestor[k]
                ancestor[k] = i
                if above == -1:
                    parent[k] = i
                k = above
    return parent


@part
def reach(i, indptr, indices, parent, mark, stack):
    """Where row i of L is not zero: ``stack[top:]``, every state after those it depends on."""
    n = stack.size
    top = n
    mark[i] = i
    for p in range(indptr[i], indptr[i + 1]):
        k = np.int64(indices[p])
        if k >= i:
            continue
        length = 0
        while mark[k] != i:
            stack[length] = k
            mark[k] = i
            length += 1
            k = parent[k]
        while length > 0:
            length -= 1
            top -= 1
            stack[top] = stack[length]
    return top


@kernel
def pattern(indptr, indices, parent):
    """Rows of each column of L, one column after another: offsets (n + 1,) and rows."""
    n = parent.size
    mark, stack = np.full(n, -1, np.int64), np.empty(n, np.int64)
    begin = np.zeros(n + 1, np.int64)
    for i in range(n):
        for q in range(reach(i, indptr, indices, parent, mark, stack), n):
            begin[stack[q] + 1] += 1
    for k in range(n):
        begin[k + 1] += begin[k]
    rows, place = np.empty(begin[n], np.int32), begin[:n].copy()
    mark[:] = -1
    for i in range(n):
        for q in range(reach(i, indptr, indices, parent, mark, stack), n):
            k = stack[q]
            rows[place[k]] = i
            place[k] += 1
    return begin, rows


@kernel
def eliminate(indptr, indices, data, slack, parent, begin, rows):
    """L, U (as in ``rows``) and pivots (n,) of I - M, from what lies off the diagonal of M.

    ``slack`` (n,), what rows lack to 1, is overwritten. Zero entries stand where the pattern is
    not that of M. Nothing is subtracted: the pivot is the slack and all that is left of its row.
    """
    n = parent.size
    lower, upper = np.zeros(rows.size), np.zeros(rows.size)
    pivot, row = np.zeros(n), np.zeros(n)
    mark, stack = np.full(n, -1, np.int64), np.empty(n, np.int64)
    place = begin[:n].copy()
    for i in range(n):
        for p in range(indptr[i], indptr[i + 1]):
            row[indices[p]] = data[p]
        for q in range(reach(i, indptr, indices, parent, mark, stack), n):
            k = stack[q]
            share = row[k] / pivot[k] if row[k] > 0 else 0.0
            row[k] = 0.0
            lower[place[k]] = share
            place[k] += 1
            if share > 0:
                for p in range(begin[k], begin[k + 1]):
                    row[rows[p]] += share * upper[p]
                slack[i] += share * slack[k]
        # What came back to i itself, and zeros where i has been eliminated from.
        row[i] = 0.0
        total = slack[i]
        for p in range(begin[i], begin[i + 1]):
            upper[p] = row[rows[p]]
            row[rows[p]] = 0.0
            total += upper[p]
        pivot[i] = total
        if not total > 0:
            break
    return lower, upper, pivot


@free_kernel
def solve(begin, rows, lower, upper, pivot, x):
    """Overwrite b (n, c) with (I - M)⁻¹ b."""
    n = pivot.size
    for k in range(n):
        for p in range(begin[k], begin[k + 1]):
            for c in range(x.shape[1]):
                x[rows[p], c] += lower[p] * x[k, c]
    for k in range(n - 1, -1, -1):
        for p in range(begin[k], begin[k + 1]):
            for c in range(x.shape[1]):
                x[k, c] += upper[p] * x[rows[p], c]
        for c in range(x.shape[1]):
            x[k, c] /= pivot[k]


@free_kernel
def solve_transposed(begin, rows, lower, upper, pivot, x):
    """Overwrite b (n, c) with (I - Mᵀ)⁻¹ b."""
    n = pivot.size
    for k in range(n):
        for c in range(x.shape[1]):
            x[k, c] /= pivot[k]
        for p in range(begin[k], begin[k + 1]):
            for c in range(x.shape[1]):
                x[rows[p], c] += upper[p] * x[k, c]
    for k in range(n - 1, -1, -1):
        for p in range(begin[k], begin[k + 1]):
            for c in range(x.shape[1]):
                x[k, c] += lower[p] * x[rows[p], c]
