"""A policy per replicate on one problem: exact evaluation, weights and likelihood ratios.

Ascent moves the policies of many replicates at once. Threads share nothing: a replicate belongs to
one thread, and its sums run in a fixed order.
"""

import numpy as np
from numba import int64

from pgbench.kernels import recursion
from pgbench.kernels.copying import copy_to
from pgbench.kernels.jit import kernel, parallel_kernel, part
from pgbench.kernels.krylov import improve, step, step_back
from pgbench.kernels.partition import spans

_backward, _forward = kernel(recursion.backward), kernel(recursion.forward)

WORTH_THREADS = 2**18
"""Below so many operations, threads cost more than they gain."""

_SINGULAR = 1e-13
_RESIDUAL = 1e-8


def evaluate(
    probability, successor, reward, terminal, mu0, gamma, pi, v, q, visitation, good
) -> None:
    """Values and visitation of policies π (m, S, A) by dense elimination.

    Parameters
    ----------
    probability, successor
        (S, A, B) float64 and int32.
    reward
        (1, S, A) or, one per replicate, (m, S, A) float64.
    v, q, visitation
        (m, S), (m, S, A), (m, S) float64, receive V, Q and d; 0 on terminal states.
    good
        (m,) bool, receives whether the system could be solved to a relative residual of 1e-8.
    """
    m, S, _ = pi.shape
    each = spans(m, worth=m * S**3 > WORTH_THREADS)
    _evaluate_span(
        each, probability, successor, reward, terminal, mu0, gamma, pi, v, q, visitation, good
    )


@parallel_kernel
def _evaluate_span(
    probability, successor, reward, terminal, mu0, gamma, pi, v, q, visitation, good, begin, end,
):  # fmt: skip
    for r in range(begin, end):
        own = reward[0] if reward.shape[0] == 1 else reward[r]
        good[r] = _evaluate(
            probability, successor, own, terminal, mu0, gamma, pi[r], v[r], q[r], visitation[r]
        )


@kernel
def _evaluate(probability, successor, reward, terminal, mu0, gamma, pi, v, q, visitation):
    """``evaluate`` of one policy; whether it has finite values."""
    S = v.size
    M, mean, pivots = np.zeros((S, S)), np.zeros(S), np.zeros(S, np.int64)
    _system(probability, successor, reward, terminal, gamma, pi, M, mean)
    factors = M.copy()
    if not _factorise(factors, pivots):
        v[:], q[:], visitation[:] = np.nan, np.nan, np.nan
        return False
    copy_to(v, mean)
    copy_to(visitation, mu0)
    _solve(factors, pivots, v)
    _solve_transposed(factors, pivots, visitation)
    good = _finite(v) and _residual(M, v, mean) <= _RESIDUAL * (1.0 + np.abs(mean).max())
    _clear(terminal, v, visitation)
    _action_values(probability, successor, reward, terminal, gamma, v, q)
    return good


@part
def _clear(terminal, v, visitation):
    """Nothing happens on terminal states, and no rounding makes visits negative."""
    for s in range(v.size):
        visitation[s] = max(visitation[s], 0.0)
        if terminal[s]:
            v[s] = visitation[s] = 0.0


@part
def _system(probability, successor, reward, terminal, gamma, pi, M, mean):
    """M = I - γP_π (S, S) and r_π (S,); terminal states lead nowhere and nothing is paid there."""
    S, A, B = probability.shape
    for s in range(S):
        M[s, s] = 1.0
        if terminal[s]:
            continue
        for a in range(A):
            mean[s] += pi[s, a] * reward[s, a]
            for b in range(B):
                after = successor[s, a, b]
                if not terminal[after]:
                    M[s, after] -= gamma * pi[s, a] * probability[s, a, b]


@part
def _action_values(probability, successor, reward, terminal, gamma, v, q):
    S, A, B = probability.shape
    for s in range(S):
        for a in range(A):
            q[s, a] = 0.0
            if not terminal[s]:
                following = 0.0
                for b in range(B):
                    following += probability[s, a, b] * v[successor[s, a, b]]
                q[s, a] = reward[s, a] + gamma * following


@part
def _factorise(M, pivots):
    """LU with partial pivoting in place; whether M is regular."""
    n = M.shape[0]
    for k in range(n):
        p = k
        for i in range(k + 1, n):
            if abs(M[i, k]) > abs(M[p, k]):
                p = i
        pivots[k] = p
        if not abs(M[p, k]) > _SINGULAR:
            return False
        if p != k:
            for j in range(n):
                M[k, j], M[p, j] = M[p, j], M[k, j]
        row, inverse = M[k], 1.0 / M[k, k]
        for i in range(k + 1, n):
            if M[i, k] != 0.0:
                factor = M[i, k] * inverse
                other = M[i]
                for j in range(k + 1, n):
                    other[j] -= factor * row[j]
                other[k] = factor
    return True


