"""Rollouts of finite problems: what is recorded of a block of trajectories, and how it comes about.

Trajectories advance in lock step, ``WIDTH`` at a time, so that their cache misses overlap and the
vector units are used. A lane whose trajectory has ended takes the next one of the block, so short
trajectories do not wait for long ones. One 64-bit word per step draws action and successor
together. Which lane a trajectory was in leaves no trace: its random numbers are its own, and what
it drew is one run of the path.
"""

from typing import NamedTuple

import numpy as np
from numba import uint64

from pgbench.kernels.copying import copy_to
from pgbench.kernels.finite.sampler import pick_start
from pgbench.kernels.jit import kernel, part
from pgbench.kernels.partition import count_segments
from pgbench.kernels.streams import seed_words, xoshiro
from pgbench.kernels.words import (
    WIDTH,
    choose_below,
    count_set,
    gather,
    load,
    prefetch,
    spread,
    store,
)

_WORD, _INDEX, _ROW, _LIVE, _IDLE = (k * WIDTH for k in range(4, 9))
"""Where they begin in ``Tape.lanes``."""

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)

SEGMENT = 2**16
"""Steps of a trajectory that are recorded at a time."""

BLOCK = 2**11
"""Trajectories of a block, if they may end: in proportion the last leave few lanes idle."""

_BLOCK_STEPS = 2**22
"""Bound on the steps for which a block has room; most of them are never taken."""

_ENOUGH = 4
"""Lanes that wait in a terminal state until all of them take other trajectories together."""

_NEAR = 2**16
"""Entries of a table that stay in the nearer caches: to ask for them early gains nothing."""


class Tape(NamedTuple):
    """A block of n trajectories while it is simulated and after.

    Attributes
    ----------
    horizon, segment
        Most steps of a trajectory, and how many of them are recorded at a time.
    lanes
        (9·WIDTH,) uint64, per lane: the generator's four words and its last output, the next entry
        to read, where its state's row begins, the terminal flag if it has a trajectory, else 0, and
        for how many ticks that has been in a terminal state.
    ready
        (7·WIDTH,) uint64, the first seven of trajectories that have no lane yet.
    owner, since
        (WIDTH,) int64, the trajectory in the lane, and the tick at which it began. A tick is a step
        of all lanes.
    path, slots
        (WIDTH·ticks,) uint32, per lane and tick the flat (s, a) and (s, a, k) drawn; slots are
        empty unless they are asked for.
    begin, steps
        (n,) int64 per trajectory, where its run of the path begins, and how long it is.
    taken
        (1,) int64, how many trajectories have been given a lane.
    marks
        (K, 9·WIDTH) uint64, the lanes where each of K segments begins; the last may be shorter.
    """

    horizon: int
    segment: int
    lanes: np.ndarray
    ready: np.ndarray
    owner: np.ndarray
    since: np.ndarray
    path: np.ndarray
    slots: np.ndarray
    begin: np.ndarray
    steps: np.ndarray
    taken: np.ndarray
    marks: np.ndarray


def segment(horizon: int) -> int:
    """Steps that are recorded at a time."""
    return min(SEGMENT, horizon)


