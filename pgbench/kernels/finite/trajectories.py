"""Rollouts of finite problems recorded as they are simulated."""

import numpy as np

from pgbench.kernels.finite.tape import advance, block, make_tape, rewind, segment
from pgbench.kernels.jit import parallel_kernel, part
from pgbench.kernels.partition import partition
from pgbench.kernels.words import WIDTH


def record(sampler, streams, first, pair, slot, steps) -> None:
    """Fill arrays with the trajectories of replicates ``first``, ``first + 1``, ....

    ``pair`` and ``slot`` (replicates, batch, horizon) int32 receive flat indices (s, a) and
    (s, a, k); entries beyond ``steps`` (replicates, batch) int64 belong to no step.
    """
    _divide(sampler, streams, first, pair.shape[2], pair, slot, steps)


def count_steps(sampler, streams, first, horizon, steps) -> None:
    """Fill ``steps`` (replicates, batch) int64 with the lengths of the same trajectories alone."""
    pair, slot = np.empty((2, *steps.shape, 0), np.int32)
    _divide(sampler, streams, first, horizon, pair, slot, steps)


def _divide(sampler, streams, first, horizon, pair, slot, steps) -> None:
    room = block(sampler, horizon)
    parts = partition(len(steps), streams.batch_size, room, WIDTH)
    numbers = first, horizon, segment(horizon), room, parts.unit
    _record_span(parts.bounds, sampler, streams, *numbers, pair, slot, steps)


@parallel_kernel
def _record_span(
    sampler, streams, first, horizon, longest, room, unit, pair, slot, steps, low, high
):  # fmt: skip
    """``record`` for the replicates from ``low`` to ``high``, ``unit`` at a time."""
    batch_size, tape = streams.batch_size, make_tape(horizon, longest, room, True)
    for r in range(low, high, unit):
        end = min(r + unit, high) * batch_size
        for trajectory in range(r * batch_size, end, room):
            n = min(room, end - trajectory)
            rewind(tape)
            k, going_on = 0, True
            while going_on:
                going_on = advance(sampler, streams, first, trajectory, n, k, tape)
                _copy(k, trajectory, n, tape, pair, slot, steps)
                k += 1


@part
def _copy(k, trajectory, n, tape, pair, slot, steps):
    """The steps in segment k of the n trajectories of a block, the first of them ``trajectory``.

    As far as pair and slot go.
    """
    batch_size, begin, horizon = steps.shape[1], k * tape.segment, pair.shape[2]
    for i in range(n):
        r, own = (trajectory + i) // batch_size, (trajectory + i) % batch_size
        steps[r, own] = tape.steps[i]
        for t in range(begin, min(tape.steps[i], begin + tape.segment, horizon)):
            at = tape.begin[i] + t - begin
            pair[r, own, t], slot[r, own, t] = tape.path[at], tape.slots[at]
