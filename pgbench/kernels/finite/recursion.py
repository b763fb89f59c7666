"""The recursion of an estimator, for all lanes of a tape at once.

Trajectories of several segments are simulated again from the generators at the beginning of each:
once backward for the x at every cut, once forward for the weights, which so are the same.
"""

from numba import uint64

from pgbench.kernels.finite.tape import PAIR, PLACE, replay
from pgbench.kernels.jit import kernel
from pgbench.kernels.partition import count_segments
from pgbench.kernels.streams import LANES


@kernel
def weigh_lanes(sampler, tables, e, length, tape, weights):
    """Add estimator e's weights of the recorded lanes to flat ``weights``."""
    if length <= tape.path.shape[0]:
        if not tables.same_signal[e]:
            tape.x[length] = 0.0
            _signal(tables, e, length, tape)
        _begin(tables, e, tape)
        if tables.total[e]:
            for lane in range(LANES):
                _add_total(lane, 0, tape, weights)
        else:
            _add(tables, e, 0, length, tape, weights)
        return
    n_segments = count_segments(length, tape.path.shape[0])
    tape.edges[n_segments] = 0.0
    for k in range(n_segments - 1, -1, -1):
        _load(sampler, tables, e, k, length, tape)
        tape.edges[k] = tape.x[0]
    _begin(tables, e, tape)
    if tables.total[e]:
        # Lane after lane, as in one segment: sums run in the same order.
        for lane in range(LANES):
            for k in range(n_segments):
                replay(sampler, k, length, tape)
                _add_total(lane, k, tape, weights)
        return
    for k in range(n_segments):
        steps = _load(sampler, tables, e, k, length, tape)
        _add(tables, e, k, steps, tape, weights)


@kernel
def _load(sampler, tables, e, k, length, tape):
    """Path and x of segment k, of which the x at its end is known; the number of its steps."""
    steps = replay(sampler, k, length, tape)
    tape.x[steps] = tape.edges[k + 1]
    _signal(tables, e, steps, tape)
    return steps


@kernel
def _signal(tables, e, length, tape):
    """x_t of the recorded steps, from the one after them."""
    x, values = tape.x, tables.values
    sigma, kappa = values[tables.sigma[e] :], values[tables.kappa[e] :]
    first = 0 if tables.sigma_by_slot[e] else PAIR
    for t in range(length - 1, -1, -1):
        step, here, after = tape.path[t], x[t], x[t + 1]
        if tables.constant_kappa[e]:
            for lane in range(LANES):
                here[lane] = sigma[uint64(step[first + lane])] + kappa[0] * after[lane]
        else:
            for lane in range(LANES):
                here[lane] = (
                    sigma[uint64(step[first + lane])]
                    + kappa[uint64(step[PAIR + lane])] * after[lane]
                )


@kernel
def _begin(tables, e, tape):
    """Set ``tape.carry`` before the first step: D_0 = 1, or what every step adds, x_0 - β_0.

    ``tape`` holds the first segment.
    """
    beta = tables.values[tables.beta[e] :]
    varies = uint64(not tables.constant_beta[e])
    for lane in range(LANES):
        tape.carry[lane] = 1.0
        if tables.total[e]:
            tape.carry[lane] = tape.x[0, lane] - beta[varies * uint64(tape.path[0, PAIR + lane])]


@kernel
def _add_total(lane, k, tape, weights):
    """Add x_0 - β_0 at every step of a lane in segment k."""
    value = tape.carry[lane]
    for t in range(min(tape.alive[lane] - k * tape.path.shape[0], tape.path.shape[0])):
        weights[uint64(tape.path[t, PLACE + lane])] += value


@kernel
def _add(tables, e, k, length, tape, weights):
    """Add D_t (x_t - β_t) of segment k, and leave D after it in ``tape.carry``."""
    x, alive, carry, values = tape.x, tape.alive, tape.carry, tables.values
    begin = k * tape.path.shape[0]
    beta, delta = values[tables.beta[e] :], values[tables.delta[e] :]
    varies = uint64(not tables.constant_beta[e])
    if tables.constant_delta[e] and tables.constant_beta[e]:
        discount, baseline = carry[0], beta[0]
        for t in range(begin, begin + length):
            step, here = tape.path[t - begin], x[t - begin]
            for lane in range(LANES):
                if t < alive[lane]:
                    weights[uint64(step[PLACE + lane])] += discount * (here[lane] - baseline)
            discount *= delta[0]
        carry[0] = discount
    elif tables.constant_delta[e]:
        discount = carry[0]
        for t in range(begin, begin + length):
            step, here = tape.path[t - begin], x[t - begin]
            for lane in range(LANES):
                if t < alive[lane]:
                    weights[uint64(step[PLACE + lane])] += discount * (
                        here[lane] - beta[uint64(step[PAIR + lane])]
                    )
            discount *= delta[0]
        carry[0] = discount
    else:
        for t in range(begin, begin + length):
            step, here = tape.path[t - begin], x[t - begin]
            for lane in range(LANES):
                if t < alive[lane]:
                    p = uint64(step[PAIR + lane])
                    weights[uint64(step[PLACE + lane])] += carry[lane] * (
                        here[lane] - beta[varies * p]
                    )
                    carry[lane] *= delta[p]