def block(sampler, horizon: int) -> int:
    """How many trajectories a block has room for, a multiple of ``WIDTH``."""
    if not sampler.any_terminal or horizon > SEGMENT:
        return WIDTH
    return max(WIDTH, min(BLOCK, _BLOCK_STEPS // horizon // WIDTH * WIDTH))


def no_tape() -> Tape:
    """A tape for nothing, of the types of all."""
    words, pairs, numbers = (np.empty(0, kind) for kind in (np.uint64, np.uint32, np.int64))
    return Tape(
        horizon=1, segment=1, lanes=words, ready=words, owner=numbers, since=numbers, path=pairs,
        slots=pairs, begin=numbers, steps=numbers, taken=numbers, marks=words.reshape(0, 1),
    )  # fmt: skip


@kernel
def make_tape(horizon, longest, n, with_slots):
    """A tape for n trajectories of at most ``horizon`` steps, recorded ``longest`` at a time."""
    # The last trajectory begins when all lanes have been busy, and there are no more than n.
    ticks = longest if n <= WIDTH else (n // WIDTH + 1) * longest
    # An odd number of cache lines: lanes must not meet in the same sets of a cache.
    ticks = (ticks + 15) // 32 * 32 + 16
    return Tape(
        horizon,
        longest,
        np.zeros(9 * WIDTH, np.uint64),
        np.zeros(7 * WIDTH, np.uint64),
        np.zeros(WIDTH, np.int64),
        np.zeros(WIDTH, np.int64),
        np.empty(WIDTH * ticks, np.uint32),
        np.empty(WIDTH * ticks if with_slots else 0, np.uint32),
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
        np.zeros(1, np.int64),
        np.zeros((count_segments(horizon, longest), 9 * WIDTH), np.uint64),
    )


@part
def rewind(tape):
    """Begin another block: every lane is free."""
    tape.taken[0] = 0
    for lane in range(WIDTH):
        tape.lanes[_LIVE + lane] = 0


@part
def simulate(sampler, streams, replicate, trajectory, n, again, tape):
    """Simulate n consecutive trajectories, the first of them ``trajectory`` of ``replicate``.

    They run on into the next replicates. Of several segments ``path`` holds the last one then. Or,
    where ``again`` is not negative, segment ``again`` once more, of a block of which each
    trajectory has its lane.
    """
    if again >= 0:
        copy_to(tape.lanes, tape.marks[again])
        advance(sampler, streams, replicate, trajectory, 0, again, tape)
        return
    rewind(tape)
    k = 0
    while advance(sampler, streams, replicate, trajectory, n, k, tape):
        k += 1


@part
def advance(sampler, streams, replicate, trajectory, n, k, tape):
    """Simulate segment k of the block, see ``simulate``; whether a trajectory goes on.

    A single segment has no end but that of the last trajectory.
    """
    lanes, owner, since, horizon = tape.lanes, tape.owner, tape.since, tape.horizon
    flag, ticks, before = _ONE << sampler.bits, tape.path.size // WIDTH, k * tape.segment
    until = ticks if tape.segment == horizon else min(tape.segment, horizon - before)
    tick = 0
    while True:
        n_live, end = 0, until
        for lane in range(WIDTH):
            idle = np.int64(lanes[_IDLE + lane])
            if lanes[_LIVE + lane] and (idle > 0 or before + tick == since[lane] + horizon):
                tape.steps[owner[lane]] = before + tick - since[lane] - max(idle - 1, 0)
                lanes[_LIVE + lane] = 0
            i = tape.taken[0]
            if i < n and not lanes[_LIVE + lane]:
                if i % WIDTH == 0:
                    start(sampler, streams, replicate, trajectory + i, n - i, tape.ready)
                for j in range(7):
                    lanes[j * WIDTH + lane] = tape.ready[j * WIDTH + i % WIDTH]
                lanes[_LIVE + lane], lanes[_IDLE + lane] = flag, 0
                tape.taken[0], tape.begin[i], tape.steps[i] = i + 1, lane * ticks + tick, horizon
                owner[lane], since[lane] = i, tick
            if lanes[_LIVE + lane]:
                n_live += 1
                end = min(end, since[lane] + horizon - before)
        if tick == 0 and tape.segment < horizon:
            for i in range(lanes.size):
                tape.marks[k, i] = lanes[i]
        if n_live == 0 or tick == until:
            return n_live > 0
        enough = min(n_live, _ENOUGH) if tape.taken[0] < n else n_live
        tick = walk(sampler, tick, end, enough, lanes, tape.path, tape.slots)


@part
def start(sampler, streams, replicate, trajectory, n, lanes):
    """Seed generators, draw first states and where first steps read, of up to n trajectories.

    lanes (≥ 7·WIDTH,) uint64 as in ``Tape``. Lanes beyond n repeat the last trajectory.
    """
    width = uint64(sampler.step.shape[1])
    word, s0, s1, s2, s3 = _seeded(streams, replicate, trajectory, n, streams.group_size, lanes)
    store(lanes, _WORD, word)
    for lane in range(WIDTH):
        k = pick_start(sampler.start, lanes[_WORD + lane])
        # Where the seeds are to come the replicates are still noted.
        state = sampler.start_state[k] + np.int64(lanes[lane]) * sampler.stride
        lanes[_ROW + lane] = uint64(state) * width
    if streams.group_size > 1:
        word, s0, s1, s2, s3 = _seeded(streams, replicate, trajectory, n, 1, lanes)
    word, s0, s1, s2, s3 = xoshiro(s0, s1, s2, s3)
    store(lanes, 0, s0)
    store(lanes, WIDTH, s1)
    store(lanes, 2 * WIDTH, s2)
    store(lanes, 3 * WIDTH, s3)
    store(lanes, _WORD, word)
    store(lanes, _INDEX, load(lanes, _ROW) + ((word >> _HALF) * (width & _LOW) >> _HALF))


@part
def _seeded(streams, replicate, trajectory, n, group_size, scratch):
    """First outputs and states of the generators of n trajectories, five vectors.

    Instead of each trajectory it is the first of its group that counts; groups of one are the
    trajectories themselves.
    """
    r, i = replicate + trajectory // streams.batch_size, trajectory % streams.batch_size
    leader = i - i % group_size
    for lane in range(WIDTH):
        scratch[lane] = r
        scratch[WIDTH + lane] = leader
        if lane < n - 1:
            i += 1
            if i == streams.batch_size:
                r, i, leader = r + 1, 0, 0
            elif i == leader + group_size:
                leader = i
    r, i = load(scratch, 0), load(scratch, WIDTH)
    s0, s1, s2, s3 = seed_words(streams, r, i)
    return xoshiro(s0, s1, s2, s3)


@part
def walk(sampler, tick, end, enough, lanes, path, slots):
    """Take steps from ``tick`` on until so many trajectories are in a terminal state, or ``end``.

    The tick that it has come to.
    """
    ticks = path.size // WIDTH
    table, n = sampler.step.reshape(-1), uint64(sampler.step.shape[1]) & _LOW
    shift, successor = sampler.bits + _ONE, (_ONE << sampler.bits) - _ONE & _LOW
    far, may_end = table.size > _NEAR, sampler.any_terminal
    m, bit = divisor(sampler.n_slots)
    s0, s1, s2, s3 = (
        load(lanes, 0),
        load(lanes, WIDTH),
        load(lanes, 2 * WIDTH),
        load(lanes, 3 * WIDTH),
    )
    word, index, row = load(lanes, _WORD), load(lanes, _INDEX), load(lanes, _ROW)
    live, idle = load(lanes, _LIVE), load(lanes, _IDLE)
    n_ended = uint64(0)
    while tick < end and n_ended < enough:
        entry = gather(table, index)
        alias = row + ((entry & _LOW) >> shift)
        slot = choose_below(word & _LOW, entry >> _HALF, index, alias)
        spread(path, tick, ticks, (slot & _LOW) * (m & _LOW) >> bit)
        if slots.size > 0:
            store(lanes, _INDEX, slot)
            for lane in range(WIDTH):
                slots[uint64(lane * ticks + tick)] = lanes[_INDEX + lane]
        taken = gather(table, slot)
        # The next step is drawn at once: what it reads is known, and asked for, early.
        word, s0, s1, s2, s3 = xoshiro(s0, s1, s2, s3)
        row = (taken & successor) * n
        index = row + ((word >> _HALF) * n >> _HALF)
        if far:
            prefetch(table, index)
        if may_end:
            ended = taken & live
            idle += ended >> sampler.bits
            n_ended = count_set(ended)
        tick += 1
    store(lanes, 0, s0)
    store(lanes, WIDTH, s1)
    store(lanes, 2 * WIDTH, s2)
    store(lanes, 3 * WIDTH, s3)
    store(lanes, _WORD, word)
    store(lanes, _INDEX, index)
    store(lanes, _ROW, row)
    store(lanes, _IDLE, idle)
    return tick


@part
def divisor(n):
    """m and k with ⌊i/n⌋ = i·m >> k for all i < 2³¹ (Granlund & Montgomery 1994, Theorem 4.2)."""
    k = 31
    while (1 << (k - 31)) < n:
        k += 1
    return uint64(((1 << k) + n - 1) // n), uint64(k)
