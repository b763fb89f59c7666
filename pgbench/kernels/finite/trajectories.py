"""Rollouts of finite problems recorded as they are simulated."""

import numpy as np

from pgbench.kernels.finite.tape import PAIR, advance, make_tape, segment, start
from pgbench.kernels.jit import kernel, parallel_kernel
from pgbench.kernels.partition import partition
from pgbench.kernels.streams import LANES


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
    parts = partition(len(steps), streams.batch_size)
    numbers = first, horizon, segment(horizon), parts.unit
    _record_span(parts.bounds, sampler, streams, *numbers, pair, slot, steps)


@parallel_kernel
def _record_span(sampler, streams, first, horizon, longest, unit, pair, slot, steps, begin, end):
    """``record`` for the replicates from ``begin`` to ``end``, ``unit`` at a time."""
    batch_size, tape = streams.batch_size, make_tape(horizon, longest)
    for low in range(begin, end, unit):
        n_trajectories = (min(low + unit, end) - low) * batch_size
        for trajectory in range(0, n_trajectories, LANES):
            n_lanes = min(LANES, n_trajectories - trajectory)
            start(sampler, streams, first + low, trajectory, n_lanes, tape)
            for k in range(tape.marks.shape[0]):
                length = advance(sampler, k, tape)
                for lane in range(n_lanes):
                    r = low + (trajectory + lane) // batch_size
                    i = (trajectory + lane) % batch_size
                    _copy(tape, k, lane, pair[r, i], slot[r, i])
                    steps[r, i] = tape.alive[lane]
                if length < tape.path.shape[0]:
                    break


@kernel
def _copy(tape, k, lane, pair, slot):
    """The steps of a lane in segment k into pair and slot (T,), as far as these go."""
    begin = k * tape.path.shape[0]
    for t in range(begin, min(tape.alive[lane], begin + tape.path.shape[0], pair.size)):
        slot[t] = tape.path[t - begin, lane]
        pair[t] = tape.path[t - begin, PAIR + lane]
