"""Rollouts of Gaussian policies: what is recorded of a block of lanes, and how that comes about.

Trajectories advance ``LANES`` at a time, as in ``finite``; every array here has the lanes as its
last axis. One word per normal number: first those of the start, then per step those of the action
and those of the process noise.
"""

from typing import NamedTuple

import numpy as np

from pgbench.kernels.copying import copy_to
from pgbench.kernels.jit import kernel, part
from pgbench.kernels.normal import normals
from pgbench.kernels.partition import count_segments
from pgbench.kernels.streams import LANES, next_words, seed_lanes

TAPE_BYTES = 2**25
"""What a tape takes at most per thread, where that is enough for ``SHORTEST`` steps."""

SHORTEST = 2**12
"""Least number of steps that are recorded at a time."""


class Tape(NamedTuple):
    """A block of lanes: generators, and what they drew in a segment of T steps.

    lanes, scratch, bits, number as ``normals`` takes them; z (T+1, p, LANES) with z = (x, 1, u), e
    (T, m, LANES), ratio (T, LANES), values (J, T+1, LANES) of the forms, x (T+1, LANES), sums
    (m+1, p, LANES), spare (p, LANES), and carry (LANES,), D_t or y_0 - β_0. Where each of the K
    segments begins: marks (K, 5·LANES) uint64, the generators; begins (K, n, LANES), the state; and
    edges (K+1, LANES), y.
    """

    horizon: int
    lanes: np.ndarray
    scratch: np.ndarray
    bits: np.ndarray
    number: np.ndarray
    z: np.ndarray
    e: np.ndarray
    ratio: np.ndarray
    values: np.ndarray
    x: np.ndarray
    sums: np.ndarray
    spare: np.ndarray
    carry: np.ndarray
    marks: np.ndarray
    begins: np.ndarray
    edges: np.ndarray


