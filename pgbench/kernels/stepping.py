"""Steps of a recursion for many columns: products with a block lower triangular sparse matrix.

Blocks (i, j), j ≤ i < F ≤ 3, of the matrix share one pattern; their entries stand beside each
other, (0,0), (1,0), (1,1), (2,0), (2,1), (2,2), so that a row of x is fetched once for all of them.
"""

import numpy as np

from pgbench.kernels.jit import free_kernel


@free_kernel
def advance(indptr, indices, entries, rows, x, out):
    """Write the rows (k,) of the product of the matrix with x (n, F, c) to ``out`` (n, F, c).

    ``indptr`` (n + 1,) and ``indices`` are the pattern by rows, ``entries`` (nnz, F(F+1)/2).
    """
    _, F, C = x.shape
    for s in rows:
        own = out[s]
        own[:] = 0.0
        for p in range(indptr[s], indptr[s + 1]):
            y = x[indices[p]]
            if F == 1:
                a = entries[p, 0]
                for c in range(C):
                    own[0, c] += a * y[0, c]
            elif F == 2:
                a, b, d = entries[p, 0], entries[p, 1], entries[p, 2]
                for c in range(C):
                    own[0, c] += a * y[0, c]
                    own[1, c] += b * y[0, c] + d * y[1, c]
            else:
                a, b, d = entries[p, 0], entries[p, 1], entries[p, 2]
                e, f, g = entries[p, 3], entries[p, 4], entries[p, 5]
                for c in range(C):
                    own[0, c] += a * y[0, c]
                    own[1, c] += b * y[0, c] + d * y[1, c]
                    own[2, c] += e * y[0, c] + f * y[1, c] + g * y[2, c]


@free_kernel
def distances(indptr, indices, start):
    """Fewest steps (n,) from any of the states of ``start``; n where no steps lead there."""
    n = indptr.size - 1
    far, queue = np.empty(n, np.int64), np.empty(n, np.int64)
    for s in range(n):
        far[s] = n
    first = last = 0
    for s in start:
        far[s] = 0
        queue[last] = s
        last += 1
    while first < last:
        s = queue[first]
        first += 1
        for p in range(indptr[s], indptr[s + 1]):
            u = indices[p]
            if far[u] == n:
                far[u] = far[s] + 1
                queue[last] = u
                last += 1
    return far