@part
def _solve(LU, pivots, x):
    """M x = b, in place of b."""
    n = x.size
    for k in range(n):
        x[k], x[pivots[k]] = x[pivots[k]], x[k]
    for i in range(n):
        total = x[i]
        for j in range(i):
            total -= LU[i, j] * x[j]
        x[i] = total
    for i in range(n - 1, -1, -1):
        total = x[i]
        for j in range(i + 1, n):
            total -= LU[i, j] * x[j]
        x[i] = total / LU[i, i]


@part
def _solve_transposed(LU, pivots, x):
    """Mᵀ x = b, in place of b."""
    n = x.size
    for i in range(n):
        x[i] /= LU[i, i]
        for j in range(i + 1, n):
            x[j] -= LU[i, j] * x[i]
    for i in range(n - 1, -1, -1):
        for j in range(i):
            x[j] -= LU[i, j] * x[i]
    for k in range(n - 1, -1, -1):
        x[k], x[pivots[k]] = x[pivots[k]], x[k]


@part
def _residual(M, x, b):
    largest = 0.0
    for i in range(b.size):
        total = -b[i]
        for j in range(b.size):
            total += M[i, j] * x[j]
        largest = max(largest, abs(total))
    return largest


@part
def _finite(x):
    """Whether all are numbers."""
    total = 0.0
    for number in x:
        total += abs(number)
    return total < np.inf


def iterate(
    probability, successor, reward, terminal, mu0, gamma, pi, v, q, visitation, good
) -> None:
    """What ``evaluate`` computes, by iteration, for problems too large to eliminate and γ < 1.

    Where the walk mixes, iterates of V soon change by a constant, and those of d by the factor γ;
    the rest is then known in closed form. (MacQueen 1966: V lies between v + γ/(1-γ) min Δ and
    v + γ/(1-γ) max Δ.) Else they are where biconjugate gradients begin, whose result is held to
    the same bound. ``good`` receives where that came to a relative error below 1e-12; others are
    left to better methods.
    """
    _iterate_span(
        spans(len(pi)),
        probability, successor, reward, terminal, mu0, gamma, pi, v, q, visitation, good,
    )  # fmt: skip


@parallel_kernel
def _iterate_span(
    probability, successor, reward, terminal, mu0, gamma, pi, v, q, visitation, good, begin, end,
):  # fmt: skip
    for r in range(begin, end):
        own = reward[0] if reward.shape[0] == 1 else reward[r]
        good[r] = _iterate(
            probability, successor, own, terminal, mu0, gamma, pi[r], v[r], q[r], visitation[r]
        )


_SWEEPS = 20
"""After so many, what does not mix is told from what does."""

_ROUNDS = 200
"""Most rounds of biconjugate gradients, of two sweeps each; 400 cells of a gridworld take 150."""

_TOLERANCE = 1e-12


@kernel
def _iterate(probability, successor, reward, terminal, mu0, gamma, pi, v, q, visitation):
    S, A, B = probability.shape
    mean, weights = np.zeros(S), np.zeros((S, A * B))
    follows = successor.reshape(S, A * B)
    ending = False
    for s in range(S):
        ending |= terminal[s]
        for a in range(A):
            if not terminal[s]:
                mean[s] += pi[s, a] * reward[s, a]
                for b in range(B):
                    if not terminal[successor[s, a, b]]:
                        weights[s, a * B + b] = gamma * pi[s, a] * probability[s, a, b]
    found = _iterate_values(weights, follows, mean, gamma, ending, v)
    found = found and _iterate_visits(weights, follows, mu0, gamma, ending, visitation)
    _clear(terminal, v, visitation)
    _action_values(probability, successor, reward, terminal, gamma, v, q)
    return found


@kernel
def _iterate_values(weights, follows, mean, gamma, ending, v):
    """Fill v with V; whether it came to the tolerance."""
    after, reach = np.empty(v.size), gamma / (1.0 - gamma)
    copy_to(v, mean)
    for sweep in range(2 * _SWEEPS):
        if sweep == _SWEEPS:
            improve(False, weights, follows, mean, v, _ROUNDS, 0.25 * _TOLERANCE / (1.0 + reach))
        step(weights, follows, v, after)
        least, most, largest = np.inf, -np.inf, 0.0
        for s in range(v.size):
            after[s] += mean[s]
            least, most = min(least, after[s] - v[s]), max(most, after[s] - v[s])
            largest = max(largest, abs(after[s]))
        copy_to(v, after)
        if ending:
            # Where episodes end iterates need not change by a constant, but may stop changing.
            least, most = min(least, 0.0), max(most, 0.0)
        if reach * (most - least) <= _TOLERANCE * (largest + reach * max(abs(least), abs(most))):
            for s in range(v.size):
                v[s] += reach * 0.5 * (most + least)
            return _finite(v)
    return False


