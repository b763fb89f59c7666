"""Oracles in decimal arithmetic of ninety digits, from the definitions alone."""

from decimal import Decimal, localcontext

import numpy as np

from pgbench.policies import LogLinear
from pgbench.policies.direct import Direct
from pgbench.policies.neural import Neural

DIGITS = 90
STEP = Decimal(10) ** -30


def decimals(array):
    """The same numbers as an object array of decimals."""
    return np.vectorize(Decimal, otypes=[object])(np.asarray(array, np.float64))


def normalised(rows):
    """Rows divided by their sums."""
    return rows / rows.sum(axis=-1, keepdims=True)


def solve(M, b):
    """x with (I - M) x = b by elimination; nothing is lost that ninety digits could not spare."""
    with localcontext(prec=DIGITS):
        one = np.diag([Decimal(1)] * len(b))
        rows = np.column_stack([one - M, b])
        for i in range(len(rows)):
            rows[i, i:] /= rows[i, i]
            for k in range(len(rows)):
                if k != i:
                    rows[k, i:] = rows[k, i:] - rows[k, i] * rows[i, i:]
        return rows[:, -1]


def relative_errors(x, exact):
    """Of every entry of x (n,); 0 where both are 0."""
    with localcontext(prec=DIGITS):
        pairs = zip(decimals(x), exact, strict=True)
        return np.array([float(abs(a - e) / abs(e)) if e else float(a != e) for a, e in pairs])


def distance(x, exact):
    """‖x - exact‖ and ‖exact‖."""
    with localcontext(prec=DIGITS):
        away = decimals(x) - exact
        return tuple(float(sum(y * y for y in z).sqrt()) for z in (away, exact))


def system(mdp, pi):
    """γP_π between states that are not terminal, r_π and μ0; rows are divided by their sums."""
    S, A, B = mdp.probability.shape
    with localcontext(prec=DIGITS):
        p, r = normalised(decimals(mdp.probability)), decimals(mdp.reward)
        M = np.full((S, S), Decimal(0))
        for s, a, b in np.ndindex(S, A, B):
            t = mdp.successor[s, a, b]
            if not (mdp.terminal[s] or mdp.terminal[t]):
                M[s, t] += Decimal(mdp.gamma) * pi[s, a] * p[s, a, b]
        return M, ((p * r).sum(axis=2) * pi).sum(axis=1), normalised(decimals(mdp.mu0))


def table(policy, theta):
    """π(s, a) of decimal parameters."""
    if isinstance(policy, LogLinear):
        return normalised(_exp(decimals(policy.features) @ theta))
    if isinstance(policy, Neural):
        return normalised(_exp(_network(policy, theta).reshape(policy.shape)))
    rows = theta.reshape(policy.shape)
    return normalised(rows if isinstance(policy, Direct) else _exp(rows))


def _network(policy, theta):
    h, begin = decimals(policy.inputs), 0
    for n, m in zip(policy.widths, policy.widths[1:], strict=False):
        if begin:
            h = np.maximum(h, Decimal(0)) if policy.activation == "relu" else _tanh(h)
        W, begin = theta[begin : begin + n * m].reshape(n, m), begin + n * m
        h, begin = h @ W + theta[begin : begin + m], begin + m
    return h


def _exp(x):
    return np.vectorize(lambda y: y.exp(), otypes=[object])(x)


def _tanh(x):
    return 1 - 2 / (_exp(2 * x) + 1)


def objective(mdp, pi, horizon=None):
    """J, or J_H, of decimal probabilities of actions."""
    M, reward, mu0 = system(mdp, pi)
    return mu0 @ (solve(M, reward) if horizon is None else _summed(M, reward, horizon))


def finite_values(mdp, pi, horizon):
    """V_H (S,) of a table of floats, rows divided by their sums."""
    with localcontext(prec=DIGITS):
        M, reward, _ = system(mdp, normalised(decimals(pi)))
        return _summed(M, reward, horizon)


def _summed(M, reward, horizon):
    v = reward
    for _ in range(horizon - 1):
        v = reward + M @ v
    return v


def derivative(mdp, policy, theta, horizon=None):
    """∇J by central differences, whose error is of the order of 1e-60."""
    with localcontext(prec=DIGITS):

        def value(moved):
            return objective(mdp, table(policy, decimals(theta) + moved), horizon)

        moves = STEP * decimals(policy.tangent(np.eye(theta.size)))
        return np.array([(value(move) - value(-move)) / (2 * STEP) for move in moves])
