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
    """x_t = signal_t + decay_t x_{t+1}; decay (m, n, T), or (1, 1, 1) for all steps.

    Four trajectories at a time, for a sum waits for the one before it.
    """
    T = signal.shape[2]
    rows, x, factors = signal.reshape(-1, T), out.reshape(-1, T), decay.reshape(-1, decay.shape[2])
    last, varies = len(rows) - 1, decay.size > 1
    for i in range(0, last + 1, 4):
        j, k, h = min(i + 1, last), min(i + 2, last), min(i + 3, last)  # the last one may be again
        x_i = x_j = x_k = x_h = 0.0
        f_i = f_j = f_k = f_h = factors[0, 0]
        for t in range(T - 1, -1, -1):
            if varies:
                f_i, f_j, f_k, f_h = factors[i, t], factors[j, t], factors[k, t], factors[h, t]
            x_i, x_j = rows[i, t] + f_i * x_i, rows[j, t] + f_j * x_j
            x_k, x_h = rows[k, t] + f_k * x_k, rows[h, t] + f_h * x_h
            x[i, t], x[j, t], x[k, t], x[h, t] = x_i, x_j, x_k, x_h


@kernel
def multiply_forward(factors, out):
    """D_0 = 1, D_{t+1} = factor_t D_t, of factors (m, n, T), or (1, 1, 1) for all steps."""
    T = out.shape[2]
    rows, x = factors.reshape(-1, factors.shape[2]), out.reshape(-1, T)
    for i in range(len(x)):
        product = 1.0
        for t in range(T):
            x[i, t] = product
            product *= rows[i, t] if factors.size > 1 else factors[0, 0, 0]


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
