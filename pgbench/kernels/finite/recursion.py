"""The recursion of an estimator, for a group of up to ``WIDTH`` trajectories at once.

Step after step from the last to the first, and in every step the longest trajectory first: the
order of additions hangs on nothing but the group's trajectories, and steps that a trajectory lacks
cost nothing.

Trajectories of several segments are simulated again, segment by segment.
"""

from typing import NamedTuple

import numpy as np
from numba import uint64

from pgbench.kernels.jit import kernel, part
from pgbench.kernels.partition import count_segments
from pgbench.kernels.units import call
from pgbench.kernels.words import WIDTH

_DECAY, _SIGNAL, _TOTAL = range(3)
"""Stages of ``weigh_group``."""


class Group(NamedTuple):
    """Trajectories of a block that are weighed together, the longest first.

    Attributes
    ----------
    run, length, base
        (WIDTH,) int64, where its run of the path begins, its length or 0, and where the weights of
        its replicate begin.
    place
        As ``Tape.path``, which it is where states are not listed: where in its weights a step adds.
    x, decay
        (T + 1, WIDTH) float64, x_t and D_t of the steps of a segment; decay has one row if
        every estimator's δ is one number.
    power
        (T + 1,) float64, D_t of the steps of a segment where δ is one number.
    edges
        (K + 1, WIDTH) float64, D_t where each of K segments begins; and x_0 - β_0.
    listed
        Whether states are listed.
    order, counts
        (n,) and (H + 1,) int64, scratch of ``sort``; no counts if n is at most WIDTH.
    """

    run: np.ndarray
    length: np.ndarray
    base: np.ndarray
    place: np.ndarray
    x: np.ndarray
    decay: np.ndarray
    power: np.ndarray
    edges: np.ndarray
    listed: bool
    order: np.ndarray
    counts: np.ndarray


def no_group() -> Group:
    """A group of nothing, of the types of all."""
    numbers, power = np.empty(0, np.int64), np.empty(0)
    table = power.reshape(0, 1)
    return Group(
        run=numbers, length=numbers, base=numbers, place=np.empty(0, np.uint32), x=table,
        decay=table, power=power, edges=table, listed=True, order=numbers, counts=numbers,
    )  # fmt: skip


@kernel
def make_group(tape, listed, decays):
    """Room for a group; whether states are ``listed``, and whether a δ is a table."""
    return Group(
        np.zeros(WIDTH, np.int64),
        np.zeros(WIDTH, np.int64),
        np.zeros(WIDTH, np.int64),
        np.empty(tape.path.size, np.uint32) if listed else tape.path,
        np.zeros((tape.segment + 1, WIDTH)),
        np.zeros((tape.segment + 1 if decays else 1, WIDTH)),
        np.zeros(tape.segment + 1),
        np.zeros((tape.marks.shape[0] + 1, WIDTH)),
        listed,
        np.zeros(tape.steps.size, np.int64),
        np.zeros(tape.horizon + 1 if tape.steps.size > WIDTH else 0, np.int64),
    )


@part
def sort(steps, order, counts):
    """Indices of trajectories of given lengths (m,) into ``order``, the longest first, stable.

    counts (> longest,) int64 is zero before and after. Up to WIDTH are sorted without it. (Knuth
    1998, algorithms 5.2.1S and 5.2D)
    """
    if steps.size <= WIDTH:
        for i in range(steps.size):
            j = i
            while j > 0 and steps[order[j - 1]] < steps[i]:
                order[j] = order[j - 1]
                j -= 1
            order[j] = i
        return
    longest = 0
    for i in range(steps.size):
        counts[steps[i]] += 1
        longest = max(longest, steps[i])
    before = 0
    for length in range(longest, -1, -1):
        counts[length], before = before, before + counts[length]
    for i in range(steps.size):
        order[counts[steps[i]]] = i
        counts[steps[i]] += 1
    for length in range(longest + 1):
        counts[length] = 0


@part
def arrange(tape, first, order, trajectory, batch_size, stride, group):
    """Make trajectories first + order (≤ WIDTH,) of the block the group, the longest first.

    ``first`` is ``trajectory`` of all; weights of each replicate begin at multiples of stride.
    """
    for j in range(WIDTH):
        group.length[j] = 0
        if j < order.size:
            i = first + order[j]
            group.run[j], group.length[j] = tape.begin[i], tape.steps[i]
            group.base[j] = (trajectory + order[j]) // batch_size * stride


@part
def weigh_group(simulate, sampler, streams, tables, e, tape, group, weights):
    """Add estimator e's weights of the group to flat ``weights``."""
    total, one_delta, one_beta = tables.total[e], tables.constant_delta[e], tables.constant_beta[e]
    values, by_slot, one_kappa = tables.values, tables.sigma_by_slot[e], tables.constant_kappa[e]
    sigma, kappa = values[tables.sigma[e] :], values[tables.kappa[e] :]
    drawn = tape.slots if by_slot else tape.path
    beta, delta = values[tables.beta[e] :], values[tables.delta[e] :]
    n_segments = count_segments(group.length[0], tape.segment)
    whole = n_segments == 1
    at_once = one_kappa and one_beta and one_delta and not total
    known = whole and tables.same_signal[e]
    # D forward; x, and with it the weights, backward; or weights that need the x of the first step.
    for stage in range(_DECAY, _TOTAL + 1):
        if (stage == _DECAY and (one_delta or total)) or (stage == _TOTAL and not total):
            continue
        for j in range(n_segments):
            k = j if stage == _DECAY else n_segments - 1 - j
            begin = k * tape.segment
            end = min(begin + tape.segment, group.length[0])
            if not whole:
                call(simulate, (sampler, streams, 0, 0, 0, k, tape))
            if one_delta:
                _discount(delta[0], begin, group.power)
            if stage == _DECAY or not (one_delta or total or whole):
                _decay(delta, k, begin, end, tape.path, group)
            if stage == _TOTAL:
                _add_total(begin, end, group, weights)
            if stage != _SIGNAL:
                continue
            if at_once and not known:
                _signal_and_add(
                    sigma, kappa[0], beta[0], not (by_slot or group.listed), begin, end, drawn,
                    group, weights,
                )  # fmt: skip
                continue
            if not known:
                _signal(sigma, kappa, one_kappa, begin, end, tape.path, drawn, group)
            if not total:
                _add(beta, one_beta, one_delta, begin, end, tape.path, group, weights)
        if stage == _SIGNAL and total:
            _begin_total(beta, one_beta, tape.path, group)


