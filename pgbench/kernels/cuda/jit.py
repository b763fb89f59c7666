"""How CUDA compiles: the options of its compiler, which stand here and nowhere else."""

from typing import Any

from numba import cuda


def kernel(function: Any) -> Any:
    """The function compiled as a kernel, on first launch."""
    # Nothing is kept on disk: numba's key is the file of a kernel, not what it calls. No fastmath,
    # as on the CPU; products that must not be fused with a sum go through ``launch.times``.
    return cuda.jit(function)


def device_function(function: Any) -> Any:
    """The function, or that of a kernel for the CPU, compiled for calls from kernels."""
    return cuda.jit(device=True)(getattr(function, "py_func", function))