@kernel
def _iterate_visits(weights, follows, mu0, gamma, ending, visitation):
    """Fill visitation with d, unnormalised; whether it came to the tolerance."""
    S, after, term = visitation.size, np.empty(visitation.size), mu0.copy()
    rate = 0.0 if ending else gamma
    for s in range(S):
        visitation[s] = 0.0
    for sweep in range(2 * _SWEEPS):
        if sweep == _SWEEPS:
            for s in range(S):
                visitation[s] += term[s] / (1.0 - rate)
            enough = 0.25 * _TOLERANCE * (1.0 - gamma)
            improve(True, weights, follows, mu0, visitation, _ROUNDS, enough)
            step_back(weights, follows, visitation, after)
            for s in range(S):
                term[s] = mu0[s] + after[s] - visitation[s]
        step_back(weights, follows, term, after)
        defect, size = 0.0, 0.0
        for s in range(S):
            visitation[s] += term[s]
            defect += abs(after[s] - rate * term[s])
            size += visitation[s]
        if defect / (1.0 - gamma) ** (1 if ending else 2) <= _TOLERANCE * size:
            for s in range(S):
                visitation[s] = max(visitation[s] + after[s] / (1.0 - rate), 0.0)
            return _finite(visitation)
        copy_to(term, after)
    return False


def weigh(pair, slot, steps, sigma, kappa, beta, delta, total, factor, weights) -> None:
    """Weights (m, S, A) of recorded rollouts by the four tables, averaged over each batch.

    Parameters
    ----------
    pair, slot, steps
        (m, n, H) int32 and (m, n) int64 as ``finite.record`` records them.
    sigma, kappa, beta, delta
        (c, S·A·B), (c, S·A), ... float64 with c = 1, shared, or m, a table per replicate.
    total
        Whether the estimator has the total shape.
    factor
        (m, n) float64, what each trajectory counts.
    weights
        (m, S·A) float64, receives the weights.
    """
    own = pair, slot, steps, sigma, kappa, beta, delta, total, factor, weights
    _weigh_span(spans(len(pair)), *own)


@parallel_kernel
def _weigh_span(pair, slot, steps, sigma, kappa, beta, delta, total, factor, weights, begin, end):
    _, n, horizon = pair.shape
    n_slots = sigma.shape[1] // kappa.shape[1]
    n_pairs = weights.shape[1]
    for r in range(begin, end):
        row = 0 if sigma.shape[0] == 1 else int64(r)
        s, k, b, d = sigma[row], kappa[row], beta[row], delta[row]
        # Rollouts of many policies count states through; the tables are of one replicate.
        offset = (pair[r, 0, 0] // n_pairs) * n_pairs
        x, w = np.empty(horizon), weights[r]
        w[:] = 0.0
        for i in range(n):
            length, share = steps[r, i], factor[r, i] / n
            following = 0.0
            for t in range(length - 1, -1, -1):
                at = pair[r, i, t] - offset
                following = _backward(s[slot[r, i, t] - offset * n_slots], k[at], following)
                x[t] = following
            carry = share
            for t in range(length):
                at = pair[r, i, t] - offset
                origin = 0 if total else t
                baseline = b[pair[r, i, origin] - offset]
                value, carry = _forward(total, carry, x[origin], baseline, d[at])
                w[at] += value


def likelihood_ratios(pair, steps, pi, other, ratios) -> None:
    """Π_t π'(a_t | s_t)/π(a_t | s_t) of recorded rollouts, (m, n); π and π' are (m, S·A)."""
    _likelihood_ratios_span(spans(len(pair)), pair, steps, pi, other, ratios)


@parallel_kernel
def _likelihood_ratios_span(pair, steps, pi, other, ratios, begin, end):
    _, n, _ = pair.shape
    n_pairs = pi.shape[1]
    for r in range(begin, end):
        for i in range(n):
            log = 0.0
            for t in range(steps[r, i]):
                at = pair[r, i, t] % n_pairs
                log += np.log(other[r, at]) - np.log(pi[r, at])
            ratios[r, i] = np.exp(log)
