"""Rollouts driven by given uniform numbers, by inverse distribution functions.

Two policies driven by the same numbers stay together as long as they would act alike; so do a
rollout and its mirror image, driven by u and 1 - u. The rollouts of ``finite`` have neither use.
"""

import numpy as np
from numba import uint64

from pgbench.kernels.jit import kernel, parallel_kernel, part
from pgbench.kernels.partition import spans
from pgbench.kernels.streams import LANES


def cumulative(probability: np.ndarray) -> np.ndarray:
    """Distribution functions along the last axis, infinite from the last possible outcome on."""
    total = np.empty(probability.size)
    rows = np.ascontiguousarray(probability, np.float64).reshape(-1)
    _accumulate(rows, probability.shape[-1], total)
    return total.reshape(probability.shape)


@part
def _accumulate(probability, size, total):
    """``cumulative`` of rows of that size, one after another."""
    for end in range(size, probability.size + 1, size):
        so_far = 0.0
        for i in range(end - size, end):
            so_far += probability[i]
            total[i] = so_far
        i = end - 1
        while i > end - size and probability[i] == 0.0:
            total[i] = np.inf
            i -= 1
        total[i] = np.inf


@part
def outcome(distribution, u):
    """The first outcome whose distribution function is above u."""
    k = 0
    while not u < distribution[k]:
        k += 1
    return k


@part
def _outcome(distributions, begin, size, u):
    """The same of the distribution that begins there: no branch hangs on a random number."""
    k = uint64(0)
    for i in range(size):
        k += uint64(not u < distributions[begin + uint64(i)])
    return k


def driven(
    start, policies, moves, successor, terminal, policy, row, uniforms, pair, slot, steps
) -> None:
    """Record rollouts as they are driven, ``LANES`` in lock step.

    Parameters
    ----------
    start, policies, moves
        Distribution functions (S,), (K, S, A) and (S, A, B) as ``cumulative`` makes them.
    successor, terminal
        (S, A, B) int32 and (S,) bool.
    policy, row
        (N,) int64, which policy each rollout follows, and which row drives it.
    uniforms
        (L, 2H + 1) float64 in [0, 1]: for the start, then for action and slot of every step.
    pair, slot
        (N, H) int32, receive flat indices (s, a) and (s, a, k).
    steps
        (N,) int64, receives the lengths.
    """
    own = start, policies, moves, successor, terminal, policy, row, uniforms, pair, slot, steps
    _drive_blocks(spans((policy.size + LANES - 1) // LANES), *own)


@parallel_kernel
def _drive_blocks(
    start, policies, moves, successor, terminal, policy, row, uniforms, pair, slot, steps,
    begin, end,
):  # fmt: skip
    for first in range(begin * LANES, min(end * LANES, policy.size), LANES):
        own = slice(first, min(first + LANES, policy.size))
        _drive(
            start, policies, moves, successor, terminal, policy[own], row[own], uniforms,
            pair[own], slot[own], steps[own],
        )  # fmt: skip


@kernel
def _drive(start, policies, moves, successor, terminal, policy, row, uniforms, pair, slot, steps):
    """``driven`` for the rollouts of a block of lanes."""
    n_states, n_actions, n_slots = successor.shape
    pi, move, after = policies.reshape(-1), moves.reshape(-1), successor.reshape(-1)
    state, base, place = np.empty((3, LANES), np.uint64)
    numbers = uniforms.reshape(-1)
    for i in range(policy.size):
        base[i] = policy[i] * n_states
        place[i] = row[i] * uniforms.shape[1] + 1
        state[i] = outcome(start, uniforms[row[i], 0])
        steps[i] = 0
    for t in range(pair.shape[1]):
        n_alive = 0
        for i in range(policy.size):
            s = state[i]
            if terminal[s]:
                continue
            n_alive += 1
            u = place[i] + uint64(2 * t)
            a = _outcome(pi, (base[i] + s) * uint64(n_actions), n_actions, numbers[u])
            at = s * uint64(n_actions) + a
            k = _outcome(move, at * uint64(n_slots), n_slots, numbers[u + uint64(1)])
            pair[i, t] = at
            slot[i, t] = at * uint64(n_slots) + k
            state[i] = after[at * uint64(n_slots) + k]
            steps[i] = t + 1
        if n_alive == 0:
            break
