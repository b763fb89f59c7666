"""Recorded trajectories in one pass: what steps look up, sums from behind, and what tables gather.

Arrays are (m, n, T): m replicates of n trajectories of at most T steps, of which ``steps`` (m, n)
int64 says how many were taken. A step looks up a row of a table at an index (m, n, T) int32; which
row, ``rows`` (m, n) int64 says. Results are (m, n, T) too, float64.
"""

from numba import uint64

from pgbench.kernels.jit import kernel


@kernel
def look_up(table, rows, index, steps, otherwise, out):
    """table[row, index_t], of a table (c, entries), or ``otherwise`` where no step is taken."""
    m, n, T = index.shape
    for r in range(m):
        for i in range(n):
            row, length = table[rows[r, i]], steps[r, i]
            for t in range(length):
                out[r, i, t] = row[uint64(index[r, i, t])]
            for t in range(length, T):
                out[r, i, t] = otherwise


@kernel
def sum_backward(table, rows, index, steps, decay, out):
    """x_t = table[row, index_t] + decay x_{t+1}, 0 where no step is taken.

    out (m, n, T), or (m, n, 1) for x_0 alone.
    """
    m, n, _ = index.shape
    kept = out.shape[2]
    for r in range(m):
        for i in range(n):
            row, length, x = table[rows[r, i]], steps[r, i], 0.0
            for t in range(length - 1, -1, -1):
                x = row[uint64(index[r, i, t])] + decay * x
                if t < kept:
                    out[r, i, t] = x
            for t in range(length, kept):
                out[r, i, t] = 0.0


@kernel
def accumulate_backward(signal, decay, out):
    """x_t = signal_t + decay_t x_{t+1}; decay (m, n, T), or (1, 1, 1) for all steps."""
    m, n, T = signal.shape
    for r in range(m):
        for i in range(n):
            x = 0.0
            if decay.size == 1:
                factor = decay[0, 0, 0]
                for t in range(T - 1, -1, -1):
                    x = signal[r, i, t] + factor * x
                    out[r, i, t] = x
            else:
                for t in range(T - 1, -1, -1):
                    x = signal[r, i, t] + decay[r, i, t] * x
                    out[r, i, t] = x


@kernel
def add_up(weights, index, steps, out):
    """Add weights_t to out[r, index_t], of out (m, entries).

    weights (m, n, T), where an axis may be 1 along which they are the same.
    """
    m, n, _ = index.shape
    by_replicate, by_trajectory, by_step = weights.shape
    for r in range(m):
        row = out[r]
        for i in range(n):
            w = weights[r if by_replicate > 1 else 0, i if by_trajectory > 1 else 0]
            if by_step > 1:
                for t in range(steps[r, i]):
                    row[uint64(index[r, i, t])] += w[t]
            else:
                for t in range(steps[r, i]):
                    row[uint64(index[r, i, t])] += w[0]
