"""Rollouts of finite problems: what is recorded of a block of lanes, and how that comes about.

Trajectories advance in lock step, ``LANES`` at a time, so that their cache misses overlap and the
generator vectorises. One 64-bit word per step draws action and successor together.
"""

from typing import NamedTuple

import numpy as np
from numba import uint32, uint64

from pgbench.kernels.finite.sampler import pick_start
from pgbench.kernels.jit import kernel
from pgbench.kernels.partition import count_segments
from pgbench.kernels.prefetch import prefetch
from pgbench.kernels.streams import LANES, WORD, next_words, seed_lanes

_LOW_WORD, _INDEX, _STATE = WORD + LANES, WORD + 2 * LANES, WORD + 3 * LANES
PAIR, PLACE = LANES, 2 * LANES
"""Where in a step of ``Tape.path`` the pairs of all lanes begin, and where they add."""

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)

SEGMENT = 2**16
"""Steps that are recorded at a time: 320 bytes each per thread, 20 MiB in all."""


class Tape(NamedTuple):
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


def segment(horizon: int) -> int:
    """Steps that are recorded at a time."""
    return min(SEGMENT, horizon)


@kernel
def make_tape(horizon, longest):
    """A tape for trajectories of so many steps, in segments of at most ``longest``."""
    n_segments = count_segments(horizon, longest)
    return Tape(
        horizon,
        np.zeros(8 * LANES, np.uint64),
        np.zeros(LANES, np.int64),
        np.zeros(LANES, np.uint32),
        np.zeros(LANES),
        np.zeros((longest, 3 * LANES), np.uint32),
        np.zeros((longest + 1, LANES)),
        np.zeros((n_segments, 8 * LANES), np.uint64),
        np.zeros((n_segments + 1, LANES)),
    )


@kernel
def start(sampler, streams, replicate, trajectory, n_lanes, tape):
    """Seed the generators and draw the first states and what the first steps read.

    For the lanes see ``seed_lanes``; idle ones never count as alive.
    """
    lanes, n = tape.lanes, uint64(sampler.step.shape[1])
    seed_lanes(lanes, streams, replicate, trajectory, n_lanes, streams.group_size)
    next_words(lanes)
    for lane in range(LANES):
        k = pick_start(sampler.start, lanes[WORD + lane])
        index = trajectory + min(lane, n_lanes - 1)
        own = (replicate + index // streams.batch_size) * sampler.stride
        lanes[_STATE + lane] = uint64(sampler.start_state[k] + own)
    if streams.group_size > 1:
        seed_lanes(lanes, streams, replicate, trajectory, n_lanes, 1)
        next_words(lanes)
    next_words(lanes)
    for lane in range(LANES):
        tape.alive[lane] = tape.horizon if lane < n_lanes else 0
        lanes[_INDEX + lane] = lanes[_STATE + lane] * n + (
            (lanes[WORD + lane] >> _HALF) * n >> _HALF
        )


@kernel
def simulate(sampler, streams, replicate, trajectory, n_lanes, tape):
    """Simulate consecutive trajectories, segment by segment; the most steps of a lane.

    ``tape.path`` holds the last segment then. For the lanes see ``start``.
    """
    start(sampler, streams, replicate, trajectory, n_lanes, tape)
    length = 0
    for k in range(tape.marks.shape[0]):
        length += advance(sampler, k, tape)
        if length < min((k + 1) * tape.path.shape[0], tape.horizon):
            break
    return length


@kernel
def advance(sampler, k, tape):
    """Simulate segment k from where the lanes are; the number of its steps."""
    tape.marks[k] = tape.lanes
    return walk(sampler, k, tape)


@kernel
def replay(sampler, k, length, tape):
    """Simulate segment k of ``length`` steps again; the number of its steps."""
    tape.lanes[:] = tape.marks[k]
    steps = walk(sampler, k, tape)
    return min(steps, length - k * tape.path.shape[0])


@kernel
def walk(sampler, k, tape):
    """Simulate segment k into ``tape.path`` and ``tape.alive``; the number of its steps.

    Lanes that have ended stay in their terminal state until all have.
    """
    lanes, alive, horizon = tape.lanes, tape.alive, tape.horizon
    begin = k * tape.path.shape[0]
    table, n = sampler.step.reshape(-1), uint64(sampler.step.shape[1])
    shift, mask = sampler.bits + _ONE, (_ONE << sampler.bits) - _ONE
    flagged = (_ONE << shift) - _ONE
    base = tape.base
    m, bit = divisor(sampler.n_slots)
    steps = min(tape.path.shape[0], horizon - begin)
    for t in range(steps):
        # The words of the next step are drawn first: what it reads is known, and asked for, early.
        for lane in range(LANES):
            lanes[_LOW_WORD + lane] = lanes[WORD + lane] & _LOW
        next_words(lanes)
        slot = tape.path[t]
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
            slot[PAIR + lane] = pair
            slot[PLACE + lane] = base[lane] + pair
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
def divisor(n):
    """m and k with ⌊i/n⌋ = i·m >> k for all i < 2³¹ (Granlund & Montgomery 1994, Theorem 4.2)."""
    k = 31
    while (1 << (k - 31)) < n:
        k += 1
    return uint64(((1 << k) + n - 1) // n), uint64(k)
