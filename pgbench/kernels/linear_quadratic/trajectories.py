"""Rollouts of Gaussian policies recorded as they are simulated."""

from pgbench.kernels.copying import copy_to
from pgbench.kernels.jit import parallel_kernel, part
from pgbench.kernels.linear_quadratic.tape import advance, make_tape, segment, start
from pgbench.kernels.partition import partition
from pgbench.kernels.streams import LANES


def record(sampler, streams, first, z, e, ratio) -> None:
    """Fill arrays with the trajectories of replicates ``first``, ..., of one policy or of one each.

    z (replicates, batch, T+1, p), e (replicates, batch, T, m) and ratio (replicates, batch, T)
    float64 receive (x, 1, u), the noise of the actions, and ratios of densities.
    """
    longest = segment(sampler, 0, e.shape[2])
    # Lanes of a block share a policy.
    parts = partition(len(e), streams.batch_size, apart=len(sampler.gain) > 1)
    _record_span(parts.bounds, sampler, streams, first, longest, parts.unit, z, e, ratio)


@parallel_kernel
def _record_span(sampler, streams, first, longest, unit, z, e, ratio, begin, end):
    """``record`` for the replicates from ``begin`` to ``end``, ``unit`` at a time."""
    batch_size, tape = streams.batch_size, make_tape(sampler, 0, e.shape[2], longest)
    for low in range(begin, end, unit):
        policy = low if sampler.gain.shape[0] > 1 else 0
        n_trajectories = (min(low + unit, end) - low) * batch_size
        for trajectory in range(0, n_trajectories, LANES):
            n_lanes = min(LANES, n_trajectories - trajectory)
            start(sampler, streams, first + low, trajectory, n_lanes, tape)
            for k in range(tape.marks.shape[0]):
                steps = advance(sampler, policy, k, tape)
                for lane in range(n_lanes):
                    r = low + (trajectory + lane) // batch_size
                    i = (trajectory + lane) % batch_size
                    _copy(tape, k, lane, steps, z[r, i], e[r, i], ratio[r, i])


@part
def _copy(tape, k, lane, steps, z, e, ratio):
    """The steps of a lane in segment k, and the state after them, into z, e and ratio."""
    begin = k * tape.e.shape[0]
    for t in range(steps + 1):
        copy_to(z[begin + t], tape.z[t, :, lane])
    for t in range(steps):
        copy_to(e[begin + t], tape.e[t, :, lane])
        ratio[begin + t] = tape.ratio[t, lane]
