"""Pull-backs of policies whose parameters belong to states, row by row.

h = scale ⊙ w,   ĝ = h - share Σ_a h_a
"""

from pgbench.kernels.jit import kernel


@kernel
def pull_back_rows(scale, share, weights, out):
    """ĝ (N, rows, k) of tables w (N, rows, k); scale and share (rows, k)."""
    N, rows, k = weights.shape
    for i in range(N):
        for s in range(rows):
            total = 0.0
            for a in range(k):
                h = scale[s, a] * weights[i, s, a]
                out[i, s, a] = h
                total += h
            for a in range(k):
                out[i, s, a] -= share[s, a] * total