@part
def _discount(delta, begin, power):
    """D_t of every trajectory from step ``begin`` on, where δ is a number."""
    if begin == 0 and power[0] == 1.0 and power[1] == delta:
        return
    power[0] = 1.0
    for _ in range(begin):
        power[0] *= delta
    for t in range(power.size - 1):
        power[t + 1] = power[t] * delta


@part
def _longer(length, t):
    """How many trajectories of a group have more than t steps."""
    n = 0
    while n < WIDTH and length[n] > t:
        n += 1
    return n


@part
def _decay(delta, k, begin, end, path, group):
    """D_t of steps begin, ..., end - 1, segment k, from ``edges[k]``, where it was found once."""
    run, length, decay, edges = group.run, group.length, group.decay, group.edges
    for i in range(WIDTH):
        decay[0, i] = edges[k, i] if begin > 0 else 1.0
    for t in range(end - begin):
        for i in range(WIDTH):
            decay[t + 1, i] = decay[t, i]
            if length[i] > begin + t:
                decay[t + 1, i] *= delta[uint64(path[uint64(run[i] + t)])]
    for i in range(WIDTH):
        edges[k + 1, i] = decay[end - begin, i]


@part
def _signal(sigma, kappa, one_kappa, begin, end, path, drawn, group):
    """x_t of steps begin, ..., end - 1, from the one after them; σ is by what is ``drawn``."""
    run, length, x = group.run, group.length, group.x
    varies, n = uint64(not one_kappa), _resume(begin, end, group)
    for t in range(end - begin - 1, -1, -1):
        here, after = x[t], x[t + 1]
        while n < WIDTH and length[n] > begin + t:
            after[n] = 0.0
            n += 1
        for i in range(n):
            at = uint64(run[i] + t)
            decay = kappa[varies * uint64(path[at])]
            here[i] = sigma[uint64(drawn[at])] + decay * after[i]


@part
def _signal_and_add(sigma, kappa, beta, alike, begin, end, drawn, group, weights):
    """``_signal`` and ``_add`` in one, where κ, β and δ are numbers.

    Whether what is ``drawn`` is also where weights are added, which saves a load in every step.
    """
    run, length, base, place = group.run, group.length, group.base, group.place
    x, power = group.x, group.power
    n = _resume(begin, end, group)
    for t in range(end - begin - 1, -1, -1):
        here, after, discount = x[t], x[t + 1], power[t]
        while n < WIDTH and length[n] > begin + t:
            after[n] = 0.0
            n += 1
        if alike:
            for i in range(n):
                p = uint64(drawn[uint64(run[i] + t)])
                value = sigma[p] + kappa * after[i]
                here[i] = value
                weights[uint64(base[i]) + p] += discount * (value - beta)
        else:
            for i in range(n):
                at = uint64(run[i] + t)
                value = sigma[uint64(drawn[at])] + kappa * after[i]
                here[i] = value
                weights[uint64(base[i]) + uint64(place[at])] += discount * (value - beta)


@part
def _resume(begin, end, group):
    """Go on with x of the segment after this one; how many trajectories reach into it."""
    n = _longer(group.length, end)
    for i in range(n):
        group.x[end - begin, i] = group.x[0, i]
    return n


@part
def _add(beta, one_beta, one_delta, begin, end, path, group, weights):
    """Add D_t (x_t - β_t) of steps begin, ..., end - 1."""
    run, length, base, place = group.run, group.length, group.base, group.place
    x, power, decay = group.x, group.power, group.decay
    varies, differs = uint64(not one_beta), not one_delta
    n = _longer(length, end)
    for t in range(end - begin - 1, -1, -1):
        here, discount, own = x[t], power[t], decay[t if differs else 0]
        while n < WIDTH and length[n] > begin + t:
            n += 1
        for i in range(n):
            at = uint64(run[i] + t)
            p = uint64(path[at])
            value = (own[i] if differs else discount) * (here[i] - beta[varies * p])
            weights[uint64(base[i]) + uint64(place[at])] += value


@part
def _add_total(begin, end, group, weights):
    """Add x_0 - β_0 at steps begin, ..., end - 1."""
    run, length, base, place = group.run, group.length, group.base, group.place
    value = group.edges[group.edges.shape[0] - 1]
    n = _longer(length, end)
    for t in range(end - begin - 1, -1, -1):
        while n < WIDTH and length[n] > begin + t:
            n += 1
        for i in range(n):
            at = uint64(run[i] + t)
            weights[uint64(base[i]) + uint64(place[at])] += value[i]


@part
def _begin_total(beta, one_beta, path, group):
    """What every step adds, x_0 - β_0, in the last of ``edges``; path holds the first segment."""
    first, value, varies = group.x[0], group.edges[group.edges.shape[0] - 1], uint64(not one_beta)
    for i in range(_longer(group.length, 0)):
        value[i] = first[i] - beta[varies * uint64(path[uint64(group.run[i])])]
