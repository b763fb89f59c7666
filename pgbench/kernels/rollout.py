"""The rollout kernel: simulate a trajectory once, weigh it for every estimator of the cell.

Trajectories advance in lock step, ``LANES`` at a time, so that their cache misses overlap and the
generator vectorises. One 64-bit word per step: the high half draws the action, the low half the
successor. Per block of lanes the visited pairs and slots are recorded; then, per estimator,

    x_t = σ_t + κ_t x_{t+1},   D_{t+1} = δ_t D_t,   W(s_t,a_t) += D_t (x_t - β_t)

or, in the "total" shape, W(s_t,a_t) += x_0 - β_0. Threads share nothing: a replicate belongs to one
unit of work, its sums run in a fixed order, and units do not depend on threads or chunks.
"""

from typing import NamedTuple

import numpy as np
from numba import config, get_num_threads, njit, prange, set_num_threads, uint64

from pgbench.kernels.alias import Sampler, draw
from pgbench.kernels.streams import next_words, seed_lane

LANES = 16


class EstimatorTables(NamedTuple):
    """Tables of E estimators, stacked.

    sigma (E, S·A·B), kappa, beta, delta (E, S·A) float64, zero on terminal states; total (E,) bool.
    """

    sigma: np.ndarray
    kappa: np.ndarray
    beta: np.ndarray
    delta: np.ndarray
    total: np.ndarray


class Streams(NamedTuple):
    """What names the random streams: seed and stream (uint64 each), and the batch size."""

    seed: np.uint64
    stream: np.uint64
    batch_size: int


def use_threads(n: int | None) -> int:
    """Use n threads in parallel kernels from here on (None: leave it); the number in use."""
    if n is not None:
        most = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        if not 1 <= n <= most:
            raise ValueError(f"threads is {n}, must be between 1 and {most}")
        set_num_threads(n)
    return int(get_num_threads())


@njit(cache=True)
def _simulate(sampler, streams, replicate, trajectory, n_lanes, pair, slot, alive):
    """Simulate consecutive trajectories into ``pair`` and ``slot`` (horizon, LANES) int32.

    The first lane is ``trajectory`` of ``replicate``; lanes run on into the next replicates.
    ``alive`` (LANES,) int64 receives the number of steps of each lane. Returns the longest of them.
    """
    horizon = pair.shape[0]
    n_states = sampler.terminal.size
    n_actions = sampler.action.size // n_states
    n_slots = sampler.slot.size // sampler.action.size
    generator, words = np.zeros((4, LANES), np.uint64), np.empty(LANES, np.uint64)
    state = np.zeros(LANES, np.int64)
    for lane in range(n_lanes):
        index = trajectory + lane
        seed_lane(
            generator, lane, streams.seed, streams.stream,
            replicate + index // streams.batch_size, index % streams.batch_size, streams.batch_size,
        )  # fmt: skip
        alive[lane] = 0
    next_words(generator, words)
    for lane in range(n_lanes):
        # Half a word picks the entry, the other half decides on its alias: K may be large.
        n_starts = uint64(sampler.start_state.size)
        k = np.int64((words[lane] >> uint64(32)) * n_starts >> uint64(32))
        entry = sampler.start[k]
        if words[lane] & uint64(0xFFFFFFFF) >= entry & uint64(0xFFFFFFFF):
            k = np.int64(entry >> uint64(32))
        state[lane] = sampler.start_state[k]
    for t in range(horizon):
        next_words(generator, words)
        n_alive = 0
        for lane in range(n_lanes):
            s = state[lane]
            live = not sampler.terminal[s]
            alive[lane] += live
            n_alive += live
            p = draw(sampler.action, s * n_actions, n_actions, words[lane] >> uint64(32))
            k = draw(sampler.slot, p * n_slots, n_slots, words[lane] & uint64(0xFFFFFFFF))
            pair[t, lane] = p
            slot[t, lane] = k
            state[lane] = sampler.successor[k]
        if n_alive == 0:
            return t
    return horizon


