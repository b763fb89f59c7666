"""Weights of rollouts of finite problems: simulate a trajectory once, weigh it for every estimator.

Per block of trajectories the slots drawn are recorded; then, per group of up to ``WIDTH`` of them
and estimator,

    x_t = σ_t + κ_t x_{t+1},   D_{t+1} = δ_t D_t,   W(s_t,a_t) += D_t (x_t - β_t)

or, in the "total" shape, W(s_t,a_t) += x_0 - β_0. A replicate's weights are kept for the states it
visited, in the order of their first visits, or for all states where it may well visit them all.

A group holds trajectories of one replicate, or whole replicates: in which order a replicate's
weights are added up (see ``recursion``) depends on its trajectories alone.
"""

from typing import Any

import numpy as np
from numba import uint32, uint64

from pgbench.kernels.finite.recursion import arrange, make_group, no_group, sort, weigh_group
from pgbench.kernels.finite.tape import block, divisor, make_tape, no_tape, segment, simulate
from pgbench.kernels.jit import compile_units, parallel_kernel, part, unit
from pgbench.kernels.partition import partition
from pgbench.kernels.units import call
from pgbench.kernels.words import WIDTH


def weigh(sampler, tables, streams, first, horizon, visited, n_visited, weights, steps) -> None:
    """Fill arrays with weights of replicates ``first``, ``first + 1``, ....

    Parameters
    ----------
    sampler, tables, streams
        What to draw from, what to compute, which random streams.
    first
        Index of the first replicate.
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
    room = block(sampler, horizon)
    parts = partition(n_visited.size, streams.batch_size, room, WIDTH)
    kinds = bool(tables.sigma_by_slot.any()), not tables.constant_delta.all()
    numbers = first, horizon, longest, room, *kinds, parts.unit
    arrays = visited, n_visited, weights, steps
    global _UNITS
    if not _UNITS:
        tape, group = no_tape(), no_group()
        rolled = unit(simulate, sampler, streams, 0, 0, 0, 0, tape)
        others = sampler, streams, tables, 0, 0, tape, group, weights
        _UNITS = unit(_weigh_block, rolled, *others), rolled
        compile_units(_UNITS)
    _weigh_span(parts.bounds, *_UNITS, sampler, tables, streams, *numbers, *arrays)


_UNITS: tuple[Any, ...] = ()
"""``_weigh_block`` and ``simulate``, from the first call on."""


@parallel_kernel
def _weigh_span(
    weigh_block, simulate, sampler, tables, streams, first, horizon, longest, room, slots, decays,
    unit, visited, n_visited, weights, steps, begin, end,
):  # fmt: skip
    """``weigh`` for the replicates from ``begin`` to ``end``, ``unit`` at a time.

    Whether a σ has an entry per slot, and whether a δ is a table.
    """
    batch_size, n_states = streams.batch_size, sampler.terminal.size
    everywhere = weights.shape[2] == n_states
    tape = make_tape(horizon, longest, room, slots)
    group = make_group(tape, not everywhere, decays)
    where = np.empty(0 if everywhere else n_states, np.int32)
    for s in range(where.size):
        where[s] = -1
    for low in range(begin, end, unit):
        high = min(low + unit, end)
        _reset(everywhere, low, high, visited, n_visited, weights, steps)
        for trajectory in range(low * batch_size, high * batch_size, room):
            n = min(room, high * batch_size - trajectory)
            call(simulate, (sampler, streams, first, trajectory, n, -1, tape))
            _note(
                everywhere, sampler.n_actions, batch_size, trajectory, n, tape, group, where,
                visited, n_visited, weights, steps,
            )  # fmt: skip
            own = simulate, sampler, streams, tables, trajectory, n, tape, group, weights
            call(weigh_block, own)
        if batch_size > 1:
            _average(low, high, weights, n_visited, 1.0 / batch_size)


@part
def _note(
    everywhere, n_actions, batch_size, trajectory, n, tape, group, where, visited, n_visited,
    weights, steps,
):  # fmt: skip
    """Count the steps of a block's trajectories and list the states that they are the first in."""
    for i in range(n):
        r = (trajectory + i) // batch_size
        steps[r] += tape.steps[i]
        if not everywhere:
            before, last = n_visited[r], (trajectory + i) % batch_size == batch_size - 1
            n_visited[r] = _list_visits(
                n_actions, tape.path, tape.begin[i], tape.steps[i], visited[r], before, last,
                where, group.place,
            )  # fmt: skip
            _clear(weights, r, before, n_visited[r])


@part
def _weigh_block(simulate, sampler, streams, tables, trajectory, n, tape, group, weights):
    """Weigh the n trajectories of a block, the first of them ``trajectory``, group by group.

    Groups are cut of what is sorted by length: the trajectories of a large batch, of as many small
    ones as make a group, or, where no replicate has two, of the block.
    """
    batch_size = streams.batch_size
    _, n_estimators, n_rows, n_actions = weights.shape
    stride, flat = n_rows * n_actions, weights.reshape(-1)
    i = 0
    while i < n:
        size = n
        if batch_size > WIDTH:
            size = batch_size - (trajectory + i) % batch_size
        elif batch_size > 1:
            size = WIDTH // batch_size * batch_size
        size = min(size, n - i)
        sort(tape.steps[i : i + size], group.order, group.counts)
        for j in range(0, size, WIDTH):
            order = group.order[j : min(j + WIDTH, size)]
            arrange(tape, i, order, trajectory + i, batch_size, n_estimators * stride, group)
            for e in range(n_estimators):
                weigh_group(simulate, sampler, streams, tables, e, tape, group, flat[e * stride :])
        i += size


@part
def _reset(everywhere, begin, end, visited, n_visited, weights, steps):
    """No steps and no states, or all of them with weights of zero."""
    n_states = visited.shape[1]
    for r in range(begin, end):
        steps[r] = n_visited[r] = 0
        if everywhere:
            n_visited[r] = n_states
            for s in range(n_states):
                visited[r, s] = s
            _clear(weights, r, 0, n_states)


@part
def _average(begin, end, weights, n_visited, share):
    """Multiply the weights of visited states by 1 over the batch size."""
    for r in range(begin, end):
        for e in range(weights.shape[1]):
            flat = weights[r, e].reshape(-1)
            for i in range(n_visited[r] * weights.shape[3]):
                flat[i] *= share


@part
def _clear(weights, r, begin, end):
    """Zero a replicate's rows from ``begin`` to ``end``."""
    n_actions = weights.shape[3]
    for e in range(weights.shape[1]):
        flat = weights[r, e].reshape(-1)
        for i in range(begin * n_actions, end * n_actions):
            flat[i] = 0.0


@part
def _list_visits(n_actions, path, begin, steps, listed, n_listed, last, where, place):
    """Append the new states of a trajectory, note where its steps add; the new number of states.

    ``where`` (S,) int32 holds the place of every state that is listed of the replicate, and -1
    elsewhere; after its last trajectory it is cleared.
    """
    m, k = divisor(n_actions)
    width = uint64(n_actions)
    for t in range(begin, begin + steps):
        p = uint64(path[uint64(t)])
        s = p * m >> k
        row = where[s]
        # Without a branch, for nobody can predict it.
        new = row < 0
        row = n_listed if new else row
        where[s] = row
        listed[n_listed] = s
        n_listed += new
        place[uint64(t)] = uint32(uint64(row) * width + (p - s * width))
    if last:
        for j in range(n_listed):
            where[listed[j]] = -1
    return n_listed
