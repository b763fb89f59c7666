"""Expectations of table estimators on finite problems.

E ĝ is the pull-back of the expected weight table E[W]. W(s,a) is the sum over visits of (s,a) of
D_t (x_t - β_t), or (x_0 - β_0) times their number in the total shape. There
x_0 = Σ_{m<t} K_m σ_m + K_t x_t with K_t = Π_{i<t} κ_i: both parts are followed forward in time.
"""

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.exact.expectation import expectation
from pgbench.exact.finite.recursion import slot_moments
from pgbench.exact.finite.values import FiniteTruth
from pgbench.exact.finite.walk import Factor, Walk
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables


@expectation.register
def finite_expectation(
    truth: FiniteTruth, tables: Tables, horizon: int | None = None
) -> FloatArray:
    """The pull-back of the expected weights."""
    weights = expected_weights(truth, tables, horizon)[tables.process.scored]
    return np.asarray(truth.policy.pull_back(truth.theta, weights), np.float64)


def expected_weights(truth: Truth, tables: Tables, horizon: int | None) -> FloatArray:
    """E[W] (S', A), up to terms that the pull-back takes to zero."""
    mdp, pi = tables.process.mdp, tables.process.pi
    walk = Walk.of(mdp, pi)
    if horizon is not None:
        walk = walk.within(horizon)
    kappa = _factor(walk, mdp.terminal, tables.kappa)
    delta = kappa if tables.total else _factor(walk, mdp.terminal, tables.delta)
    signal, beta = mdp.mean(tables.sigma)[walk.states], tables.beta[walk.states]
    visits, signals = _signals(walk, signal, kappa, delta, horizon)
    # In the total shape β belongs to the first step alone.
    baseline = (walk.mu0 if tables.total else visits)[:, None] * beta
    weights = np.zeros(pi.shape)
    weights[walk.states] = walk.pi * (signals - baseline)
    if tables.total and (pi is not truth.pi or truth.unseen):
        # Elsewhere scores have no mean, and so nothing in common with what was collected before.
        weights += _past(tables, horizon)
    return weights


def _factor(walk: Walk, terminal: BoolArray, table: FloatArray) -> Factor:
    """A table (S', A) on the states of a walk, or its one value if that is the same in all."""
    live = table[~terminal] if terminal.any() else table
    return float(live[0, 0]) if (live == live[0, 0]).all() else table[walk.states]


def _signals(
    walk: Walk, signal: FloatArray, kappa: Factor, delta: Factor, horizon: int | None
) -> tuple[FloatArray, FloatArray]:
    """Σ_t E[D_t; s] (n,), and Σ_t E[D_t; s] E[x_t | s, a] (n, A)."""
    mean = walk.mean(signal)
    if horizon is not None:
        visits, later = walk.swept(delta, kappa, mean, horizon)
    else:
        x, _ = walk.solve(kappa, mean)
        visits, _ = walk.solve(delta, walk.mu0, transposed=True)
        later = visits[:, None] * walk.following(x)
    return visits, visits[:, None] * signal + kappa * later


def _past(tables: Tables, horizon: int | None) -> FloatArray:
    """Σ_{t>0} E[Σ_{m<t} K_m σ_m - β_0; s_t = s, a_t = a] (S', A) of the total shape."""
    mdp, pi = tables.process.mdp, tables.process.pi
    walk = Walk.of(mdp, pi)
    forward, forward_signal = (P.T for P in slot_moments(tables)[:2])
    kappa = _factor(walk, mdp.terminal, tables.kappa)
    live = ~mdp.terminal

    def arrived(past: FloatArray, k: FloatArray) -> FloatArray:
        here = forward @ past.ravel() + forward_signal @ (k[:, None] * pi).ravel()
        return live * here

    first = -mdp.mu0[:, None] * pi * tables.beta
    if horizon is None:
        k, _ = walk.solve(kappa, mdp.mu0, transposed=True)
        total, _ = walk.solve(1.0, arrived(first, k), transposed=True)
        return total[:, None] * pi
    total, past = np.zeros(mdp.n_states), first
    for k in walk.forward(kappa).terms(horizon - 1):
        here = arrived(past, k)
        total += here
        past = here[:, None] * pi
    return total[:, None] * pi
