"""A stand-in for ``numba.cuda`` that compiles kernels for the CPU and runs thread after thread.

The simulator runs kernels as Python, where integers neither overflow nor become floats when signed
meets unsigned. Compiled code does both, so here the same kernels are typed and compiled by numba,
and fast enough for trajectories of some length. What it cannot show: threads at the same time.
"""

import sys
from types import ModuleType

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

THREAD = np.zeros(1, np.int64)
"""Number of the thread that runs."""

_ADDRESS = THREAD.ctypes.data
_ENTRIES = 4096
"""Room for every table that is copied to shared memory."""


@intrinsic
def _load(_typing, address):
    """The integer at an address."""

    def generate(context, builder, signature, arguments):
        return builder.load(builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()))

    return types.int64(address), generate


@njit
def _grid(_dimensions):
    return _load(_ADDRESS)  # type: ignore[call-arg]


@njit
def _local(shape, dtype):
    return np.empty(shape, dtype)


@njit
def _shared(_shape, dtype):
    return np.empty(_ENTRIES, dtype)


@njit
def _add(array, at, value):
    array[at] += value


@njit
def _times(a, b):
    return a * b


@njit
def _nothing():
    pass


class OnDevice(np.ndarray):
    """An array that passes for one on a GPU."""

    def copy_to_host(self):
        return np.array(self)


class Kernel:
    """A compiled kernel that is launched as one of ``numba.cuda``."""

    def __init__(self, function):
        self.compiled = njit(function)

    def __getitem__(self, configuration):
        blocks, threads = configuration[:2]

        def run(*arguments):
            plain = [a.view(np.ndarray) if isinstance(a, OnDevice) else a for a in arguments]
            for thread in range(blocks * threads):
                THREAD[0] = thread
                self.compiled(*plain)

        return run


def _jit(function=None, device=False):
    if function is None:
        return lambda f: _jit(f, device)
    return njit(function) if device else Kernel(function)


def _module(name, **attributes):
    module = ModuleType(name)
    vars(module).update(attributes)
    return module


def install():
    """Put the stand-in where ``numba.cuda`` is looked for; nothing may have imported that."""
    import numba

    assert "numba.cuda" not in sys.modules
    numba.cuda = sys.modules["numba.cuda"] = _module(
        "numba.cuda",
        jit=_jit,
        grid=_grid,
        local=_module("local", array=_local),
        shared=_module("shared", array=_shared),
        atomic=_module("atomic", add=_add),
        syncthreads=_nothing,
        # Every thread copies a table on its own.
        threadIdx=_module("threadIdx", x=0),
        blockDim=_module("blockDim", x=1),
        synchronize=lambda: None,
        to_device=lambda array: np.array(array).view(OnDevice),
        device_array=lambda shape, dtype: np.empty(shape, dtype).view(OnDevice),
    )
    sys.modules["numba.cuda.libdevice"] = _module("numba.cuda.libdevice", dmul_rn=_times)
