"""The exact expectation of a table estimator, without anything of the size of θ.

E ĝ is the pull-back of the expected weight table E[W]. W(s,a) is the sum over visits of (s,a) of
D_t (x_t - β_t), or (x_0 - β_0) times their number in the total shape. There
x_0 = Σ_{m<t} K_m σ_m + K_t x_t with K_t = Π_{i<t} κ_i: both parts are followed forward in time.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pgbench.exact.horizon import descending, occupancies
from pgbench.exact.linear import Resolvent
from pgbench.exact.recursion import slot_moments
from pgbench.exact.values import Truth, state_transitions
from pgbench.tables import Tables

FloatArray = NDArray[np.float64]


def expectation(truth: Truth, tables: Tables, horizon: int | None = None) -> FloatArray:
    """The estimator's exact mean (d,) over at most ``horizon`` steps, or without limit.

    Raises
    ------
    Diverges
        If the mean has no limit as the horizon grows.
    """
    weights = expected_weights(truth, tables, horizon)[tables.process.scored]
    return truth.policy.pull_back(truth.theta, weights)


def expected_weights(truth: Truth, tables: Tables, horizon: int | None) -> FloatArray:
    """E[W] (S', A), up to terms that every pull-back takes to zero."""
    if horizon is None:
        return _limit(truth, tables)
    return (_total if tables.total else _per_step)(tables, horizon)


def _per_step(tables: Tables, horizon: int) -> FloatArray:
    mdp, pi = tables.process.mdp, tables.process.pi
    signal = mdp.mean(tables.sigma)
    carried = occupancies(mdp, pi, tables.delta)
    total = np.zeros(pi.shape)
    for x in _signals(tables, signal, horizon):
        total += next(carried)[:, None] * pi * (x - tables.beta)
    return total


def _total(tables: Tables, horizon: int) -> FloatArray:
    mdp, pi = tables.process.mdp, tables.process.pi
    signal = mdp.mean(tables.sigma)
    decayed = occupancies(mdp, pi, tables.kappa)
    forward, forward_signal = (P.T.tocsr() for P in slot_moments(tables)[:2])
    live = ~mdp.terminal
    past = -mdp.mu0[:, None] * pi * tables.beta
    total = np.zeros(pi.shape)
    for x in _signals(tables, signal, horizon):
        k = next(decayed)[:, None] * pi
        total += past + k * x
        arrived = forward @ past.ravel() + forward_signal @ k.ravel()
        past = (live * arrived)[:, None] * pi
    return total


def _signals(tables: Tables, signal: FloatArray, horizon: int) -> Iterator[FloatArray]:
    """E[x_t | s, a] (S', A) for t = 0, ..., horizon - 1."""
    mdp, pi = tables.process.mdp, tables.process.pi

    def pairs(x: FloatArray) -> FloatArray:
        return signal + tables.kappa * (mdp.transitions @ x).reshape(pi.shape)

    def step(x: FloatArray) -> FloatArray:
        return np.einsum("sa,sa->s", pi, pairs(x))

    return map(pairs, descending(step, mdp.n_states, horizon))


def _limit(truth: Truth, tables: Tables) -> FloatArray:
    mdp, pi = tables.process.mdp, tables.process.pi
    signal = mdp.mean(tables.sigma)
    decay = Resolvent(state_transitions(mdp, pi * tables.kappa))
    x_state, _ = decay.solve(np.einsum("sa,sa->s", pi, signal))
    x = signal + tables.kappa * (mdp.transitions @ x_state).reshape(pi.shape)
    live = ~mdp.terminal
    if not tables.total:
        carry = Resolvent(state_transitions(mdp, pi * tables.delta))
        occupancy, _ = carry.solve(mdp.mu0, transposed=True)
        return (live * occupancy)[:, None] * pi * (x - tables.beta)
    occupancy, _ = decay.solve(mdp.mu0, transposed=True)
    k = (live * occupancy)[:, None] * pi
    first = -mdp.mu0[:, None] * pi * tables.beta
    if pi is truth.pi:
        # What was collected before a step is independent of the action, so its score has mean zero.
        return first + k * x
    forward, forward_signal = (P.T.tocsr() for P in slot_moments(tables)[:2])
    arrived = forward @ first.ravel() + forward_signal @ k.ravel()
    past, _ = Resolvent(state_transitions(mdp, pi)).solve(live * arrived, transposed=True)
    return first + (live * past)[:, None] * pi + k * x