def segment(sampler, n_forms: int, horizon: int) -> int:
    """Steps that are recorded at a time."""
    n, m = sampler.B.shape
    per_step = 8 * LANES * (n + 1 + m + m + n_forms + 2)
    return min(max(SHORTEST, TAPE_BYTES // per_step), horizon)


@kernel
def make_tape(sampler, n_forms, horizon, longest):
    """A tape for trajectories of so many steps, in segments of at most ``longest``."""
    n, m = sampler.B.shape
    p, n_segments = n + 1 + m, count_segments(horizon, longest)
    scratch = np.empty(LANES)
    return Tape(
        horizon,
        np.zeros(5 * LANES, np.uint64),
        scratch,
        scratch.view(np.uint64),
        np.empty(LANES),
        np.zeros((longest + 1, p, LANES)),
        np.zeros((longest, m, LANES)),
        np.ones((longest, LANES)),
        np.zeros((n_forms, longest + 1, LANES)),
        np.zeros((longest + 1, LANES)),
        np.zeros((m + 1, p, LANES)),
        np.zeros((p, LANES)),
        np.zeros(LANES),
        np.zeros((n_segments, 5 * LANES), np.uint64),
        np.zeros((n_segments, n, LANES)),
        np.zeros((n_segments + 1, LANES)),
    )


@part
def _draw(sampler, tape):
    """The next standard normal number of every lane, in ``tape.number``."""
    next_words(tape.lanes)
    normals(tape.lanes, tape.scratch, tape.bits, sampler.normals, tape.number)


@part
def add(out, factor, x):
    """Add factor times x (LANES,) to ``out``."""
    for lane in range(LANES):
        out[lane] += factor * x[lane]


@part
def start(sampler, streams, replicate, trajectory, n_lanes, tape):
    """Seed the generators and draw the first states; for the lanes see ``seed_lanes``."""
    n = sampler.B.shape[0]
    seed_lanes(tape.lanes, streams, replicate, trajectory, n_lanes, streams.group_size)
    z = tape.z[0]
    for i in range(n):
        for lane in range(LANES):
            z[i, lane] = sampler.start_mean[i]
    for j in range(sampler.start.shape[1]):
        _draw(sampler, tape)
        for i in range(n):
            if sampler.start[i, j] != 0.0:
                add(z[i], sampler.start[i, j], tape.number)
    if streams.group_size > 1:
        seed_lanes(tape.lanes, streams, replicate, trajectory, n_lanes, 1)
        for _ in range(sampler.start.shape[1]):
            next_words(tape.lanes)


@part
def simulate(sampler, policy, streams, replicate, trajectory, n_lanes, tape):
    """Simulate consecutive trajectories of a policy, segment by segment.

    ``tape.z`` and ``tape.e`` hold the last segment then.
    """
    start(sampler, streams, replicate, trajectory, n_lanes, tape)
    for k in range(tape.marks.shape[0]):
        advance(sampler, policy, k, tape)


@part
def replay(sampler, policy, k, tape):
    """Simulate segment k again; the number of its steps."""
    copy_to(tape.lanes, tape.marks[k])
    for i in range(sampler.B.shape[0]):
        copy_to(tape.z[0, i], tape.begins[k, i])
    return walk(sampler, policy, k, tape)


@part
def advance(sampler, policy, k, tape):
    """Simulate segment k from where the tape has come to; the number of its steps."""
    n, longest = sampler.B.shape[0], tape.e.shape[0]
    copy_to(tape.marks[k], tape.lanes)
    for i in range(n):
        if k > 0:
            copy_to(tape.z[0, i], tape.z[longest, i])
        copy_to(tape.begins[k, i], tape.z[0, i])
    return walk(sampler, policy, k, tape)


@part
def walk(sampler, policy, k, tape):
    """Simulate segment k from the state in ``tape.z[0]``; the number of its steps."""
    # One function for action and state: apart they take a third longer.
    n, m = sampler.B.shape
    gain, factor = sampler.gain[policy], sampler.factor[policy]
    steps = min(tape.e.shape[0], tape.horizon - k * tape.e.shape[0])
    for t in range(steps):
        z, after, e = tape.z[t], tape.z[t + 1], tape.e[t]
        z[n, :] = 1.0
        e[:, :] = 0.0
        for j in range(m):
            _draw(sampler, tape)
            for i in range(j, m):
                if factor[i, j] != 0.0:
                    add(e[i], factor[i, j], tape.number)
        for i in range(m):
            u = z[n + 1 + i]
            for lane in range(LANES):
                u[lane] = e[i, lane] + gain[i, n]
            for j in range(n):
                if gain[i, j] != 0.0:
                    add(u, gain[i, j], z[j])
        after[:, :] = 0.0
        for i in range(n):
            x = after[i]
            for j in range(n):
                if sampler.A[i, j] != 0.0:
                    add(x, sampler.A[i, j], z[j])
            for j in range(m):
                if sampler.B[i, j] != 0.0:
                    add(x, sampler.B[i, j], z[n + 1 + j])
        for j in range(sampler.noise.shape[1]):
            _draw(sampler, tape)
            for i in range(n):
                if sampler.noise[i, j] != 0.0:
                    add(after[i], sampler.noise[i, j], tape.number)
    tape.z[steps, n, :] = 1.0
    if sampler.weighed:
        _compare(sampler.ratio[policy], sampler.log_ratio[policy], steps, tape)
    return steps


@part
def _compare(form, log_ratio, steps, tape):
    """Ratios of densities of the recorded actions."""
    m = tape.e.shape[1]
    for t in range(steps):
        ratio, e = tape.ratio[t], tape.e[t]
        ratio[:] = log_ratio
        for i in range(m):
            for j in range(m):
                if form[i, j] != 0.0:
                    for lane in range(LANES):
                        ratio[lane] += form[i, j] * e[i, lane] * e[j, lane]
        for lane in range(LANES):
            ratio[lane] = np.exp(ratio[lane])
