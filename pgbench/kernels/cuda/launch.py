"""Launches, arrays on the GPU, and arithmetic that rounds as the CPU's does."""

import numpy as np
from numba import cuda
from numba.core import config

from pgbench.kernels.cuda.jit import kernel

SIMULATED = bool(config.ENABLE_CUDASIM)

# A grid that does not fill the GPU is no mistake.
config.CUDA_LOW_OCCUPANCY_WARNINGS = 0

THREADS = 4 if SIMULATED else 128
"""Threads of a block; the simulator starts a thread of the system for each."""

SHARED_BYTES = 32 * 2**10
"""Tables up to this size are copied to each block's shared memory; larger ones lie in L1 and L2."""

if SIMULATED:

    def times(a, b):
        """a·b."""
        return a * b

else:
    # Left to itself the compiler makes one operation of a·b + c, which rounds once and not twice.
    from numba.cuda.libdevice import dmul_rn as times  # noqa: F401


def launch(compiled, threads: int, *arguments, shared: int = 0) -> None:
    """Run a kernel in so many threads, with so many bytes of shared memory per block."""
    blocks = max(1, -(-threads // THREADS))
    compiled[blocks, THREADS, 0, shared](*arguments)


def wait() -> None:
    """Return when everything that was launched has run."""
    cuda.synchronize()


def shared_bytes(table: np.ndarray) -> int:
    """Shared memory that a copy of the table takes, or 0 where it is too large."""
    return table.nbytes if table.nbytes <= SHARED_BYTES else 0


def upload(array: np.ndarray):
    """A copy on the GPU."""
    return cuda.to_device(np.ascontiguousarray(array))


def empty(shape, dtype=np.float64):
    """An array on the GPU."""
    return cuda.device_array(shape, dtype)


def zeros(shape, dtype=np.float64):
    """An array of zeros on the GPU."""
    array = empty(shape, dtype)
    launch(_clear, array.size, array.reshape(-1))
    return array


@kernel
def _clear(x):
    i = cuda.grid(1)
    if i < x.size:
        x[i] = 0


@kernel
def _add_one(x):
    if cuda.grid(1) == 0:
        x[0] += 1.0


def probe() -> None:
    """Compile and run one kernel; raises whatever goes wrong."""
    x = upload(np.zeros(1))
    launch(_add_one, 1, x)
    if x.copy_to_host()[0] != 1.0:
        raise RuntimeError("it computed something wrong")
