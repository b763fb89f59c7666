"""The rollout kernel: simulate a trajectory once, weigh it for every estimator of the cell.

Trajectories advance in lock step, ``LANES`` at a time, so that their cache misses overlap and the
generator vectorises. One 64-bit word per step draws action and successor together. Per block of
lanes the slots drawn are recorded; then, per estimator,

    x_t = σ_t + κ_t x_{t+1},   D_{t+1} = δ_t D_t,   W(s_t,a_t) += D_t (x_t - β_t)

or, in the "total" shape, W(s_t,a_t) += x_0 - β_0. A replicate's weights are kept for the states it
visited, in the order of their first visits, or for all states where it may well visit them all.

Where weights are kept for all states a record holds no more than ``SEGMENT`` steps. Longer
trajectories are cut into segments and simulated again from the generators at the beginning of each:
once backward for the x at every cut, once forward for the weights, which so are the same.

Threads share nothing: a replicate belongs to one unit of work, its sums run in a fixed order, and
units do not depend on threads or chunks.
"""

from typing import NamedTuple

import numpy as np
from numba import config, get_num_threads, prange, set_num_threads, uint32, uint64

from pgbench.kernels.alias import Sampler, pick_start
from pgbench.kernels.compact import EstimatorTables, compact
from pgbench.kernels.jit import kernel, parallel_kernel
from pgbench.kernels.prefetch import prefetch
from pgbench.kernels.streams import LANES, WORD, next_words, seed_lane

_LOW_WORD, _INDEX, _STATE = WORD + LANES, WORD + 2 * LANES, WORD + 3 * LANES
_PAIR, _PLACE = LANES, 2 * LANES
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)

SEGMENT = 2**16
"""Steps that are recorded at a time: 320 bytes each per thread, 20 MiB in all."""


class Streams(NamedTuple):
    """What names the random streams: seed and stream (uint64 each), and the batch size."""

    seed: np.uint64
    stream: np.uint64
    batch_size: int


class Record(NamedTuple):
    """A block of lanes while it is simulated and after.

    lanes (8·LANES,) uint64: generators and their words, see ``streams``, then per lane the low half
    of the word in use, the next entry to read, and the state with its terminal flag. alive (LANES,)
    int64: number of steps. base (LANES,) uint32: where the weights of the lane's replicate begin.
    carry (LANES,) float64: D_t, or x_0 - β_0. path (T, 3·LANES) uint32: per step of a segment and
    lane the flat (s, a, k), the flat (s, a), and where in the weights it adds. x (T + 1, LANES)
    float64. marks (K, 8·LANES) uint64 and edges (K + 1, LANES) float64: lanes and x where each of
    the K segments of T steps begins; the last may be shorter than T.
    """

    horizon: int

    lanes: np.ndarray
    alive: np.ndarray
    base: np.ndarray
    carry: np.ndarray
    path: np.ndarray
    x: np.ndarray
    marks: np.ndarray
    edges: np.ndarray


def use_threads(n: int | None) -> int:
    """Use n threads in parallel kernels from here on (None: leave it); the number in use."""
    if n is not None:
        most = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        if not 1 <= n <= most:
            raise ValueError(f"threads is {n}, must be between 1 and {most}")
        set_num_threads(n)
    return int(get_num_threads())


@kernel
def _empty_record(horizon, segment):
    segment = min(segment, horizon)
    n_segments = (horizon + segment - 1) // segment
    return Record(
        horizon,
        np.zeros(8 * LANES, np.uint64),
        np.zeros(LANES, np.int64),
        np.zeros(LANES, np.uint32),
        np.zeros(LANES),
        np.zeros((segment, 3 * LANES), np.uint32),
        np.zeros((segment + 1, LANES)),
        np.zeros((n_segments, 8 * LANES), np.uint64),
        np.zeros((n_segments + 1, LANES)),
    )


