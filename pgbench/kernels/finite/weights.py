"""Weights of rollouts of finite problems: simulate a trajectory once, weigh it for every estimator.

Per block of lanes the slots drawn are recorded; then, per estimator,

    x_t = σ_t + κ_t x_{t+1},   D_{t+1} = δ_t D_t,   W(s_t,a_t) += D_t (x_t - β_t)

or, in the "total" shape, W(s_t,a_t) += x_0 - β_0. A replicate's weights are kept for the states it
visited, in the order of their first visits, or for all states where it may well visit them all.
"""

import numpy as np
from numba import uint32, uint64

from pgbench.kernels.finite.recursion import weigh_lanes
from pgbench.kernels.finite.tape import PAIR, PLACE, divisor, make_tape, segment, simulate
from pgbench.kernels.jit import kernel, parallel_kernel
from pgbench.kernels.partition import partition
from pgbench.kernels.streams import LANES


def weigh(sampler, tables, streams, first, horizon, visited, n_visited, weights, steps) -> None:
    """Fill arrays with weights of replicates ``first``, ``first + 1``, ....

    Parameters
    ----------
    sampler, tables, streams
        What to draw from, what to compute, which random streams.
    first
        Index of the first replicate; a multiple of ``LANES``, so that units do not depend on how
        replicates are cut into calls.
    horizon
        Largest number of steps H.
    visited
        (replicates, m) int32, receives the states of each replicate: where m is the number of
        states all of them in order, else those visited, in order of their first visits; m must be
        at least H times the batch size then.
    n_visited
        (replicates,) int64, receives how many.
    weights
        (replicates, E, m, A) float64, receives their weights, averaged over the batch.
    steps
        (replicates,) int64, receives the environment steps taken by the batch.
    """
    # Listed states have places of their own, which no second simulation would find; but then the
    # horizon is shorter than the number of states.
    longest = segment(horizon) if visited.shape[1] == sampler.terminal.size else horizon
    parts = partition(n_visited.size, streams.batch_size)
    arrays = visited, n_visited, weights, steps
    numbers = first, horizon, longest, parts.unit
    _weigh_span(parts.bounds, sampler, tables, streams, *numbers, *arrays)


@parallel_kernel
def _weigh_span(
    sampler, tables, streams, first, horizon, longest, unit, visited, n_visited, weights, steps,
    begin, end,
):  # fmt: skip
    """``weigh`` for the replicates from ``begin`` to ``end``, ``unit`` at a time."""
    n_states = sampler.terminal.size
    tape = make_tape(horizon, longest)
    where = np.empty(1 if weights.shape[2] == n_states else n_states, np.int32)
    for s in range(where.size):
        where[s] = -1
    for low in range(begin, end, unit):
        own = slice(low, min(low + unit, end))
        _weigh_unit(
            sampler, tables, streams, first + low, tape, where,
            visited[own], n_visited[own], weights[own], steps[own],
        )  # fmt: skip


@kernel
def _weigh_unit(
    sampler, tables, streams, first, tape, where, visited, n_visited, weights, steps
):  # fmt: skip
    """``weigh`` for the replicates of a unit."""
    batch_size, everywhere = streams.batch_size, weights.shape[2] == sampler.terminal.size
    n_replicates, n_estimators, n_rows, n_actions = weights.shape
    n_trajectories, stride = n_replicates * batch_size, n_rows * n_actions
    flat = weights.reshape(-1)
    _begin(everywhere, visited, n_visited, weights, steps)
    for trajectory in range(0, n_trajectories, LANES):
        n_lanes = min(LANES, n_trajectories - trajectory)
        for lane in range(LANES):
            r = min(trajectory + lane, n_trajectories - 1) // batch_size
            tape.base[lane] = r * n_estimators * stride
        length = simulate(sampler, streams, first, trajectory, n_lanes, tape)
        for lane in range(n_lanes):
            r, i = (trajectory + lane) // batch_size, (trajectory + lane) % batch_size
            steps[r] += tape.alive[lane]
            if not everywhere:
                before = n_visited[r]
                n_visited[r] = _list_visits(tape, lane, n_actions, visited[r], before, where)
                _clear(weights, r, before, n_visited[r])
                if i == batch_size - 1:
                    for j in range(n_visited[r]):
                        where[visited[r, j]] = -1
        for e in range(n_estimators):
            weigh_lanes(sampler, tables, e, length, tape, flat[e * stride :])
    if batch_size > 1:
        _average(weights, n_visited, 1.0 / batch_size)


@kernel
def _begin(everywhere, visited, n_visited, weights, steps):
    """No steps and no states, or all of them with weights of zero."""
    n_states = visited.shape[1]
    for r in range(steps.size):
        steps[r] = n_visited[r] = 0
        if everywhere:
            n_visited[r] = n_states
            for s in range(n_states):
                visited[r, s] = s
            _clear(weights, r, 0, n_states)


@kernel
def _average(weights, n_visited, share):
    """Multiply the weights of visited states by 1 over the batch size."""
    for r in range(n_visited.size):
        for e in range(weights.shape[1]):
            flat = weights[r, e].reshape(-1)
            for i in range(n_visited[r] * weights.shape[3]):
                flat[i] *= share


@kernel
def _clear(weights, r, begin, end):
    """Zero a replicate's rows from ``begin`` to ``end``."""
    n_actions = weights.shape[3]
    for e in range(weights.shape[1]):
        flat = weights[r, e].reshape(-1)
        for i in range(begin * n_actions, end * n_actions):
            flat[i] = 0.0


@kernel
def _list_visits(tape, lane, n_actions, listed, n_listed, where):
    """Append a lane's new states to ``listed`` and note where each step adds; the new number.

    ``where`` (S,) int32 holds the place of every listed state, and -1 elsewhere.
    """
    m, k = divisor(n_actions)
    base, width = uint64(tape.base[lane]), uint64(n_actions)
    for t in range(tape.alive[lane]):
        step = tape.path[t]
        p = uint64(step[PAIR + lane])
        s = p * m >> k
        row = where[s]
        # Without a branch, for nobody can predict it.
        new = row < 0
        row = n_listed if new else row
        where[s] = row
        listed[n_listed] = s
        n_listed += new
        step[PLACE + lane] = uint32(base + uint64(row) * width + (p - s * width))
    return n_listed
