"""The same trajectories and weights in plain Python: slow, short, and the oracle of the kernels.

Nothing here is compiled; integers are Python's own. Tests compare it with the kernels bit for bit.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.kernels.recursion import backward, forward

_MASK = 2**64 - 1
_LOW = 2**32 - 1


def philox4x64(counter: Sequence[int], key: Sequence[int]) -> tuple[int, int, int, int]:
    """Philox4x64-10 (Salmon et al. 2011) of four counter words under two key words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        product0, product1 = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = (
            (product1 >> 64) ^ c1 ^ k0,
            product1 & _MASK,
            (product0 >> 64) ^ c3 ^ k1,
            product0 & _MASK,
        )
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & _MASK, (k1 + 0xBB67AE8584CAA73B) & _MASK
    return c0, c1, c2, c3


def _rotate(x: int, k: int) -> int:
    return ((x << k) | (x >> (64 - k))) & _MASK


def xoshiro256pp(state: list[int]) -> int:
    """The next output of xoshiro256++ (Blackman & Vigna 2021); advances the four words in place."""
    result = (_rotate((state[0] + state[3]) & _MASK, 23) + state[0]) & _MASK
    t = (state[1] << 17) & _MASK
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= t
    state[3] = _rotate(state[3], 45)
    return result


def trajectory(
    sampler: Any,
    seed: int,
    stream: int,
    batch_size: int,
    replicate: int,
    index: int,
    horizon: int,
) -> tuple[list[int], list[int]]:
    """Flat (s, a) and (s, a, slot) indices of one trajectory; for sampler see ``finite``."""
    bits, n_slots = int(sampler.bits), int(sampler.n_slots)
    n = sampler.step.shape[1]
    generator = list(philox4x64((index, replicate, batch_size, 0), (seed, stream)))
    word = xoshiro256pp(generator)
    k = (word >> 32) * sampler.start.size >> 32
    entry = int(sampler.start[k])
    k = k if word & _LOW < entry >> 32 else entry & _LOW
    s = int(sampler.start_state[k])
    slots: list[int] = []
    while len(slots) < horizon and not sampler.terminal[s]:
        word = xoshiro256pp(generator)
        k = (word >> 32) * n >> 32
        entry = int(sampler.step[s, k])
        k = k if word & _LOW < entry >> 32 else (entry & _LOW) >> bits + 1
        slots.append(s * n + k)
        s = int(sampler.step[s, k]) & (1 << bits) - 1
    return [slot // n_slots for slot in slots], slots


def weights(
    sigma: FloatArray,
    kappa: FloatArray,
    beta: FloatArray,
    delta: FloatArray,
    total: bool,
    pairs: Sequence[int],
    slots: Sequence[int],
) -> FloatArray:
    """The flat (S·A,) weight table of one trajectory under flat estimator tables.

    Added up from the last step to the first.
    """
    x = [0.0] * (len(pairs) + 1)
    for t in reversed(range(len(pairs))):
        x[t] = backward(sigma[slots[t]], kappa[pairs[t]], x[t + 1])
    values, carry = [], 1.0
    for t, p in enumerate(pairs):
        at = 0 if total else t
        value, carry = forward(total, carry, x[at], beta[pairs[at]], delta[p])
        values.append(value)
    table = np.zeros(kappa.size)
    for p, value in zip(reversed(pairs), reversed(values), strict=True):
        table[p] += value
    return table
