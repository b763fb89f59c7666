"""Random streams: one xoshiro256++ generator per trajectory, placed by a counter-based hash.

The 256-bit state of trajectory i of replicate r is Philox4x64-10 of the counter (i, r, batch size,
0) under the key (seed, stream). Philox is a bijection, so no two trajectories share a state, and no
stream depends on which thread, chunk or process draws from it.

Sources: Salmon, Moraes, Dror & Shaw 2011 (Philox, Random123); Blackman & Vigna 2021 (xoshiro256++).
"""

from typing import NamedTuple

import numpy as np
from numba import uint64

from pgbench.kernels.jit import part

LANES = 16
"""Trajectories that advance in lock step: two registers of 512 bits hold a word of each."""

WORD = 4 * LANES
"""Where the outputs of the generators begin."""


class Streams(NamedTuple):
    """What names the random streams: seed and stream (uint64 each), and the batch size.

    Consecutive trajectories of a batch come in groups of ``group_size``, which divides it: a group
    has one start, drawn by the generator of its first trajectory. Of groups of one every
    trajectory draws its own. What follows the start does not depend on groups.
    """

    seed: np.uint64
    stream: np.uint64
    batch_size: int
    group_size: int = 1


_MULTIPLIER_0 = np.uint64(0xD2E7470EE14C6C93)
_MULTIPLIER_1 = np.uint64(0xCA5A826395121157)
_WEYL_0 = np.uint64(0x9E3779B97F4A7C15)
_WEYL_1 = np.uint64(0xBB67AE8584CAA73B)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


@part
def _multiply(a, b):
    """High and low 64 bits of the 128-bit product a·b."""
    a0, a1, b0, b1 = a & _LOW, a >> _32, b & _LOW, b >> _32
    low, cross = a0 * b0, a1 * b0
    middle = a0 * b1 + (low >> _32) + (cross & _LOW)
    return a1 * b1 + (cross >> _32) + (middle >> _32), a * b


@part
def philox4x64(c0, c1, c2, c3, k0, k1):
    """The ten-round Philox4x64 block of a 256-bit counter under a 128-bit key: four uint64."""
    for _ in range(10):
        high0, low0 = _multiply(_MULTIPLIER_0, c0)
        high1, low1 = _multiply(_MULTIPLIER_1, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 += _WEYL_0
        k1 += _WEYL_1
    return c0, c1, c2, c3


@part
def xoshiro(s0, s1, s2, s3):
    """One step of xoshiro256++: its output, then its next state; all uint64."""
    x = s0 + s3
    word = ((x << uint64(23)) | (x >> uint64(41))) + s0
    t = s1 << uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    return word, s0, s1, s2, (s3 << uint64(45)) | (s3 >> uint64(19))


@part
def seeds(seed, stream, replicate, trajectory, batch_size):
    """The first state of a trajectory's generator: four uint64."""
    return philox4x64(
        uint64(trajectory),
        uint64(replicate),
        uint64(batch_size),
        uint64(0),
        uint64(seed),
        uint64(stream),
    )


@part
def seed_words(streams, replicate, trajectory):
    """First states of the generators of trajectories, a vector of ``words`` of each number."""
    zero = replicate & uint64(0)
    return philox4x64(
        trajectory, replicate, zero | uint64(streams.batch_size), zero, streams.seed, streams.stream
    )


@part
def seed_state(state, seed, stream, replicate, trajectory, batch_size):
    """Set the generator ``state`` (4,) uint64 of one trajectory."""
    state[0], state[1], state[2], state[3] = seeds(seed, stream, replicate, trajectory, batch_size)


@part
def next_word(state):
    """Advance the generator ``state`` (4,) uint64 by one step; its output."""
    word, state[0], state[1], state[2], state[3] = xoshiro(state[0], state[1], state[2], state[3])
    return word


@part
def seed_lane(lanes, lane, seed, stream, replicate, trajectory, batch_size):
    """Set the generator of one lane for one trajectory; for lanes see ``next_words``."""
    w0, w1, w2, w3 = seeds(seed, stream, replicate, trajectory, batch_size)
    lanes[lane], lanes[LANES + lane], lanes[2 * LANES + lane], lanes[3 * LANES + lane] = (
        w0, w1, w2, w3,
    )  # fmt: skip


@part
def seed_lanes(lanes, streams, replicate, trajectory, n_lanes, group_size):
    """Set the generators of consecutive trajectories, the first ``trajectory`` of ``replicate``.

    They run on into the next replicates. Idle lanes repeat the last one. Instead of each trajectory
    it is the first of its group that counts; groups of one are the trajectories themselves.
    """
    for lane in range(LANES):
        index = trajectory + min(lane, n_lanes - 1)
        own = index % streams.batch_size
        seed_lane(
            lanes, lane, streams.seed, streams.stream,
            replicate + index // streams.batch_size, own - own % group_size, streams.batch_size,
        )  # fmt: skip


@part
def next_words(lanes):
    """Advance each lane's xoshiro256++ by one step.

    lanes (≥ 5·LANES,) uint64: the four words of every state, then the outputs. They lie in one
    array because the compiler then sees that they do not overlap, and uses the vector units.
    """
    for lane in range(LANES):
        (
            lanes[WORD + lane],
            lanes[lane],
            lanes[LANES + lane],
            lanes[2 * LANES + lane],
            lanes[3 * LANES + lane],
        ) = xoshiro(
            lanes[lane], lanes[LANES + lane], lanes[2 * LANES + lane], lanes[3 * LANES + lane]
        )
