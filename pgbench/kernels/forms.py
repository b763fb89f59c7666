"""Recorded steps of linear-quadratic problems: values of quadratic forms, and moments.

Arrays are of m replicates of n trajectories of T steps: z (m, n, T+1, p) with z = (x, 1, u), of
which the first ``lifted`` entries are x̃ = (x, 1), and noise (m, n, T, k); all float64.
"""

import numpy as np
from numba import uint64

from pgbench.kernels.jit import kernel


@kernel
def evaluate(matrices, z, first, out):
    """zᵀMz of the steps from ``first`` on, out (m, n, T); a matrix (1, p, p), or one for each."""
    m, n, T = out.shape
    steps, p = z.shape[2:]
    flat, values = z.reshape(-1), out.reshape(-1)
    for r in range(m):
        M = matrices[r if matrices.shape[0] > 1 else 0].copy()
        for i in range(r * n, (r + 1) * n):
            for t in range(T):
                at, total = uint64((i * steps + first + t) * p), 0.0
                for a in range(p):
                    row = 0.0
                    for b in range(p):
                        row += M[a, b] * flat[at + uint64(b)]
                    total += row * flat[at + uint64(a)]
                values[uint64(i * T + t)] = total


@kernel
def add_moments(left, z, lifted, noise, out):
    """Add Σ left_t (x̃_t, noise_t)ᵀ to out (m, rows, lifted + k), of left (m, n, T, rows)."""
    m, n, T, rows = left.shape
    steps, p, k = z.shape[2], z.shape[3], noise.shape[3]
    weights, flat, drawn = left.reshape(-1), z.reshape(-1), noise.reshape(-1)
    for r in range(m):
        total = np.zeros((rows, lifted + k))
        for i in range(r * n, (r + 1) * n):
            for t in range(T):
                step = i * T + t
                at, own = uint64((i * steps + t) * p), uint64(step * k)
                for a in range(rows):
                    weight = weights[uint64(step * rows + a)]
                    for b in range(lifted):
                        total[a, b] += weight * flat[at + uint64(b)]
                    for b in range(k):
                        total[a, lifted + b] += weight * drawn[own + uint64(b)]
        out[r] += total
