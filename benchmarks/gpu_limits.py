"""What a GPU's memory allows: seconds per byte of a copy and per random load.

``python -m benchmarks.gpu_limits`` prints both, loads by the size of the table, as
``benchmarks.limits`` does for the CPU.
"""

from statistics import median
from time import perf_counter

import numpy as np
from numba import cuda, uint64

LOADS_PER_THREAD = 64
MEBIBYTES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)


@cuda.jit
def _copy(source, target):
    i = cuda.grid(1)
    if i < source.size:
        target[i] = source[i]


@cuda.jit
def _load(table, out, per_thread):
    """Random loads that do not depend on each other."""
    i = cuda.grid(1)
    if i >= out.size:
        return
    x, total, n = uint64(i), uint64(0), uint64(table.size)
    for _ in range(per_thread):
        # A hash in 32 bits (Knuth 1998, section 6.4), so that nothing overflows.
        x = (x * uint64(2654435761) + uint64(12345)) & uint64(0xFFFFFFFF)
        total ^= table[(x * n) >> uint64(32)]
    out[i] = total


def _seconds(kernel, threads, *arguments, laps=5):
    from pgbench.kernels.cuda.launch import launch, wait

    taken = []
    for _ in range(laps + 1):
        begin = perf_counter()
        launch(kernel, threads, *arguments)
        wait()
        taken.append(perf_counter() - begin)
    return median(taken[1:])


def copy(n):
    """Seconds per byte that is read or written, copying n words of 8 bytes."""
    from pgbench.kernels.cuda.launch import zeros

    return _seconds(_copy, n, zeros(n), zeros(n)) / (16 * n)


def loads(n_words, n):
    """Seconds per random load of 8 bytes, about n loads from a table of so many words."""
    from pgbench.kernels.cuda.launch import zeros

    threads = max(1, n // LOADS_PER_THREAD)
    table, out = zeros(n_words, np.uint64), zeros(threads, np.uint64)
    seconds = _seconds(_load, threads, table, out, LOADS_PER_THREAD)
    return seconds / (threads * LOADS_PER_THREAD)


def main():
    """Print both."""
    from pgbench.kernels.cuda import device_name, why_not

    if reason := why_not():
        print(f"no GPU: {reason}")
        return 2
    print(f"{device_name()}: copies {1e-9 / copy(2**27):.0f} GB/s, reads and writes together")
    print("   MiB  random loads, 10⁹ per second")
    for size in MEBIBYTES:
        print(f"{size:6} {1e-9 / loads(size * 2**17, 2**28):10.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