@njit(cache=True)
def _weigh(tables, e, length, n_lanes, pair, slot, x, row, weights):
    """Add estimator e's weights of the recorded lanes to ``weights[row[lane], e]``."""
    value, carry = np.zeros(LANES), np.ones(LANES)
    for t in range(length - 1, -1, -1):
        for lane in range(n_lanes):
            value[lane] = (
                tables.sigma[e, slot[t, lane]] + tables.kappa[e, pair[t, lane]] * value[lane]
            )
            x[t, lane] = value[lane]
    if tables.total[e]:
        for lane in range(n_lanes):
            value[lane] -= tables.beta[e, pair[0, lane]]
        for t in range(length):
            for lane in range(n_lanes):
                weights[row[lane], e, pair[t, lane]] += value[lane]
    else:
        for t in range(length):
            for lane in range(n_lanes):
                p = pair[t, lane]
                weights[row[lane], e, p] += carry[lane] * (x[t, lane] - tables.beta[e, p])
                carry[lane] *= tables.delta[e, p]


@njit(parallel=True, cache=True)
def weight_tables(sampler, tables, streams, first, horizon, weights, steps):
    """Weight tables of replicates ``first``, ``first + 1``, ..., summed over their batches.

    Parameters
    ----------
    sampler, tables, streams
        What to draw from, what to compute, which random streams.
    first
        Index of the first replicate; a multiple of ``LANES``, so that work units do not depend on
        how replicates are cut into calls.
    horizon
        Largest number of steps H.
    weights
        (replicates, E, S·A) float64, zeros on entry; the sum over the batch on return.
    steps
        (replicates,) int64, environment steps taken by the batch.
    """
    batch_size = streams.batch_size
    n_replicates, n_estimators, n_pairs = weights.shape
    n_actions = n_pairs // sampler.terminal.size
    per_unit = max(1, LANES // batch_size)
    for unit in prange((n_replicates + per_unit - 1) // per_unit):
        begin = unit * per_unit
        n_trajectories = min(per_unit, n_replicates - begin) * batch_size
        pair = np.empty((horizon, LANES), np.int32)
        slot = np.empty((horizon, LANES), np.int32)
        x = np.empty((horizon, LANES))
        row, alive = np.empty(LANES, np.int64), np.empty(LANES, np.int64)
        for trajectory in range(0, n_trajectories, LANES):
            n_lanes = min(LANES, n_trajectories - trajectory)
            length = _simulate(
                sampler, streams, first + begin, trajectory, n_lanes, pair, slot, alive
            )
            for lane in range(n_lanes):
                row[lane] = begin + (trajectory + lane) // batch_size
                steps[row[lane]] += alive[lane]
            for e in range(n_estimators):
                _weigh(tables, e, length, n_lanes, pair, slot, x, row, weights)
        for r in range(begin, min(begin + per_unit, n_replicates)):
            for s in range(sampler.terminal.size):
                if sampler.terminal[s]:
                    for e in range(n_estimators):
                        for a in range(n_actions):
                            weights[r, e, s * n_actions + a] = 0.0


@njit(parallel=True, cache=True)
def trajectories(sampler, streams, first, pair, slot, steps):
    """Record replicates ``first``, ... as they are simulated.

    ``pair`` and ``slot`` (replicates, batch, horizon) int32 receive flat indices (s, a) and
    (s, a, k); entries beyond ``steps`` (replicates, batch) int64 belong to no step.
    """
    n_replicates, batch_size, horizon = pair.shape
    for r in prange(n_replicates):
        pairs, slots = np.empty((horizon, LANES), np.int32), np.empty((horizon, LANES), np.int32)
        alive = np.empty(LANES, np.int64)
        for i in range(0, batch_size, LANES):
            n_lanes = min(LANES, batch_size - i)
            length = _simulate(sampler, streams, first + r, i, n_lanes, pairs, slots, alive)
            for lane in range(n_lanes):
                steps[r, i + lane] = alive[lane]
                for t in range(length):
                    pair[r, i + lane, t] = pairs[t, lane]
                    slot[r, i + lane, t] = slots[t, lane]


__all__ = [
    "LANES",
    "EstimatorTables",
    "Sampler",
    "Streams",
    "trajectories",
    "use_threads",
    "weight_tables",
]