@kernel
def _start(sampler, streams, replicate, trajectory, n_lanes, record):
    """Seed the generators and draw the first states and what the first steps read.

    The first lane is ``trajectory`` of ``replicate``; lanes run on into the next replicates.
    """
    lanes, n = record.lanes, uint64(sampler.step.shape[1])
    for lane in range(LANES):
        # Idle lanes repeat the last one and never count as alive.
        index = trajectory + min(lane, n_lanes - 1)
        seed_lane(
            lanes, lane, streams.seed, streams.stream,
            replicate + index // streams.batch_size, index % streams.batch_size, streams.batch_size,
        )  # fmt: skip
    next_words(lanes)
    for lane in range(LANES):
        k = pick_start(sampler.start, lanes[WORD + lane])
        index = trajectory + min(lane, n_lanes - 1)
        own = (replicate + index // streams.batch_size) * sampler.stride
        lanes[_STATE + lane] = uint64(sampler.start_state[k] + own)
    next_words(lanes)
    for lane in range(LANES):
        record.alive[lane] = record.horizon if lane < n_lanes else 0
        lanes[_INDEX + lane] = lanes[_STATE + lane] * n + (
            (lanes[WORD + lane] >> _HALF) * n >> _HALF
        )


@kernel
def _simulate(sampler, streams, replicate, trajectory, n_lanes, record):
    """Simulate consecutive trajectories, segment by segment; the most steps of a lane.

    ``record.path`` holds the last segment then. For the lanes see ``_start``.
    """
    _start(sampler, streams, replicate, trajectory, n_lanes, record)
    length = 0
    for k in range(record.marks.shape[0]):
        record.marks[k] = record.lanes
        length += _walk(sampler, k, record)
        if length < min((k + 1) * record.path.shape[0], record.horizon):
            break
    return length


@kernel
def _replay(sampler, k, length, record):
    """Simulate segment k of ``length`` steps again; the number of its steps."""
    record.lanes[:] = record.marks[k]
    steps = _walk(sampler, k, record)
    return min(steps, length - k * record.path.shape[0])


@kernel
def _walk(sampler, k, record):
    """Simulate segment k into ``record.path`` and ``record.alive``; the number of its steps.

    Lanes that have ended stay in their terminal state until all have.
    """
    lanes, alive, horizon = record.lanes, record.alive, record.horizon
    begin = k * record.path.shape[0]
    table, n = sampler.step.reshape(-1), uint64(sampler.step.shape[1])
    shift, mask = sampler.bits + _ONE, (_ONE << sampler.bits) - _ONE
    flagged = (_ONE << shift) - _ONE
    base = record.base
    m, bit = _divisor(sampler.n_slots)
    steps = min(record.path.shape[0], horizon - begin)
    for t in range(steps):
        # The words of the next step are drawn first: what it reads is known, and asked for, early.
        for lane in range(LANES):
            lanes[_LOW_WORD + lane] = lanes[WORD + lane] & _LOW
        next_words(lanes)
        slot = record.path[t]
        for lane in range(LANES):
            i = lanes[_INDEX + lane]
            entry = table[i]
            alias = (lanes[_STATE + lane] & mask) * n + ((entry & _LOW) >> shift)
            i = i if lanes[_LOW_WORD + lane] < entry >> _HALF else alias
            slot[lane] = uint32(i)
            after = table[i] & flagged
            lanes[_STATE + lane] = after
            i = (after & mask) * n + ((lanes[WORD + lane] >> _HALF) * n >> _HALF)
            lanes[_INDEX + lane] = i
            prefetch(table, i)  # type: ignore[call-arg]  # numba adds the first
        for lane in range(LANES):
            pair = uint32(uint64(slot[lane]) * m >> bit)
            slot[_PAIR + lane] = pair
            slot[_PLACE + lane] = base[lane] + pair
        if sampler.any_terminal:
            n_alive = 0
            for lane in range(LANES):
                ended = lanes[_STATE + lane] > mask
                alive[lane] = min(alive[lane], begin + t + 1 if ended else horizon)
                n_alive += not ended
            if n_alive == 0:
                return t + 1
    return steps


@kernel
def _divisor(n):
    """m and k with ⌊i/n⌋ = i·m >> k for all i < 2³¹ (Granlund & Montgomery 1994, Theorem 4.2)."""
    k = 31
    while (1 << (k - 31)) < n:
        k += 1
    return uint64(((1 << k) + n - 1) // n), uint64(k)


@kernel
def _weigh(sampler, tables, e, length, record, weights):
    """Add estimator e's weights of the recorded lanes to flat ``weights``."""
    if length <= record.path.shape[0]:
        if not tables.same_signal[e]:
            record.x[length] = 0.0
            _signal(tables, e, length, record)
        _begin(tables, e, record)
        if tables.total[e]:
            for lane in range(LANES):
                _add_total(lane, 0, record, weights)
        else:
            _add(tables, e, 0, length, record, weights)
        return
    n_segments = (length + record.path.shape[0] - 1) // record.path.shape[0]
    record.edges[n_segments] = 0.0
    for k in range(n_segments - 1, -1, -1):
        _load(sampler, tables, e, k, length, record)
        record.edges[k] = record.x[0]
    _begin(tables, e, record)
    if tables.total[e]:
        # Lane after lane, as in one segment: sums run in the same order.
        for lane in range(LANES):
            for k in range(n_segments):
                _replay(sampler, k, length, record)
                _add_total(lane, k, record, weights)
        return
    for k in range(n_segments):
        steps = _load(sampler, tables, e, k, length, record)
        _add(tables, e, k, steps, record, weights)


@kernel
def _load(sampler, tables, e, k, length, record):
    """Path and x of segment k, of which the x at its end is known; the number of its steps."""
    steps = _replay(sampler, k, length, record)
    record.x[steps] = record.edges[k + 1]
    _signal(tables, e, steps, record)
    return steps


@kernel
def _signal(tables, e, length, record):
    """x_t of the recorded steps, from the one after them."""
    x, values = record.x, tables.values
    sigma, kappa = values[tables.sigma[e] :], values[tables.kappa[e] :]
    first = 0 if tables.sigma_by_slot[e] else _PAIR
    for t in range(length - 1, -1, -1):
        step, here, after = record.path[t], x[t], x[t + 1]
        if tables.constant_kappa[e]:
            for lane in range(LANES):
                here[lane] = sigma[uint64(step[first + lane])] + kappa[0] * after[lane]
        else:
            for lane in range(LANES):
                here[lane] = (
                    sigma[uint64(step[first + lane])]
                    + kappa[uint64(step[_PAIR + lane])] * after[lane]
                )


@kernel
def _begin(tables, e, record):
    """Set ``record.carry`` before the first step: D_0 = 1, or what every step adds, x_0 - β_0.

    ``record`` holds the first segment.
    """
    beta = tables.values[tables.beta[e] :]
    varies = uint64(not tables.constant_beta[e])
    for lane in range(LANES):
        record.carry[lane] = 1.0
        if tables.total[e]:
            record.carry[lane] = (
                record.x[0, lane] - beta[varies * uint64(record.path[0, _PAIR + lane])]
            )


@kernel
def _add_total(lane, k, record, weights):
    """Add x_0 - β_0 at every step of a lane in segment k."""
    value = record.carry[lane]
    for t in range(min(record.alive[lane] - k * record.path.shape[0], record.path.shape[0])):
        weights[uint64(record.path[t, _PLACE + lane])] += value


@kernel
def _add(tables, e, k, length, record, weights):
    """Add D_t (x_t - β_t) of segment k, and leave D after it in ``record.carry``."""
    x, alive, carry, values = record.x, record.alive, record.carry, tables.values
    begin = k * record.path.shape[0]
    beta, delta = values[tables.beta[e] :], values[tables.delta[e] :]
    varies = uint64(not tables.constant_beta[e])
    if tables.constant_delta[e] and tables.constant_beta[e]:
        discount, baseline = carry[0], beta[0]
        for t in range(begin, begin + length):
            step, here = record.path[t - begin], x[t - begin]
            for lane in range(LANES):
                if t < alive[lane]:
                    weights[uint64(step[_PLACE + lane])] += discount * (here[lane] - baseline)
            discount *= delta[0]
        carry[0] = discount
    elif tables.constant_delta[e]:
        discount = carry[0]
        for t in range(begin, begin + length):
            step, here = record.path[t - begin], x[t - begin]
            for lane in range(LANES):
                if t < alive[lane]:
                    weights[uint64(step[_PLACE + lane])] += discount * (
                        here[lane] - beta[uint64(step[_PAIR + lane])]
                    )
            discount *= delta[0]
        carry[0] = discount
    else:
        for t in range(begin, begin + length):
            step, here = record.path[t - begin], x[t - begin]
            for lane in range(LANES):
                if t < alive[lane]:
                    p = uint64(step[_PAIR + lane])
                    weights[uint64(step[_PLACE + lane])] += carry[lane] * (
                        here[lane] - beta[varies * p]
                    )
                    carry[lane] *= delta[p]


@kernel
def _list_visits(record, lane, n_actions, listed, n_listed, where):
    """Append a lane's new states to ``listed`` and note where each step adds; the new number.

    ``where`` (S,) int32 holds the place of every listed state, and -1 elsewhere.
    """
    m, k = _divisor(n_actions)
    base, width = uint64(record.base[lane]), uint64(n_actions)
    for t in range(record.alive[lane]):
        step = record.path[t]
        p = uint64(step[_PAIR + lane])
        s = p * m >> k
        row = where[s]
        # Without a branch, for nobody can predict it.
        new = row < 0
        row = n_listed if new else row
        where[s] = row
        listed[n_listed] = s
        n_listed += new
        step[_PLACE + lane] = uint32(base + uint64(row) * width + (p - s * width))
    return n_listed


def weight_rows(
    sampler, tables, streams, first, horizon, visited, n_visited, weights, steps
) -> None:
    """Weights of replicates ``first``, ``first + 1``, ..., averaged over their batches.

    Parameters
    ----------
    sampler, tables, streams
        What to draw from, what to compute, which random streams.
    first
        Index of the first replicate; a multiple of ``LANES``, so that work units do not depend on
        how replicates are cut into calls.
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
    # Spans of work units share their scratch memory; how many there are does not enter the results.
    spans = 4 * get_num_threads()
    # Listed states have places of their own, which no second simulation would find; but then the
    # horizon is shorter than the number of states.
    segment = SEGMENT if visited.shape[1] == sampler.terminal.size else horizon
    _weight_rows(
        sampler, tables, streams, first, horizon, segment, visited, n_visited, weights, steps, spans
    )


@parallel_kernel
def _weight_rows(
    sampler, tables, streams, first, horizon, segment, visited, n_visited, weights, steps, spans
):
    n_replicates = n_visited.size
    per_unit = max(1, LANES // streams.batch_size)
    n_units = (n_replicates + per_unit - 1) // per_unit
    n_spans = min(n_units, spans)
    for span in prange(n_spans):
        _run_span(
            sampler, tables, streams, first, horizon, segment, visited, n_visited, weights, steps,
            span * n_units // n_spans * per_unit,
            min((span + 1) * n_units // n_spans * per_unit, n_replicates),
            per_unit,
        )  # fmt: skip


@kernel
def _run_span(
    sampler, tables, streams, first, horizon, segment, visited, n_visited, weights, steps,
    begin, end, unit,
):  # fmt: skip
    """``weight_rows`` for the replicates from ``begin`` to ``end``, ``unit`` at a time."""
    batch_size, n_states = streams.batch_size, sampler.terminal.size
    n_estimators, n_rows, n_actions = weights.shape[1:]
    everywhere, stride = n_rows == n_states, n_rows * n_actions
    record = _empty_record(horizon, segment)
    where = np.empty(1 if everywhere else n_states, np.int32)
    for s in range(where.size):
        where[s] = -1
    for low in range(begin, end, unit):
        high = min(low + unit, end)
        for r in range(low, high):
            steps[r] = n_visited[r] = 0
            if everywhere:
                n_visited[r] = n_states
                for s in range(n_states):
                    visited[r, s] = s
                _clear(weights, r, 0, n_states)
        flat = weights.reshape(-1)[low * n_estimators * stride :]
        n_trajectories = (high - low) * batch_size
        for trajectory in range(0, n_trajectories, LANES):
            n_lanes = min(LANES, n_trajectories - trajectory)
            for lane in range(LANES):
                r = min(trajectory + lane, n_trajectories - 1) // batch_size
                record.base[lane] = r * n_estimators * stride
            length = _simulate(sampler, streams, first + low, trajectory, n_lanes, record)
            for lane in range(n_lanes):
                r = low + (trajectory + lane) // batch_size
                steps[r] += record.alive[lane]
                if not everywhere:
                    before = n_visited[r]
                    n_visited[r] = _list_visits(record, lane, n_actions, visited[r], before, where)
                    _clear(weights, r, before, n_visited[r])
                    if (trajectory + lane) % batch_size == batch_size - 1:
                        for j in range(n_visited[r]):
                            where[visited[r, j]] = -1
            for e in range(n_estimators):
                _weigh(sampler, tables, e, length, record, flat[e * stride :])
        if batch_size > 1:
            share = 1.0 / batch_size
            for r in range(low, high):
                for e in range(n_estimators):
                    for i in range(n_visited[r] * n_actions):
                        flat[((r - low) * n_estimators + e) * stride + i] *= share


@kernel
def _clear(weights, r, begin, end):
    """Zero a replicate's rows from ``begin`` to ``end``."""
    n_actions = weights.shape[3]
    for e in range(weights.shape[1]):
        flat = weights[r, e].reshape(-1)
        for i in range(begin * n_actions, end * n_actions):
            flat[i] = 0.0


def trajectories(sampler, streams, first, pair, slot, steps) -> None:
    """Record replicates ``first``, ... as they are simulated.

    ``pair`` and ``slot`` (replicates, batch, horizon) int32 receive flat indices (s, a) and
    (s, a, k); entries beyond ``steps`` (replicates, batch) int64 belong to no step.
    """
    _record(sampler, streams, first, pair.shape[2], pair, slot, steps)


def count_steps(sampler, streams, first, horizon, steps) -> None:
    """The lengths of the same trajectories alone, into ``steps`` (replicates, batch) int64."""
    pair, slot = np.empty((2, *steps.shape, 0), np.int32)
    _record(sampler, streams, first, horizon, pair, slot, steps)


def _record(sampler, streams, first, horizon, pair, slot, steps) -> None:
    # As in ``weight_rows``, spans share scratch memory and do not enter the results.
    spans = 4 * get_num_threads()
    _trajectories(sampler, streams, first, horizon, SEGMENT, pair, slot, steps, spans)


@parallel_kernel
def _trajectories(sampler, streams, first, horizon, segment, pair, slot, steps, spans):
    n_replicates, batch_size = steps.shape
    per_unit = max(1, LANES // batch_size)
    n_units = (n_replicates + per_unit - 1) // per_unit
    n_spans = min(n_units, spans)
    for span in prange(n_spans):
        record = _empty_record(horizon, segment)
        begin = span * n_units // n_spans * per_unit
        end = min((span + 1) * n_units // n_spans * per_unit, n_replicates)
        for low in range(begin, end, per_unit):
            n_trajectories = (min(low + per_unit, end) - low) * batch_size
            for trajectory in range(0, n_trajectories, LANES):
                n_lanes = min(LANES, n_trajectories - trajectory)
                _start(sampler, streams, first + low, trajectory, n_lanes, record)
                for k in range(record.marks.shape[0]):
                    length = _walk(sampler, k, record)
                    for lane in range(n_lanes):
                        r = low + (trajectory + lane) // batch_size
                        i = (trajectory + lane) % batch_size
                        _copy(record, k, lane, sampler.n_slots, pair[r, i], slot[r, i])
                        steps[r, i] = record.alive[lane]
                    if length < record.path.shape[0]:
                        break


@kernel
def _copy(record, k, lane, n_slots, pair, slot):
    """The steps of a lane in segment k into pair and slot (T,), as far as these go."""
    begin = k * record.path.shape[0]
    for t in range(begin, min(record.alive[lane], begin + record.path.shape[0], pair.size)):
        slot[t] = record.path[t - begin, lane]
        pair[t] = record.path[t - begin, lane] // n_slots


__all__ = [
    "LANES",
    "EstimatorTables",
    "Sampler",
    "Streams",
    "compact",
    "count_steps",
    "trajectories",
    "use_threads",
    "weight_rows",
]
