"""Many small symmetric blocks at once: sums of squares of scores, and systems with them."""

import numpy as np

from pgbench.kernels.jit import kernel, part

SWEEPS = 30
"""Most rounds of rotations; five or six leave nothing but rounding."""


@kernel
def add_squares(scores, weights, out):
    """Add Σ_p w_p ψ_pψ_pᵀ to blocks out (m, G, k, k).

    scores (1, G, p, k), or (m, G, p, k), of each replicate; weights (m, G, p).
    """
    m, G, p = weights.shape
    k = out.shape[3]
    for r in range(m):
        own = scores[r if scores.shape[0] > 1 else 0]
        for g in range(G):
            for i in range(p):
                w = weights[r, g, i]
                if w != 0.0:
                    for a in range(k):
                        for b in range(k):
                            out[r, g, a, b] += w * own[g, i, a] * own[g, i, b]


@kernel
def pseudo_solve(blocks, right, cutoff, out):
    """F†g of blocks (N, k, k) and g (N, k): eigenvalues up to ``cutoff`` of the largest count as 0.

    By Jacobi's rotations. (Golub & Van Loan 2013, Section 8.5)
    """
    k = blocks.shape[1]
    F, V = np.empty((2, k, k))
    for i in range(len(blocks)):
        nothing = True
        for a in range(k):
            out[i, a] = 0.0
            nothing = nothing and right[i, a] == 0.0
            for b in range(k):
                F[a, b] = blocks[i, a, b]
        if nothing:
            continue
        _diagonalise(F, V)
        largest = 0.0
        for j in range(k):
            largest = max(largest, F[j, j])
        for j in range(k):
            if F[j, j] > cutoff * largest:
                along = 0.0
                for a in range(k):
                    along += V[a, j] * right[i, a]
                for a in range(k):
                    out[i, a] += V[a, j] * (along / F[j, j])


@part
def _diagonalise(F, V):
    """Turn F (k, k) into a diagonal matrix VᵀFV, V (k, k) with orthonormal columns."""
    k = len(F)
    for a in range(k):
        for b in range(k):
            V[a, b] = 1.0 if a == b else 0.0
    for _ in range(SWEEPS):
        off = size = 0.0
        for a in range(k):
            size += F[a, a] * F[a, a]
            for b in range(a):
                off += F[a, b] * F[a, b]
        if off <= 1e-32 * size:  # beside the largest this is rounding
            return
        for a in range(k):
            for b in range(a):
                if F[a, b] != 0.0:
                    _rotate(F, V, a, b)


@part
def _rotate(F, V, a, b):
    """Make F[a, b] zero by a rotation in the plane of a and b."""
    slope = (F[b, b] - F[a, a]) / (2.0 * F[a, b])
    t = 1.0 / (abs(slope) + np.sqrt(slope * slope + 1.0))
    t = t if slope >= 0.0 else -t
    c = 1.0 / np.sqrt(t * t + 1.0)
    s = t * c
    F[a, a] -= t * F[a, b]
    F[b, b] += t * F[a, b]
    F[a, b] = F[b, a] = 0.0
    for i in range(len(F)):
        V[i, a], V[i, b] = c * V[i, a] - s * V[i, b], s * V[i, a] + c * V[i, b]
        if i != a and i != b:
            x, y = F[i, a], F[i, b]
            F[i, a] = F[a, i] = c * x - s * y
            F[i, b] = F[b, i] = s * x + c * y
