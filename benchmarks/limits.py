"""What memory allows: nanoseconds per random 8-byte load, ``python -m benchmarks.limits``.

A step of a rollout needs the row of its state before it knows the next state, so a single
trajectory pays the latency of dependent loads; trajectories in lock step can come down to the rate
of independent ones.
"""

from time import perf_counter

import numpy as np
from numba import njit, uint64

LOADS = 2**21
MEBIBYTES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@njit
def independent(table, n):
    """Loads at addresses that are known beforehand."""
    x, total, mask = uint64(1), uint64(0), uint64(table.size - 1)
    for _ in range(n):
        x = x * uint64(6364136223846793005) + uint64(1442695040888963407)
        total += table[(x >> uint64(33)) & mask]
    return total


@njit
def dependent(table, n):
    """Loads at addresses that the load before decides on."""
    i, mask = uint64(0), uint64(table.size - 1)
    for k in range(n):
        i = ((table[i] + uint64(k) * uint64(0x9E3779B97F4A7C15)) >> uint64(20)) & mask
    return i


def nanoseconds(function, table, n, rounds=5):
    """Per load, the least of some rounds."""
    function(table, 1)
    laps = []
    for _ in range(rounds):
        begin = perf_counter()
        function(table, n)
        laps.append(perf_counter() - begin)
    return 1e9 * min(laps) / n


def main():
    """Print the table."""
    print(f"{'MiB':>5}{'independent':>14}{'dependent':>12}  ns per load")
    for size in MEBIBYTES:
        table = np.random.default_rng(0).integers(2**63, size=size * 2**17, dtype=np.uint64)
        free, bound = nanoseconds(independent, table, LOADS), nanoseconds(dependent, table, 2**18)
        print(f"{size:5}{free:14.1f}{bound:12.1f}")


if __name__ == "__main__":
    main()
