"""The stabilised biconjugate gradient method (van der Vorst 1992) for a discounted walk.

Its matrix is I - W, or the transpose, where W (S, S) has the entries ``weights[s, k]`` at
``follows[s, k]``, (S, K) both, and rows whose sizes add up to at most γ < 1.
"""

import numpy as np

from pgbench.kernels.jit import kernel, part


@part
def step(weights, follows, x, out):
    """W x into ``out``, both (S,)."""
    S, K = weights.shape
    for s in range(S):
        total = 0.0
        for k in range(K):
            total += weights[s, k] * x[follows[s, k]]
        out[s] = total


@part
def step_back(weights, follows, x, out):
    """Wᵀ x into ``out``, both (S,)."""
    S, K = weights.shape
    for s in range(S):
        out[s] = 0.0
    for s in range(S):
        if x[s] != 0.0:
            for k in range(K):
                out[follows[s, k]] += weights[s, k] * x[s]


@part
def _apply(back, weights, follows, x, out):
    """x - W x, or x - Wᵀ x, into ``out``."""
    if back:
        step_back(weights, follows, x, out)
    else:
        step(weights, follows, x, out)
    for s in range(x.size):
        out[s] = x[s] - out[s]


@part
def _dot(x, y):
    total = 0.0
    for s in range(x.size):
        total += x[s] * y[s]
    return total


@kernel
def improve(back, weights, follows, b, x, most, enough):
    """Improve x (S,), a solution of (I - W) x = b, or of (I - Wᵀ) x = b, by at most so many rounds.

    Until the largest size of an entry of the residual is at most ``enough`` times that of x, or
    ``back`` the sum of sizes; as the recursion has it, which differs from the true one by rounding.
    """
    S = b.size
    r, p, v, t = np.empty(S), np.zeros(S), np.zeros(S), np.empty(S)
    _apply(back, weights, follows, x, r)
    for s in range(S):
        r[s] = b[s] - r[s]
    shadow = r.copy()
    rho = alpha = omega = 1.0
    for _ in range(most):
        before, rho = rho, _dot(shadow, r)
        if rho == 0.0 or omega == 0.0:
            return
        beta = rho / before * alpha / omega
        for s in range(S):
            p[s] = r[s] + beta * (p[s] - omega * v[s])
        _apply(back, weights, follows, p, v)
        along = _dot(shadow, v)
        if along == 0.0:
            return
        alpha = rho / along
        for s in range(S):
            r[s] -= alpha * v[s]
        _apply(back, weights, follows, r, t)
        size = _dot(t, t)
        omega = _dot(t, r) / size if size > 0.0 else 0.0
        left = found = 0.0
        for s in range(S):
            x[s] += alpha * p[s] + omega * r[s]
            r[s] -= omega * t[s]
            left = left + abs(r[s]) if back else max(left, abs(r[s]))
            found = found + abs(x[s]) if back else max(found, abs(x[s]))
        if not left > enough * found:
            return
