"""Rollouts driven by given uniform numbers, by inverse distribution functions.

Two policies driven by the same numbers stay together as long as they would act alike; so do a
rollout and its mirror image, driven by u and 1 - u. The rollouts of ``finite`` have neither use.
"""

import numpy as np

from pgbench.kernels.jit import kernel, parallel_kernel
from pgbench.kernels.partition import spans


def cumulative(probability: np.ndarray) -> np.ndarray:
    """Distribution functions along the last axis, infinite from the last possible outcome on."""
    total = np.cumsum(probability, axis=-1)
    later = np.cumsum(probability[..., ::-1], axis=-1)[..., ::-1]
    after = np.zeros_like(later)
    after[..., :-1] = later[..., 1:]
    return np.where(after == 0, np.inf, total)


@kernel
def outcome(distribution, u):
    """The first outcome whose distribution function is above u."""
    k = 0
    while not u < distribution[k]:
        k += 1
    return k


def driven(
    start, policies, moves, successor, terminal, policy, row, uniforms, pair, slot, steps
) -> None:
    """Record rollouts as they are driven.

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
    _driven_span(spans(policy.size), *own)


@parallel_kernel
def _driven_span(
    start, policies, moves, successor, terminal, policy, row, uniforms, pair, slot, steps, begin,
    end,
):  # fmt: skip
    n_actions, n_slots = moves.shape[1:]
    horizon = pair.shape[1]
    for i in range(begin, end):
        u, pi = uniforms[row[i]], policies[policy[i]]
        s = outcome(start, u[0])
        t = 0
        while t < horizon and not terminal[s]:
            a = outcome(pi[s], u[1 + 2 * t])
            k = outcome(moves[s, a], u[2 + 2 * t])
            pair[i, t] = s * n_actions + a
            slot[i, t] = (s * n_actions + a) * n_slots + k
            s = successor[s, a, k]
            t += 1
        steps[i] = t
